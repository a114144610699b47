"""Draw what the wavelets of a run learned, or any wavelet of PyWavelets: PNG and SVG files.

  make wavelets RUN=results/runs/quick/image/wise_adaptive/softmax/seed0
  python scripts/plot_wavelets.py --wavelet db8

For a run, which needs its config.json and checkpoints/best.ckpt, four figures in <run>/wavelets: scaling and
wavelet functions, frequency responses, reconstruction error by level, energy of the bands over the layers. Before
is the model as the run's seed made it, after is its best checkpoint.
"""

from wise_lra.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from wise_lra.configuration import stored
from wise_lra.data.packed import PackedSplit, read_manifest
from wise_lra.evaluation import built, restored, untrained
from wise_lra.plots import (
    banks,
    draw_energies,
    draw_errors,
    draw_functions,
    draw_responses,
    energies,
    errors,
    functions,
    responses,
    save,
)
from wise_lra.results.reading import one_line, read_json
from wise_lra.wavelets import FixedBank

EXAMPLES = 32
LENGTH = 1024  # of the noise that a wavelet without a run is measured with


class NothingToDraw(ValueError):
    """A run that is not there, or has no wavelets."""


def main() -> int:
    """Return 0; 1 where there is nothing to draw, 2 on a bad command line."""
    options = parse_options()
    try:
        if options.wavelet:
            written = draw_wavelet(options.wavelet, options.out or Path("results/wavelets") / options.wavelet)
        else:
            written = draw_run(options.run, options.data, options.out or options.run / "wavelets")
    except (ValueError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1
    for path in written:
        print(path)
    return 0


def parse_options() -> argparse.Namespace:
    """Parse the command line: a run's folder, or --wavelet NAME."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    option = parser.add_argument
    option("run", nargs="?", type=Path, help="folder of a trained run")
    option("--wavelet", help="name of a discrete wavelet of PyWavelets, or db1 to db128, in place of a run")
    option("--data", type=Path, default=Path("data"), help="folder of prepared data (the run's data.root)")
    option("--out", type=Path, help="folder for the figures")
    options = parser.parse_args()
    if (options.run is None) == (options.wavelet is None):
        parser.error("expected a run's folder (make wavelets RUN=results/runs/...) or --wavelet NAME")
    return options


def draw_wavelet(name: str, folder: Path) -> list[Path]:
    """Draw a wavelet by its name. Raises ValueError where there is none."""
    bank = FixedBank(name)
    drawn = {
        "functions": draw_functions({name: functions(bank)}, name),
        "responses": draw_responses({name: responses(bank)}, name),
        "errors": draw_errors({name: [errors(bank, LENGTH, 1)]}, name),
    }
    return [path for figure, drawing in drawn.items() for path in save(drawing, folder, figure)]


def draw_run(run: Path, data: Path, folder: Path) -> list[Path]:
    """Draw the banks of a run's layers before and after training. Raises NothingToDraw, and what torch raises."""
    cfg, before, after = loaded(run)
    title = f"{cfg.task.name} · {cfg.backbone.name} · {cfg.attention.name} · seed {cfg.seed}"
    first, length, channels = banks(after), cfg.model.length + (cfg.model.pool == "cls"), cfg.model.d_model
    states = {"before training": before, "after training": after}
    tokens, mask, said = examples(cfg, run, data)
    drawn = {}
    for layer in range(len(first)):
        of = {state: banks(model)[layer][1] for state, model in states.items()}
        name = f"{title} · layer {layer + 1}"
        drawn[f"functions-layer{layer + 1}"] = draw_functions({s: functions(b) for s, b in of.items()}, name)
        drawn[f"responses-layer{layer + 1}"] = draw_responses({s: responses(b) for s, b in of.items()}, name)
    drawn["errors"] = draw_errors(
        {
            state: [errors(bank, length, channels) for _, bank in banks(model)]
            for state, model in states.items()
        },
        title,
    )
    shares = {s: energies(model, lambda model=model: model(tokens, mask)) for s, model in states.items()}  # type: ignore[misc]
    drawn["energies"] = draw_energies(shares, title, said)
    return [path for figure, drawing in drawn.items() for path in save(drawing, folder, figure)]


def loaded(run: Path) -> tuple[DictConfig, torch.nn.Module, torch.nn.Module]:
    """Return a run's configuration, its model untrained, and its model at the best checkpoint."""
    note, best = run / "config.json", run / "checkpoints" / "best.ckpt"
    for file in (note, best):
        if not file.is_file():
            raise NothingToDraw(
                f"{run}: no trained run there ({file.relative_to(run)} is missing); expected a folder "
                "results/runs/<preset>/<task>/<backbone>/<attention>/seed<k>"
            )
    cfg = stored(read_json(note, "a run's configuration"), note)
    after = restored(cfg, best)
    if not banks(after):
        raise NothingToDraw(f"{run}: backbone={cfg.backbone.name} has no wavelets; expected one of wise_*")
    return cfg, untrained(cfg), after


def examples(cfg: DictConfig, run: Path, data: Path) -> tuple[Any, Any, str]:
    """Return tokens, mask and a word on what they are: validation examples where prepared, else noise."""
    variant = run.resolve().parents[2].name.removeprefix(cfg.task.name).removeprefix("-")
    newest_first = sorted((data / cfg.task.name).glob("*/manifest.json"), key=_age)
    for manifest in newest_first:
        try:
            facts = read_manifest(manifest.parent)
        except ValueError:  # prepared by another version
            continue
        if (facts["variant"], facts["protocol"]) == (variant, cfg.data.protocol):
            split = PackedSplit(manifest.parent, "validation", built(cfg, "task"))
            batch = split.batch(np.arange(min(EXAMPLES, len(split))), cfg.task.length)
            return batch.tokens, batch.mask, f"{len(batch.labels)} validation examples of {manifest.parent}"
    documents = (2,) if cfg.task.documents == 2 else ()
    shape = (EXAMPLES, *documents, cfg.task.length)
    noise = torch.randint(1, cfg.task.vocabulary, shape, generator=torch.Generator().manual_seed(0))
    return noise, None, f"{EXAMPLES} sequences of random tokens, no prepared data in {data}"


def _age(file: Path) -> float:
    return -file.stat().st_mtime


if __name__ == "__main__":
    sys.exit(main())
