"""Prepare the data, train every run of the grid that has no record yet, and print the table.

python scripts/reproduce.py --preset quick --tasks image,text --seeds 0..4 recipe.steps=400
"""

from wise_lra.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import sys
from pathlib import Path

from wise_lra.config import options as known
from wise_lra.config import purpose
from wise_lra.results.reading import one_line
from wise_lra.runs.reproduce import expect_settings, reproduce
from wise_lra.runs.selection import Parser, jobs, preset_for, quoted


def main() -> int:
    """Return 0 when every run has its record, 1 when something failed, 2 on a bad option, 130 on Ctrl-C.

    Also, where nothing failed, 75 when a run was out of time (trainer.max_time) and 130 when one was interrupted.
    """
    parser = Parser(__doc__)
    option = parser.add_argument
    option("--data", default="", help="a folder with archives of the real data")
    option("--source", default="", help="auto, release, generated or standin")
    option("--jobs", default="", type=jobs, help="runs at a time; by default one a GPU, or one a core")
    parser.choice("--launcher", known("hydra/launcher"))
    option("--records", type=Path, default=Path("results/records"), help="folder of records")
    option("--runs", type=Path, default=Path("results/runs"), help="folder of run folders")
    option("overrides", nargs="*", help="settings of every run, as scripts/train.py takes them")
    options, selection = parser.select()
    overrides = [f"data.source={options.source}"] if options.source else []
    overrides += [f"data.archives={quoted(Path(options.data))}"] if options.data else []
    overrides += options.overrides
    try:
        expect_settings(options.overrides)
        for name in known("preset"):
            print(f"PRESET={name:<6} {purpose('preset', name)}", flush=True)
        from wise_lra.config import preparations
        from wise_lra.devices import visible_gpus  # torch takes seconds to import

        gpus = visible_gpus()
        preset, _ = preset_for(selection.preset, gpus)
        preparations(selection.tasks, preset, overrides)  # a source that a task does not have ends here
        return reproduce(
            selection,
            overrides,
            gpus,
            jobs=options.jobs,
            launcher=options.launcher,
            records=options.records,
            runs=options.runs,
        )
    except (ValueError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
