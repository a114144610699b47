"""Print the status of the runs of a preset: done with accuracies, running, failed, stopped, missing."""

from wise_lra.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import sys
from pathlib import Path

from rich.console import Console

from wise_lra.config import options as known
from wise_lra.results.reading import one_line, skipped
from wise_lra.results.record import SLUG, read_all
from wise_lra.runs.key import RunKey, on_disk, variants_on_disk
from wise_lra.runs.selection import Selection
from wise_lra.runs.status import status_of, table


def main() -> int:
    """Return 0; 2 on an option that is not known, or where records cannot be read: they are named."""
    options = parse_options()
    records, runs = options.records, options.runs
    try:
        selection = Selection.parse(options)
    except ValueError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2
    faults: list[str] = []
    read_all(records, faults)
    console = Console(width=None if sys.stdout.isatty() else 180)
    folders = [path for root in (records, runs) for path in root.glob("*") if path.is_dir()]
    here = sorted({path.name for path in folders if SLUG.fullmatch(path.name)})
    begun = [name for name in known("preset") if any(found.partition("-")[0] == name for found in here)]
    for preset in [selection.preset] if selection.preset else begun or ["quick"]:
        changed = [name for name in here if name.startswith(f"{preset}-")]
        tables = {
            f"preset={preset}": keys(preset, selection, options),
            f"preset={preset} with overrides": [
                k for name in changed for k in found(name, selection, options)
            ],
        }
        for title, shown in tables.items():
            if shown:
                console.print(table(title, [status_of(key, records, runs) for key in shown]))
    for line in skipped(faults):
        print(line, file=sys.stderr)
    return 2 if faults else 0


def found(preset: str, selection: Selection, options: argparse.Namespace) -> list[RunKey]:
    """Return the runs of a preset that are on disk and fit the options given."""
    return [key for key in on_disk(preset, options.records, options.runs) if selection.has(key)]


def keys(preset: str, selection: Selection, options: argparse.Namespace) -> list[RunKey]:
    """Return the selected grid and what else is on disk; a task has the data that its runs on disk have."""
    variants = variants_on_disk(preset, selection.tasks, options.records, options.runs)
    return list(dict.fromkeys([*selection.keys(preset, variants), *found(preset, selection, options)]))


def parse_options() -> argparse.Namespace:
    """Parse the command line; an option given as "" counts as not given."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    Selection.add_options(parser)
    parser.add_argument("--records", type=Path, default=Path("results/records"), help="folder of records")
    parser.add_argument("--runs", type=Path, default=Path("results/runs"), help="folder of run folders")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
