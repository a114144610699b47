"""Prepare the data, train every cell of the grid that has no record yet, and print the table.

python scripts/reproduce.py --preset quick --tasks image,text --seeds 0..4 recipe.steps=400
"""

from wise_lra.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from wise_lra.bars import bars
from wise_lra.configuration import options as known
from wise_lra.configuration import purpose
from wise_lra.grid.aside import aside
from wise_lra.grid.cells import cells
from wise_lra.grid.places import jobs
from wise_lra.grid.reproduction import Plan, Reproduction, quoted
from wise_lra.grid.wishes import Wishes

SCRIPTS = Path(os.path.relpath(Path(__file__).parent))
LAUNCHERS = known("hydra/launcher")
AXES = ("tasks", "backbones", "attentions")


def main() -> int:
    """Return 0 when every cell has its record, 1 when something failed, 2 on a bad option, 130 on Ctrl-C.

    Also, where nothing failed, 75 when a cell was out of time (trainer.max_time) and 130 when one was interrupted.
    """
    options = parse_options()
    try:
        names = {"preset": known("preset")} | {axis: known(axis.removesuffix("s")) for axis in AXES}
        wishes = Wishes.parsed(vars(options), names)
        sources = [f"data.source={options.source}"] if options.source else []
        sources += [f"data.archives={quoted(Path(options.data))}"] if options.data else []

        def tables(preset: str) -> int:
            where = ["--records", str(options.records), "--out", str(options.records.parent)]
            command = [sys.executable, str(SCRIPTS / "tables.py"), "--preset", preset, *where]
            return subprocess.run(command, check=False).returncode

        if options.launcher and options.launcher not in LAUNCHERS:
            raise ValueError(f"launcher={options.launcher!r}: expected one of {', '.join(LAUNCHERS)}")
        sent = sources if options.launcher else []  # a job finds its data as the plan did
        for name in names["preset"]:
            print(f"PRESET={name:<6} {purpose('preset', name)}", flush=True)
        return Reproduction(
            wishes=wishes,
            jobs=jobs(options.jobs),
            overrides=[*sent, *options.overrides],
            records=options.records,
            runs=options.runs,
            gpus=lambda: aside(visible_gpus),
            plan=lambda preset: aside(plan, preset, wishes, options.overrides, sources),
            train=[sys.executable, str(SCRIPTS / "train.py")],
            tables=tables,
            launcher=options.launcher,
        ).run()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def parse_options() -> argparse.Namespace:
    """Parse the command line; an option given as "" counts as not given."""
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    option = parser.add_argument
    option(
        "--preset",
        default="",
        help="quick, small, lra or paper; by default paper where a CUDA device is, else quick",
    )
    option("--tasks", default="", help="with commas between; by default all five")
    option(
        "--backbones",
        default="",
        help="with commas between; by default vanilla,fnet,wise_fixed,wise_adaptive",
    )
    option("--attentions", default="", help="with commas between; by default softmax")
    option("--seeds", default="", help="as 0,1,2 or 0..4; by default 0")
    option("--data", default="", help="a folder with archives of the real data")
    option("--source", default="", help="auto, release, generated or standin")
    option("--jobs", default="", help="cells at a time; by default one a GPU, or one a core")
    option("--launcher", default="", help=f"send the grid to one of {', '.join(LAUNCHERS)}")
    option("--records", type=Path, default=Path("results/records"), help="folder of records")
    option("--runs", type=Path, default=Path("results/runs"), help="folder of run folders")
    option("overrides", nargs="*", help="settings of every cell, as scripts/train.py takes them")
    return parser.parse_args()


def visible_gpus() -> list[str]:
    """Return the names of the visible GPUs; called aside, for torch is large."""
    from wise_lra.devices import visible_gpus

    return visible_gpus()


def plan(preset: str, wishes: Wishes, overrides: Sequence[str], sources: Sequence[str]) -> Plan:
    """Check all settings, then prepare the data of each task; called aside, for it imports torch and Lightning."""
    from wise_lra.configuration import compose
    from wise_lra.data.prepare import prepare
    from wise_lra.preparation import preparations
    from wise_lra.run import preset_label

    settings = preparations(wishes.tasks, preset, [*overrides, *sources])
    labels, data, unprepared = {}, {}, {}
    grid = cells(preset, dict.fromkeys(wishes.tasks, ""), wishes.backbones, wishes.attentions, [0])
    for cell in grid if overrides else []:
        axes = [f"{axis}={getattr(cell, axis)}" for axis in ("preset", "task", "backbone", "attention")]
        labels[cell.task, cell.backbone, cell.attention] = preset_label(compose([*axes, *overrides]))
    console = Console()
    for task, arguments in settings.items():
        try:
            with bars(console) as progress:
                prepared = prepare(**arguments, progress=progress)
            data[task] = prepared.folder, prepared.manifest["variant"]
        except (ValueError, OSError) as error:
            unprepared[task] = str(error)
    return Plan(data, unprepared, labels)


if __name__ == "__main__":
    sys.exit(main())
