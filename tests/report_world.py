"""A world for the tests of the report: records of two presets, run folders, prepared data; much of it hostile."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from test_results_record import changed, make

from wise_lra.build import build_model
from wise_lra.config import compose
from wise_lra.data.packed import pack
from wise_lra.data.task import Example, Task
from wise_lra.data.text import encode
from wise_lra.identity import recorded_config
from wise_lra.model import parameter_count
from wise_lra.registry import TASKS
from wise_lra.results.predictions import PREDICTIONS, Predictions
from wise_lra.results.record import Record

EVIL = '<script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">'
METHODS = [
    (b, a) for b in ("vanilla", "wise_fixed", "wise_adaptive") for a in ("softmax", "linear", "performer")
]
SIZES = (
    *("task.length=128", "model.d_model=16", "model.depth=1", "model.mlp_dim=16"),
    *("heads.number=2", "heads.qkv_dim=16", "wavelet.taps=4", "preset.fit_parameters=false"),
)


def furnish(root: Path) -> None:
    """Make root/{records,runs,data}."""
    for record in grid():
        record.write(root / "records")
    for task in ("text", "image"):
        sha256 = prepared(root / "data" / task / "made", task)
        for backbone, seed in [("vanilla", 0), ("wise_adaptive", 0), ("wise_adaptive", 1)]:
            finished(root, task, backbone, seed, sha256)


def grid() -> list[Record]:
    """Return runs on the Arena's own data, two seeds of every cell, the adaptive ones ten points better."""
    found, noise = [], np.random.default_rng(0)
    for task in TASKS:
        for place, (backbone, attention) in enumerate([*METHODS, ("fnet", "none")]):
            for seed in range(2):
                top = 0.6 + 0.1 * (backbone == "wise_adaptive") - 0.01 * place + 0.01 * noise.normal()
                history = [point(step, top * (1 - 0.4 ** (step / 25))) for step in range(25, 101, 25)]
                found.append(
                    make(
                        **changed("metrics", test_accuracy=round(top, 3), test_examples=2000),
                        **changed("seconds", total=60.0 + 9 * place),
                        **{"preset": "lra", "task": task, "backbone": backbone, "attention": attention},
                        **{"seed": seed, "history": history, "parameters": 80_000 + 9000 * place},
                    )
                )
    return found


def point(step: int, accuracy: float) -> dict[str, Any]:
    values = {"train_accuracy": accuracy + 0.02, "validation_accuracy": accuracy, "lr": 0.001}
    return {"step": step, "train_loss": 1 - accuracy, "validation_loss": 1.05 - accuracy, **values}


def prepared(folder: Path, task: str) -> str:
    """Pack forty examples of a task; return their sum."""
    rng = np.random.default_rng(0)

    def document(index: int) -> np.ndarray:
        if task == "image":
            return rng.integers(0, 256, 1024).astype(np.uint8)
        return encode(f"{EVIL} review {index}".encode(), 1000)

    facts = Task("image", 256, 1024, 10, padded=False) if task == "image" else Task("text", 257, 1000, 2)
    splits = ("train", "validation", *["test"] * 38)
    examples = [Example(split, (document(i),), i % facts.classes) for i, split in enumerate(splits)]
    manifest = pack(examples, folder, facts, {"source": "made", "variant": "", "protocol": "held-out"})
    return str(manifest["sha256"])


def finished(root: Path, task: str, backbone: str, seed: int, sha256: str) -> None:
    """Write what a run leaves: weights moved from where they began, predictions, and a hostile record."""
    sizes = SIZES if task == "text" else [size for size in SIZES if "length" not in size]
    cfg = compose([f"task={task}", f"backbone={backbone}", f"seed={seed}", *sizes])
    classes, rng = cfg.task.classes, np.random.default_rng(seed + len(backbone))
    label = (np.arange(38) + 2) % classes
    chances = rng.dirichlet(np.ones(classes), 38)
    answers = Predictions(np.arange(38), label, chances.argmax(1), chances)
    model = build_model(cfg)
    record = make(
        **{"preset": "quick", "task": task, "backbone": backbone, "seed": seed, "comparable": False},
        parameters=parameter_count(model),
        **changed("metrics", test_accuracy=answers.accuracy, test_examples=38),
        **changed("data", sha256=sha256, source=EVIL),
        **{"config": recorded_config(cfg) | {"note": EVIL}, "versions": {EVIL: EVIL}, "wandb_id": EVIL},
        **{
            "protocol": EVIL,
            "device": EVIL,
            "commit": EVIL,
            "history": [point(s, s / 100) for s in (50, 100)],
        },
    )
    record.write(root / "records")
    folder = record.path(root / "runs").with_suffix("")
    answers.write(folder / PREDICTIONS)
    (folder / "config.json").write_text(json.dumps(record.config))
    (folder / "checkpoints").mkdir()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    torch.save({"state_dict": state}, folder / "checkpoints" / "best.ckpt")
