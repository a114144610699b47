"""Prepare the data of tasks and say what they are, or `show` some of them.

python scripts/prepare_data.py --tasks image,text --archives /folder/of/archives --preset lra
python scripts/prepare_data.py show task=pathfinder        saves a picture; of text it prints some
"""

from wise_lra.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import sys
from pathlib import Path

from rich.console import Console

from wise_lra.progress import bars
from wise_lra.registry import TASKS
from wise_lra.results.reading import one_line
from wise_lra.runs.selection import preset_for


def main() -> int:
    """Return 0; 1 where a task could not be prepared; 2 on a bad option; 130 on Ctrl-C."""
    options = parse_options()
    console = Console(width=None if sys.stdout.isatty() else 170)
    show = "show" in options.words
    overrides = [word for word in options.words if word != "show" and not word.startswith("task=")]
    if options.source:
        overrides.append(f"data.source={options.source}")
    chosen = options.tasks or ",".join(word[5:] for word in options.words if word.startswith("task="))
    tasks = [task for task in (chosen or ",".join(TASKS)).split(",") if task]
    given = {key: Path(value) for key in ("archives", "release", "root") if (value := getattr(options, key))}
    try:
        if unknown := [task for task in tasks if task not in TASKS]:
            raise ValueError(f"task {', '.join(unknown)}: unknown, expected some of {', '.join(TASKS)}")
        from wise_lra.config import preparations
        from wise_lra.devices import visible_gpus

        preset, why = preset_for(options.preset, [] if options.preset else visible_gpus())
        wanted = preparations(tasks, preset, overrides)
    except ValueError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2
    console.print(f"preset={preset}: {why}", soft_wrap=True)
    from wise_lra.data import look
    from wise_lra.data.prepare import prepare

    done = {}
    for task, arguments in wanted.items():
        with bars(console) as progress:
            try:
                done[task] = prepare(**(arguments | given), progress=progress)
            except (ValueError, OSError) as error:
                print(f"error: {one_line(error)}", file=sys.stderr)
    for task, found in done.items():
        if show:
            look.show(wanted[task]["task"], found.folder, options.split, options.count, console)
    if done and not show:
        console.print(look.summary([found.manifest for found in done.values()]))
    return int(len(done) < len(wanted))


def parse_options() -> argparse.Namespace:
    """Parse the command line; an option given as "" counts as not given."""
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    option = parser.add_argument
    option("--tasks", default="", help="with commas between; by default all five")
    option("--preset", default="", help="whose sizes: quick, small, lra or paper; by default as reproduce.py")
    option("--source", default="", help="auto (by default), release, generated or standin")
    option("--archives", default="", help="a folder of archives of the real data, or of what they unpack to")
    option("--release", default="", help="LRA's release: the archive, or the folder that it unpacks to")
    option("--root", default="", help="folder of prepared data; by default data")
    option("--split", default="train", choices=("train", "validation", "test"), help="of which to show some")
    option("--count", type=int, default=0, help="how many to show; by default 60 images or 3 texts")
    option("words", nargs="*", help="`show`, and settings as scripts/train.py takes them")
    return parser.parse_intermixed_args()


if __name__ == "__main__":
    sys.exit(main())
