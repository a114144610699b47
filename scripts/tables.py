"""Build results/TABLE.md, .csv and .tex from records and published numbers alone, and print the tables.

--adopt puts the records into results/reference, which the project has in git, and refreshes what follows from them:
README's table, docs/results.md, and the learning curves. --flops refreshes the cost of `lra` and `paper` there.
"""

from wise_lra.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import sys
from pathlib import Path

from rich.console import Console, Group
from rich.table import Table as Grid
from rich.text import Text

from wise_lra.registry import PRESETS
from wise_lra.results import latex, markdown, spreadsheet
from wise_lra.results.atomic import write_text
from wise_lra.results.published import Numbers, read_published
from wise_lra.results.reading import one_line, skipped
from wise_lra.results.record import read_all
from wise_lra.results.reference import adopt, front
from wise_lra.results.tables import Table, build_all
from wise_lra.results.text import checklist, lines, notes


def main() -> int:
    """Return 0; 1 if --check finds a stale file; 2 if a file cannot be read or written or README lacks the markers.

    A record that cannot be read is named and left out; --adopt and --check refuse it, for a reference is whole.
    """
    options = parse_options()
    faults: list[str] = []
    try:
        numbers = read_published(options.published)
        if options.flops:
            from wise_lra.flops import cost  # here: it imports torch

            page = options.readme.parent / "docs" / "results.md"
            write_text(page, markdown.refreshed(page, markdown.section(cost()), "flops"))
            return 0
        if options.check:
            return check(options, numbers)
        records = read_all(options.records, None if options.adopt else faults)
        tables = build_all(records, numbers)
        shown = chosen(tables, options)
        if options.adopt:
            adopt(records, options.records, numbers, options.reference, options.readme)
        else:
            write_text(options.out / "TABLE.md", markdown.page(tables))
            write_text(options.out / "TABLE.csv", spreadsheet.to_csv(tables))
            write_text(options.out / "TABLE.tex", latex.latex(tables))
    except (ValueError, OSError) as error:
        print(f"tables: {one_line(error)}", file=sys.stderr)
        return 2
    if dirty := sum(record.dirty for record in records) * options.adopt:
        print(f"note: {dirty} records were made with uncommitted changes", file=sys.stderr)
    console = Console(width=None if sys.stdout.isatty() else 180)  # wide enough for whole lines in a file
    for table in shown:
        console.print(for_terminal(table))
    if all(table.empty for table in shown):
        print(f"No records under {options.records}: `make reproduce-lra` makes them; until then, dashes.")
    for line in skipped(faults):
        print(line, file=sys.stderr)
    return 2 if faults else 0


def for_terminal(table: Table) -> Group:
    """Return what a terminal shows: the table, its notes, and a line a claim of the paper."""
    grid = Grid(title=f"preset={table.preset}", title_justify="left")
    for place, label in enumerate(("", *table.header)):
        grid.add_column(label, justify="right" if place else "left")
    for line in lines(table):
        grid.add_row(line.label, *(Text(text, "bold green" if best else "") for text, best in line))
    claims = ["The paper's claims (TABLE.md says when one holds):", *checklist(table.claims)]
    return Group(
        grid, *(Text(note, "dim") for note in notes(table)), *map(Text, [] if table.empty else claims)
    )


def parse_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, place, what in (
        ("records", "results/records", "folder of this machine's records"),
        ("published", "results/published", "folder of published numbers"),
        ("out", "results", "folder of TABLE.md, TABLE.csv and TABLE.tex"),
        ("reference", "results/reference", "folder of the records in git"),
        (
            "readme",
            "README.md",
            "file with the markers of the table; docs/results.md is looked for beside it",
        ),
    ):
        parser.add_argument(f"--{name}", type=Path, default=Path(place), help=what)
    parser.add_argument(
        "--preset", help="print this one; by default quick, small, lra and paper. The files always hold all"
    )
    for name, what in (
        ("adopt", "copy the records to --reference and refresh README's table"),
        ("check", "write nothing; exit 1 if a file made of --reference is stale"),
        ("flops", "refresh the GPU hours of lra and paper in docs/results.md"),
    ):
        parser.add_argument(f"--{name}", action="store_true", help=what)
    return parser.parse_args()


def chosen(tables: list[Table], options: argparse.Namespace) -> list[Table]:
    """Return the tables to print. Raises ValueError on a preset that is not known."""
    if not options.preset:
        return [table for table in tables if not table.changed]
    known = dict.fromkeys((*PRESETS, *(table.preset for table in tables)))
    if options.preset not in known:
        raise ValueError(
            f"--preset {options.preset}: no records of it under {options.records}; "
            f"expected one of {', '.join(known)}"
        )
    return [table for table in tables if table.preset == options.preset]


def check(options: argparse.Namespace, numbers: Numbers) -> int:
    """Return 1 and name the files whose text is not what the records of the reference give; 0 without any."""
    files = front(read_all(options.reference), numbers, options.reference, options.readme)
    stale = [path for path, text in files.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in stale:
        print(f"{path} is stale: run `make reference`, or take back the change", file=sys.stderr)
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main())
