"""Oracle: LRA's learning rates worked by hand; a run killed and resumed equals an unbroken one to the last bit."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wise_lra import stopping
from wise_lra import train as run
from wise_lra.config import compose, composed
from wise_lra.data.packed import pack
from wise_lra.data.task import Example, Task
from wise_lra.recipe import Recipe
from wise_lra.results.record import Record, read_all

ROOT = Path(__file__).parents[1]
TASK = Task("listops", 16, 32, 10)
RECIPE: dict[str, Any] = {
    "steps": 100,
    "batch_size": 4,
    "lr": 0.05,
    "warmup_steps": 20,
    "schedule": "rsqrt",
    "weight_decay": 0.1,
    "validate_every": 30,
}
SMALL = [
    *("task=listops", "backbone=wise_adaptive", "logger=csv", "trainer.threads=1", "task.length=32"),
    *("model.d_model=16", "model.depth=1", "model.mlp_dim=16", "heads.number=2", "heads.qkv_dim=16"),
    *(
        "wavelet.taps=4",
        "recipe.steps=50",
        "recipe.validate_every=20",
        "recipe.batch_size=8",
        "model.dropout=0.1",
    ),
]


def recipe(**changes: Any) -> Recipe:
    return Recipe(**(RECIPE | changes))


def test_rsqrt_by_hand() -> None:
    """LRA's peak for ListOps: 0.05 / sqrt(1000) = 1.58e-3, and 7.1e-4 after 5,000 steps."""
    listops = recipe(steps=5000, warmup_steps=1000)
    assert listops.learning_rate(1) == pytest.approx(0.05 * 0.001 / math.sqrt(1000))
    assert listops.learning_rate(1000) == pytest.approx(1.58e-3, rel=1e-2)
    assert listops.learning_rate(5000) == pytest.approx(7.1e-4, rel=1e-2)


def test_cosine_by_hand() -> None:
    image = recipe(schedule="cosine", lr=1e-3, steps=120, warmup_steps=20)
    rates = [image.learning_rate(step) for step in (10, 20, 70, 120)]
    assert rates == pytest.approx([0.5e-3, 1e-3, 0.5e-3, 0.0])


@pytest.mark.parametrize(
    ("field", "value"),
    [("steps", 0), ("batch_size", 0), ("warmup_steps", 0), ("lr", -1), ("schedule", "step"), ("clip", 0)],
)
def test_a_recipe_that_cannot_be_followed_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"recipe.{field}="):
        recipe(**{field: value})


def test_intervals_cover_the_steps() -> None:
    assert recipe(steps=100, validate_every=30).intervals == 4
    assert recipe(steps=90, validate_every=30).intervals == 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed folder in which the first token tells the class."""
    rng = np.random.default_rng(0)
    place = tmp_path_factory.mktemp("data") / "packed"

    def examples(split: str, count: int) -> list[Example]:
        lengths = rng.integers(5, 33, count)
        documents = [rng.integers(6, 16, length).astype(np.uint8) for length in lengths]
        return [Example(split, (document,), int(document[0]) - 6) for document in documents]

    made = [*examples("train", 203), *examples("validation", 37), *examples("test", 41)]
    pack(made, place, TASK, {"source": "made by a test", "variant": "short", "protocol": "held-out"})
    return place


def train(folder: Path, place: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(folder, place, *overrides), capture_output=True, text=True, check=False)


def trained(folder: Path, place: Path, *overrides: str) -> Record:
    """Train in this process."""
    return run.train(compose([*command(folder, place)[2:], *overrides]))


def command(folder: Path, place: Path, *overrides: str) -> list[str]:
    places = [f"data.folder={folder}", f"runs={place / 'runs'}", f"records={place / 'records'}"]
    return [sys.executable, str(ROOT / "scripts/train.py"), *SMALL, *places, *overrides]


def lasting(record: Any) -> dict[str, Any]:
    """Return what two equal runs share: all but clocks and memory."""
    parsed = json.loads(record.to_json())
    gone = ("seconds", "tokens_per_second", "peak_memory_bytes", "started", "finished")
    return {key: value for key, value in parsed.items() if key not in gone}


def test_a_run_is_recorded_repeats_itself_and_survives_a_kill(folder: Path, tmp_path: Path) -> None:
    whole = trained(folder, tmp_path / "whole")
    assert read_all(tmp_path / "whole" / "records") == [whole]
    assert whole.steps == 50
    assert [point["step"] for point in whole.history] == [20, 40, 50]
    assert whole.data["counts"] == {"train": 203, "validation": 37, "test": 41}
    assert whole.metrics["test_examples"] == 41
    assert (whole.metrics["test_accuracy"] * 41) % 1 == pytest.approx(0)
    assert whole.preset.startswith("quick-"), "a changed recipe must not stand in the preset's column"
    assert str(tmp_path) not in whole.to_json()

    assert trained(folder, tmp_path / "whole") == whole, "the record is read, not made again"

    killed = subprocess.Popen(
        command(folder, tmp_path / "killed"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        wait_for(lambda: list((tmp_path / "killed").rglob("last.ckpt")))
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
    assert read_all(tmp_path / "killed" / "records") == []
    resumed = train(folder, tmp_path / "killed")
    assert resumed.returncode == 0, resumed.stderr
    assert "goes on from its last validation" in resumed.stderr
    (record,) = read_all(tmp_path / "killed" / "records")
    assert lasting(record) == lasting(whole)
    weights = [next((tmp_path / name).rglob("best.ckpt")) for name in ("whole", "killed")]
    first, second = (torch.load(path, weights_only=True)["state_dict"] for path in weights)
    assert all(torch.equal(first[key], second[key]) for key in first)


FAILURES = [
    (["recipe.lr=1e30", "recipe.warmup_steps=1", "recipe.steps=12"], 1, ("the loss is", "recipe.lr")),
    (["data.folder=/nowhere"], 1, ("data.folder=/nowhere",)),
    (
        ["preset=lra", "wavelet.taps=32", "model.mlp_dim=4", "task.length=128"],
        1,
        ("preset=lra", "wavelet.taps"),
    ),
    (["recipe.steps=0"], 2, ("recipe.steps=0",)),
]
if not torch.cuda.is_available():
    FAILURES.append((["trainer=gpu"], 1, ("trainer.accelerator=gpu",)))


@pytest.mark.parametrize(("overrides", "status", "named"), FAILURES, ids=lambda value: str(value)[:30])
def test_a_run_that_fails_says_why_in_a_line(
    folder: Path, tmp_path: Path, overrides: list[str], status: int, named: set[str]
) -> None:
    ended = stopping.run_job(composed([*command(folder, tmp_path)[2:], *overrides]))
    assert ended.status == status
    assert [name for name in named if name not in ended.reason] == []
    assert "\n" not in ended.reason
    assert read_all(tmp_path / "records") == []


def test_wandb_offline_keeps_curves_and_summary(folder: Path, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "WANDB_API_KEY"}
    done = subprocess.run(
        command(folder, tmp_path, "logger=wandb"),
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert "upload it with `make wandb-sync`" in done.stderr
    (run,) = (tmp_path / "runs").rglob("offline-run-*")
    viewer = Path(sys.executable).with_name("wandb")
    seen = subprocess.run(
        [viewer, "leet", "inspect", "--summary", "--json", run], capture_output=True, text=True, check=True
    )
    for name in ("test/accuracy", "validation/accuracy", "train/loss", "train/lr", "tokens_per_second"):
        assert name in seen.stdout, name


def wait_for(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
