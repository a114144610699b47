"""Print how the cells of a preset stand: done with test accuracy, running, failed, stopped, missing."""

from wise_lra.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import sys
from pathlib import Path

from rich.console import Console

from wise_lra.configuration import options as known
from wise_lra.grid.board import board, listed, presets
from wise_lra.grid.standing import standing
from wise_lra.grid.wishes import Wishes
from wise_lra.results.reading import one_line, skipped
from wise_lra.results.record import read_all

AXES = ("tasks", "backbones", "attentions")


def main() -> int:
    """Return 0; 2 on an option that is not known, or where records cannot be read: they are named."""
    options = parse_options()
    records, runs = options.records, options.runs
    said = [name for name in (*AXES, "seeds") if getattr(options, name).strip()]
    try:
        names = {"preset": known("preset")} | {axis: known(axis.removesuffix("s")) for axis in AXES}
        wishes = Wishes.parsed(vars(options), names)
    except ValueError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2
    faults: list[str] = []
    read_all(records, faults)
    console = Console(width=None if sys.stdout.isatty() else 180)
    here = presets(records, runs)
    left = [name for name in names["preset"] if any(found.partition("-")[0] == name for found in here)]
    for preset in [wishes.preset] if wishes.preset else left or ["quick"]:
        grid = listed(preset, wishes, said, records, runs)
        console.print(board(f"preset={preset}", [standing(cell, records, runs) for cell in grid]))
        changed = [name for name in here if name.startswith(f"{preset}-")]
        if others := [cell for name in changed for cell in listed(name, wishes, said, records, runs)]:
            title = f"preset={preset} with overrides"
            console.print(board(title, [standing(cell, records, runs) for cell in others]))
    for line in skipped(faults):
        print(line, file=sys.stderr)
    return 2 if faults else 0


def parse_options() -> argparse.Namespace:
    """Parse the command line; an option given as "" counts as not given."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    option = parser.add_argument
    option("--preset", default="", help="by default each that has left something on disk, or quick")
    for name in AXES:
        option(f"--{name}", default="", help="with commas between; by default the grid and what is on disk")
    option("--seeds", default="", help="as 0,1,2 or 0..4; by default 0 and what is on disk")
    option("--records", type=Path, default=Path("results/records"), help="folder of records")
    option("--runs", type=Path, default=Path("results/runs"), help="folder of run folders")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
