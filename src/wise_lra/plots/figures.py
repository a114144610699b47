"""All figures of a wavelet, and of what the banks of a run learned: before training and after it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from omegaconf import DictConfig

from wise_lra.data.packed import PackedSplit, verify
from wise_lra.evaluate import built, restored, untrained
from wise_lra.results.reading import read_json
from wise_lra.stored import stored
from wise_lra.wavelets import FixedBank

from .draw import draw_energies, draw_errors, draw_functions, draw_responses
from .measure import banks, energies, errors, functions, responses

EXAMPLES = 32
LENGTH = 1024  # of the noise for a wavelet without a run


def of_wavelet(name: str) -> dict[str, Figure]:
    """Return the figures of a wavelet. Raises ValueError where there is none of this name."""
    bank = FixedBank(name)
    return {
        "functions": draw_functions({name: functions(bank)}, name),
        "responses": draw_responses({name: responses(bank)}, name),
        "errors": draw_errors({name: [errors(bank, LENGTH, 1)]}, name),
    }


def of_run(run: Path, data: Path) -> dict[str, Figure]:
    """Return the figures of a run's layers, before and after training. Raises ValueError, and what torch raises."""
    cfg, before, after = _loaded(run)
    title = f"{cfg.task.name} · {cfg.backbone.name} · {cfg.attention.name} · seed {cfg.seed}"
    length, channels = cfg.model.length + (cfg.model.pool == "cls"), cfg.model.d_model
    models = {"before training": before, "after training": after}
    of = {state: [bank for _, bank in banks(model)] for state, model in models.items()}
    figures = {}
    for index in range(len(of["after training"])):
        name = f"{title} · layer {index + 1}"
        waves = {state: functions(found[index]) for state, found in of.items()}
        gains = {state: responses(found[index]) for state, found in of.items()}
        figures[f"functions-layer{index + 1}"] = draw_functions(waves, name)
        figures[f"responses-layer{index + 1}"] = draw_responses(gains, name)
    lost = {state: [errors(bank, length, channels) for bank in found] for state, found in of.items()}
    figures["errors"] = draw_errors(lost, title)
    tokens, mask, said = _examples(cfg, run, data)
    shares = {s: energies(model, lambda model=model: model(tokens, mask)) for s, model in models.items()}  # type: ignore[misc]
    figures["energies"] = draw_energies(shares, title, said)
    return figures


def _loaded(run: Path) -> tuple[DictConfig, torch.nn.Module, torch.nn.Module]:
    """Return a run's configuration, its model untrained, and its model at the best checkpoint.

    Raises ValueError where the run is not there or its model has no wavelets.
    """
    note, best = run / "config.json", run / "checkpoints" / "best.ckpt"
    for file in (note, best):
        if not file.is_file():
            raise ValueError(
                f"{run}: no trained run there ({file.relative_to(run)} is missing); expected a folder "
                "results/runs/<preset>/<task>/<backbone>/<attention>/seed<k>"
            )
    cfg = stored(read_json(note, "a run's configuration"), note)
    after = restored(cfg, best)
    if not banks(after):
        raise ValueError(f"{run}: backbone={cfg.backbone.name} has no wavelets; expected one of wise_*")
    return cfg, untrained(cfg), after


def _examples(cfg: DictConfig, run: Path, data: Path) -> tuple[Any, Any, str]:
    """Return tokens, mask and what they are: validation examples of the newest data prepared, or noise."""
    variant = run.resolve().parents[2].name.removeprefix(cfg.task.name).removeprefix("-")
    manifests = (data / cfg.task.name).glob("*/manifest.json")
    for manifest in sorted(manifests, key=lambda file: file.stat().st_mtime, reverse=True):
        try:
            facts = verify(manifest.parent, built(cfg, "task"))
        except ValueError:  # of another version or task, or damaged
            continue
        if (facts["variant"], facts["protocol"]) == (variant, cfg.data.protocol):
            split = PackedSplit(manifest.parent, "validation", built(cfg, "task"))
            batch = split.batch(np.arange(min(EXAMPLES, len(split))), cfg.task.length)
            return batch.tokens, batch.mask, f"{len(batch.labels)} validation examples of {manifest.parent}"
    shape = (EXAMPLES, *([2] if cfg.task.documents == 2 else []), cfg.task.length)
    noise = torch.randint(1, cfg.task.vocabulary, shape, generator=torch.Generator().manual_seed(0))
    return noise, None, f"{EXAMPLES} sequences of random tokens, no prepared data in {data}"
