"""Print what a grid would cost before anything is spent: its jobs, hours a run and in total on a device.

python scripts/plan.py --preset paper --tasks text,image --seeds 0..4 recipe.steps=400
Hours come from records of the same preset, model and device, else from a few training steps on made-up data.
"""

from wise_lra.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from wise_lra.config import compose
from wise_lra.identity import preset_label
from wise_lra.results.reading import one_line, skipped
from wise_lra.results.record import read_all
from wise_lra.runs import plan
from wise_lra.runs.key import variants_on_disk
from wise_lra.runs.launcher import slots
from wise_lra.runs.selection import Parser, Selection, jobs, preset_for
from wise_lra.runs.status import status_of

RUNS, RECORDS = Path("results/runs"), [Path("results/records"), Path("results/reference")]


def main() -> int:
    """Return 0; 2 on an option or setting that is not known, or where records cannot be read: they are named."""
    parser = Parser(__doc__)
    option = parser.add_argument
    option("--jobs", default="", type=jobs, help="runs at a time; by default one a GPU, or one a core")
    parser.choice("--measure", ("auto", "1", "0"), "1: all; 0: nothing; by default what has no record")
    option("--device", default="", help="what records call the device to plan for; by default this one")
    option("--seconds", type=float, default=60.0, help="for all measurements together, about")
    option("--records", type=Path, nargs="+", default=RECORDS, help="the first holds those that are done")
    option("overrides", nargs="*", help="settings of every run, as scripts/train.py takes them")
    try:
        return show(*parser.select())
    except (ValueError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2


def show(options: argparse.Namespace, selection: Selection) -> int:
    """Print the plan; its runs have the names that overrides give them, and no data are prepared."""
    import torch

    from wise_lra.devices import visible_gpus
    from wise_lra.provenance import device_name

    gpus = visible_gpus()
    if not gpus:
        torch.set_num_threads(1)  # as the runs of a grid have
    preset, _ = preset_for(selection.preset, gpus)
    cfgs, rows = {}, []
    for key in selection.keys(preset):
        if key.model not in cfgs:
            axes = [f"{axis}={getattr(key, axis)}" for axis in ("preset", "task", "backbone", "attention")]
            cfgs[key.model] = compose([*axes, *options.overrides])
        own = preset_label(cfgs[key.model])
        variant = variants_on_disk(own, [key.task], options.records[0], RUNS)[key.task]
        rows.append(status_of(replace(key, preset=own, variant=variant), options.records[0], RUNS))
    faults: list[str] = []
    records = [record for folder in options.records for record in read_all(folder, faults)]
    here = device_name(torch.device("cuda", 0) if gpus else torch.device("cpu"))
    device = options.device or here
    known = {} if options.measure == "1" else plan.recorded(rows, records, device)
    unknown = {model: cfg for model, cfg in cfgs.items() if model not in known and options.measure != "0"}
    if unknown and device != here:
        raise ValueError(f"device={device!r}: no records of it for all cells, and this one is {here!r}")
    with Console(stderr=True).status(f"measuring {len(unknown)} models, about {options.seconds:.0f} s"):
        short = plan.measured(unknown, options.seconds)
    at_a_time = len(slots(gpus, options.jobs))
    table, sums = plan.plan(rows, known, short, f"preset={preset} on {device}", at_a_time)
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    print(sums)
    for line in skipped(faults):
        print(line, file=sys.stderr)
    return 2 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
