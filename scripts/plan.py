"""Print what a grid would cost before anything is spent: its jobs, hours a run and in total on a device.

python scripts/plan.py --preset paper --tasks text,image --seeds 0..4 recipe.steps=400
Hours come from records of the same preset, model and device, else from a few training steps on made-up data.
"""

from wise_lra.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from wise_lra.config import compose
from wise_lra.results.reading import one_line, skipped
from wise_lra.results.record import read_all
from wise_lra.run import preset_label
from wise_lra.runs.key import RunKey, variants_on_disk
from wise_lra.runs.launcher import slots
from wise_lra.runs.plan import Forecast, Model, clock_time, forecast, recorded, seconds_of
from wise_lra.runs.selection import Selection, jobs, preset_for
from wise_lra.runs.status import RunStatus, status_of

MEASURES = ("auto", "1", "0")


def main() -> int:
    """Return 0; 2 on an option or setting that is not known, or where records cannot be read: they are named."""
    options = parse_options()
    try:
        if (options.measure or "auto") not in MEASURES:
            raise ValueError(f"measure={options.measure!r}: expected one of {', '.join(MEASURES)}")
        return plan(options, Selection.parse(options))
    except (ValueError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2


def plan(options: argparse.Namespace, selection: Selection) -> int:
    """Print the plan."""
    at_a_time = jobs(options.jobs)
    composed(
        selection.preset or "quick", selection, options.overrides
    )  # its mistakes, before torch is imported
    import torch

    from wise_lra.devices import visible_gpus
    from wise_lra.provenance import device_name

    gpus = visible_gpus()
    if not gpus:
        torch.set_num_threads(1)  # as the runs of a grid have
    here = device_name(torch.device("cuda", 0) if gpus else torch.device("cpu"))
    preset, _ = preset_for(selection.preset, gpus)
    cfgs = composed(preset, selection, options.overrides)
    rows = statuses(cfgs, selection, options.records[0])
    wanted, known = options.device or here, {}
    faults: list[str] = []
    records = [record for folder in options.records for record in read_all(folder, faults)]
    if options.measure != "1":
        known = recorded([row.key for row in rows], records, wanted)
    unknown = {model: cfg for model, cfg in cfgs.items() if model not in known}
    if unknown and options.measure != "0" and wanted != here:
        raise ValueError(f"device={wanted!r}: no records of it for all cells, and this one is {here!r}")
    measured = {} if options.measure == "0" else timed(unknown, options.seconds)
    show(forecast(rows, known, measured), f"preset={preset} on {wanted}", len(slots(gpus, at_a_time)))
    for line in skipped(faults):
        print(line, file=sys.stderr)
    return 2 if faults else 0


def composed(preset: str, selection: Selection, overrides: Sequence[str]) -> dict[Model, DictConfig]:
    """Return the configuration of each model of the grid. Raises ConfigurationError."""
    found = {}
    for key in selection.keys(preset):
        axes = [f"{axis}={getattr(key, axis)}" for axis in ("preset", "task", "backbone", "attention")]
        if key.model not in found:
            found[key.model] = compose([*axes, *overrides])
    return found


def statuses(cfgs: Mapping[Model, DictConfig], selection: Selection, records: Path) -> list[RunStatus]:
    """Return the table of the grid's runs, under the names that overrides give them; no data are prepared."""
    runs, rows = Path("results/runs"), []
    for (task, backbone, attention), cfg in cfgs.items():
        axes = {"preset": preset_label(cfg), "task": task, "backbone": backbone, "attention": attention}
        axes["variant"] = variants_on_disk(axes["preset"], [task], records, runs)[task]
        rows += [status_of(RunKey(**axes, seed=seed), records, runs) for seed in selection.seeds]
    return rows


def timed(cfgs: Mapping[Model, DictConfig], seconds: float) -> dict[Model, float]:
    """Return the seconds of a run of each model, from a few steps here; a model that does not fit is left out."""
    from wise_lra.find_batch import seconds_an_example

    found = {}
    with Console(stderr=True).status(f"measuring {len(cfgs)} models, about {seconds:.0f} s"):
        for model, cfg in cfgs.items():
            if pace := seconds_an_example(cfg, seconds / len(cfgs)):
                found[model] = seconds_of(cfg, *pace)
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
        each, left = ("?", "?") if row.seconds is None else (hours(row.seconds), hours(row.left))
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
    Selection.add_options(parser)
    option = parser.add_argument
    option("--jobs", default="", help="runs at a time; by default one a GPU, or one a core")
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
    option("overrides", nargs="*", help="settings of every run, as scripts/train.py takes them")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
