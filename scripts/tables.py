"""Build results/TABLE.md, .csv and .tex and README's table from records and published numbers alone."""

import argparse
import os
import sys
from pathlib import Path

from wise_lra.results import latex, markdown, spreadsheet, tables
from wise_lra.results.atomic import write_text
from wise_lra.results.published import read_published
from wise_lra.results.record import read_all


def main() -> int:
    """Return 0; 1 if --check finds a stale file; 2 if a file cannot be read or README lacks the markers."""
    options = parse_options()
    try:
        records, numbers = read_all(options.records), read_published(options.published)
        built = tables.build_all(records, numbers)
        files = contents(built, options.out, options.readme)
    except (ValueError, OSError) as error:
        print(f"tables: {error}", file=sys.stderr)
        return 2
    if options.check:
        return check(files)
    for path, text in files.items():
        write_text(path, text)
    show([tables.build(records, numbers, options.preset)] if options.preset else built)
    if not records:
        print(f"No records under {options.records}: `make reproduce-lra` makes them; until then, dashes.")
    return 0


def parse_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    option = parser.add_argument
    option("--records", type=Path, default=Path("results/records"), help="folder of records")
    option("--published", type=Path, default=Path("results/published"), help="folder of published numbers")
    option("--out", type=Path, default=Path("results"), help="folder of TABLE.md, TABLE.csv and TABLE.tex")
    option("--readme", type=Path, default=Path("README.md"), help="file that holds the table markers")
    option("--preset", help="print this preset only; the files always hold all")
    option("--check", action="store_true", help="write nothing; exit 1 and name the files that are stale")
    return parser.parse_args()


def contents(built: list[tables.Table], out: Path, readme: Path) -> dict[Path, str]:
    """Return the text of every file; ValueError or OSError if README cannot take its table."""
    link = Path(os.path.relpath(out / "TABLE.md", readme.parent)).as_posix()
    try:
        front = markdown.refreshed(readme.read_text(encoding="utf-8"), markdown.block(built, link))
    except ValueError as error:
        raise ValueError(f"{readme}: {error}") from error
    return {
        out / "TABLE.md": markdown.page(built),
        out / "TABLE.csv": spreadsheet.to_csv(built),
        out / "TABLE.tex": latex.latex(built),
        readme: front,
    }


def check(files: dict[Path, str]) -> int:
    """Name every file whose text on disk is not what the records give."""
    stale = [path for path, text in files.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in stale:
        print(f"{path} is stale: run `make tables`", file=sys.stderr)
    return int(bool(stale))


def show(built: list[tables.Table]) -> None:
    """Print the tables, as wide as the terminal; wide enough for whole lines where there is none."""
    from rich.console import Console

    from wise_lra.results.terminal import drawn

    console = Console(width=None if sys.stdout.isatty() else 180)
    for table in built:
        console.print(drawn(table))


if __name__ == "__main__":
    sys.exit(main())
