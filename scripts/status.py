"""Print the status of the runs of a preset: done with accuracies, running, failed, stopped, missing."""

from wise_lra.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import sys
from itertools import chain
from pathlib import Path

from rich.console import Console

from wise_lra.config import options as known
from wise_lra.results.reading import skipped
from wise_lra.results.record import SLUG, read_all
from wise_lra.runs.key import on_disk, variants_on_disk
from wise_lra.runs.selection import Parser
from wise_lra.runs.status import status_of, table


def main() -> int:
    """Return 0; 2 on an option that is not known, or where records cannot be read: they are named."""
    parser = Parser(__doc__)
    parser.add_argument("--records", type=Path, default=Path("results/records"), help="folder of records")
    parser.add_argument("--runs", type=Path, default=Path("results/runs"), help="folder of run folders")
    options, selection = parser.select()
    roots = options.records, options.runs
    console = Console(width=None if sys.stdout.isatty() else 180)
    folders = [path.name for root in roots for path in root.glob("*") if path.is_dir()]
    here = sorted({name for name in folders if SLUG.fullmatch(name)})
    begun = [name for name in known("preset") if any(one.partition("-")[0] == name for one in here)]
    for preset in [selection.preset] if selection.preset else begun or ["quick"]:
        changed = [name for name in here if name.startswith(f"{preset}-")]
        others = {name: [k for k in on_disk(name, *roots) if selection.has(k)] for name in [preset, *changed]}
        keys = selection.keys(preset, variants_on_disk(preset, selection.tasks, *roots)) + others.pop(preset)
        tables = {f"preset={preset}": dict.fromkeys(keys)}
        tables[f"preset={preset} with overrides"] = dict.fromkeys(chain(*others.values()))
        for title, shown in tables.items():
            if shown:
                console.print(table(title, [status_of(key, *roots) for key in shown]))
    faults: list[str] = []
    read_all(options.records, faults)
    for line in skipped(faults):
        print(line, file=sys.stderr)
    return 2 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
