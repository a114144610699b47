"""Prepare the data, train every run of the grid that has no record yet, and print the table.

python scripts/reproduce.py --preset quick --tasks image,text --seeds 0..4 recipe.steps=400
"""

from wise_lra.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import sys
from pathlib import Path

from wise_lra.config import options as known
from wise_lra.config import purpose
from wise_lra.results.reading import one_line
from wise_lra.runs.reproduce import expect_settings, reproduce
from wise_lra.runs.selection import Selection, jobs, preset_for, quoted

LAUNCHERS = known("hydra/launcher")


def main() -> int:
    """Return 0 when every run has its record, 1 when something failed, 2 on a bad option, 130 on Ctrl-C.

    Also, where nothing failed, 75 when a run was out of time (trainer.max_time) and 130 when one was interrupted.
    """
    options = parse_options()
    try:
        selection, at_a_time = Selection.parse(options), jobs(options.jobs)
        if options.launcher and options.launcher not in LAUNCHERS:
            raise ValueError(f"launcher={options.launcher!r}: expected one of {', '.join(LAUNCHERS)}")
        sources = [f"data.source={options.source}"] if options.source else []
        sources += [f"data.archives={quoted(Path(options.data))}"] if options.data else []
        expect_settings(options.overrides)
        for name in known("preset"):
            print(f"PRESET={name:<6} {purpose('preset', name)}", flush=True)
        from wise_lra.devices import visible_gpus  # torch takes seconds to import
        from wise_lra.preparation import preparations

        gpus = visible_gpus()
        preset, _ = preset_for(selection.preset, gpus)
        preparations(
            selection.tasks, preset, [*sources, *options.overrides]
        )  # a source that a task does not have
        return reproduce(
            selection,
            [*sources, *options.overrides],
            gpus,
            jobs=at_a_time,
            launcher=options.launcher,
            records=options.records,
            runs=options.runs,
        )
    except (ValueError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2


def parse_options() -> argparse.Namespace:
    """Parse the command line; an option given as "" counts as not given."""
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    Selection.add_options(parser)
    option = parser.add_argument
    option("--data", default="", help="a folder with archives of the real data")
    option("--source", default="", help="auto, release, generated or standin")
    option("--jobs", default="", help="runs at a time; by default one a GPU, or one a core")
    option("--launcher", default="", help=f"send the grid to one of {', '.join(LAUNCHERS)}")
    option("--records", type=Path, default=Path("results/records"), help="folder of records")
    option("--runs", type=Path, default=Path("results/runs"), help="folder of run folders")
    option("overrides", nargs="*", help="settings of every run, as scripts/train.py takes them")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
