"""Print what a grid would cost before anything is spent: its jobs, hours a cell and in total on a device.

python scripts/plan.py --preset paper --tasks text,image --seeds 0..4 recipe.steps=400
Hours come from records of the same preset, model and device, else from a minute of training steps on made-up data.
"""

from wise_lra.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from wise_lra.configuration import compose
from wise_lra.configuration import options as known
from wise_lra.grid.aside import aside
from wise_lra.grid.cells import Cell, cells
from wise_lra.grid.forecast import (
    EVALUATED,
    Forecast,
    Model,
    clock_time,
    forecast,
    model,
    recorded,
    seconds_of,
)
from wise_lra.grid.places import jobs, places, preset_for
from wise_lra.grid.wishes import Wishes
from wise_lra.results.reading import one_line, skipped
from wise_lra.results.record import read_all
from wise_lra.run import preset_label

AXES = ("tasks", "backbones", "attentions")
MEASURES = ("auto", "1", "0")


def main() -> int:
    """Return 0; 2 on an option or setting that is not known, or where records cannot be read: they are named."""
    options = parse_options()
    try:
        if (options.measure or "auto") not in MEASURES:
            raise ValueError(f"measure={options.measure!r}: expected one of {', '.join(MEASURES)}")
        names = {"preset": known("preset")} | {axis: known(axis.removesuffix("s")) for axis in AXES}
        return planned(options, Wishes.parsed(vars(options), names))
    except (ValueError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2


def planned(options: argparse.Namespace, wishes: Wishes) -> int:
    """Print the plan."""
    from wise_lra.trial import device  # named here, imported aside alone: torch takes seconds

    gpus, here = aside(device, 1)
    preset, _ = preset_for(wishes.preset, gpus)
    grid, cfgs = composed(preset, wishes, options.overrides)
    faults: list[str] = []
    records = [record for folder in options.records for record in read_all(folder, faults)]
    wanted = options.device or here
    taken = {} if options.measure == "1" else recorded(grid, records, wanted)
    missing = [key for key in cfgs if key not in taken]
    measured = {}
    if missing and options.measure != "0":
        if wanted != here:
            raise ValueError(f"device={wanted!r}: no records of it for all cells, and this one is {here!r}")
        measured = timed({key: cfgs[key] for key in missing}, options.seconds, None if gpus else 1)
    done = [record for record in records if record.path(options.records[0]).exists()]
    rows = forecast(grid, done, taken, measured)
    at_a_time = len(places(gpus, jobs(options.jobs)))
    show(rows, f"preset={preset} on {wanted}", at_a_time)
    for line in skipped(faults):
        print(line, file=sys.stderr)
    return 2 if faults else 0


def composed(
    preset: str, wishes: Wishes, overrides: Sequence[str]
) -> tuple[list[Cell], dict[Model, DictConfig]]:
    """Return the grid under the names of its records, and the configuration of each model."""
    seeds = {}
    for cell in cells(preset, dict.fromkeys(wishes.tasks, ""), wishes.backbones, wishes.attentions, [0]):
        axes = [f"{axis}={getattr(cell, axis)}" for axis in ("preset", "task", "backbone", "attention")]
        seeds[model(cell)] = compose([*axes, *overrides])
    labels = {key: preset_label(cfg) for key, cfg in seeds.items()}
    grid = [
        Cell(preset=label, task=task, backbone=backbone, attention=attention, seed=seed)
        for seed in wishes.seeds
        for (task, backbone, attention), label in labels.items()
    ]
    return grid, seeds


def timed(
    cfgs: dict[Model, DictConfig], seconds: float, threads: int | None
) -> dict[Model, tuple[float, str]]:
    """Return the seconds of a cell of each model, measured here, and at what size of batch."""
    from wise_lra.trial import paces

    found = {}
    with Console(stderr=True).status(f"measuring {len(cfgs)} models, about {seconds:.0f} s"):
        measured = aside(paces, list(cfgs.values()), seconds, threads)
    for (key, cfg), pace in zip(cfgs.items(), measured, strict=True):
        if pace is None:
            continue
        recipe, data = cfg.recipe, cfg.data
        sizes = [data.validation_examples, data.test_examples]
        validation, test = (
            min(most or full, full) for most, full in zip(sizes, EVALUATED[key[0]], strict=True)
        )
        validations = -(-recipe.steps // recipe.validate_every)
        took = seconds_of(
            pace.train, pace.evaluation, recipe.steps, recipe.batch_size, validations, (validation, test)
        )
        how = (
            f"{pace.size} of {recipe.batch_size} at a time" if pace.size else "at least; too slow to say more"
        )
        found[key] = took, f"measured, {how}"
    return found


def show(rows: Sequence[Forecast], title: str, at_a_time: int) -> None:
    """Print the rows and their sums."""
    table = Table(title=title, title_justify="left")
    for name in ("task", "backbone", "attention"):
        table.add_column(name)
    for name in ("jobs", "done", "hours each", "hours left"):
        table.add_column(name, justify="right")
    table.add_column("from")
    for row in rows:
        each = "?" if row.seconds is None else hours(row.seconds)
        left = "?" if row.seconds is None else hours(row.left)
        table.add_row(*row.model, str(row.cells), str(row.done), each, left, row.source)
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    jobs, done = sum(row.cells for row in rows), sum(row.done for row in rows)
    unknown = sum(row.cells - row.done for row in rows if row.seconds is None)
    print(
        f"{jobs} jobs, {done} done; {hours(sum(row.left for row in rows))} device-hours left, "
        f"{hours(clock_time(rows, at_a_time))} hours on the clock with {at_a_time} at a time"
        + f"; {unknown} jobs not estimated"
        * bool(unknown)
    )


def hours(seconds: float) -> str:
    """Return 5400 as "1.50", 5_400_000 as "1,500"."""
    found = seconds / 3600
    return f"{found:,.0f}" if found >= 100 else f"{found:.2f}"


def parse_options() -> argparse.Namespace:
    """Parse the command line; an option given as "" counts as not given."""
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    option = parser.add_argument
    option("--preset", default="", help="by default paper where a CUDA device is, else quick")
    for name in AXES:
        option(f"--{name}", default="", help="with commas between; by default those of the grid")
    option("--seeds", default="", help="as 0,1,2 or 0..4; by default 0")
    option("--jobs", default="", help="cells at a time; by default one a GPU, or one a core")
    option("--measure", default="", help="1: measure all; 0: records alone; by default what has no record")
    option("--device", default="", help="what records call the device to plan for; by default this one")
    option("--seconds", type=float, default=60.0, help="for all measurements together, about")
    option(
        "--records",
        type=Path,
        nargs="+",
        default=[Path("results/records"), Path("results/reference")],
        help="folders of records; the first holds those that are done",
    )
    option("overrides", nargs="*", help="settings of every cell, as scripts/train.py takes them")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
