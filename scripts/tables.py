"""Build results/TABLE.md, .csv and .tex from records and published numbers alone.

README.md shows another set of records: those in results/reference, which the project keeps in git.
"""

from wise_lra.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import os
import shutil
import sys
from pathlib import Path

from wise_lra.registry import PRESETS
from wise_lra.results import latex, markdown, spreadsheet, tables
from wise_lra.results.atomic import write_bytes, write_text
from wise_lra.results.published import Numbers, read_published
from wise_lra.results.reading import one_line, skipped
from wise_lra.results.record import Record, read_all


def main() -> int:
    """Return 0; 1 if --check finds a stale file; 2 if a file cannot be read or written or README lacks the markers.

    A record that cannot be read is named and left out; --adopt and --check refuse it, for a reference is whole.
    """
    options = parse_options()
    faults: list[str] = []
    try:
        numbers = read_published(options.published)
        if options.check:
            return check(front(read_all(options.reference), numbers, options.reference, options.readme))
        records = read_all(options.records, None if options.adopt else faults)
        known = dict.fromkeys((*PRESETS, *(record.preset for record in records)))
        if options.preset and options.preset not in known:
            raise ValueError(
                f"--preset {options.preset}: no records of it under {options.records}; "
                f"expected one of {', '.join(known)}"
            )
        if options.adopt:
            adopt(records, options, numbers)
        else:
            for path, text in pages(records, numbers, options.out).items():
                write_text(path, text)
    except (ValueError, OSError) as error:
        print(f"tables: {one_line(error)}", file=sys.stderr)
        return 2
    presets = (options.preset,) if options.preset else PRESETS
    shown = [record for record in records if record.preset in presets]
    show(shown, numbers)
    if not shown:
        print(f"No records under {options.records}: `make reproduce-lra` makes them; until then, dashes.")
    for line in skipped(faults):
        print(line, file=sys.stderr)
    return 2 if faults else 0


def parse_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    option = parser.add_argument
    option("--records", type=Path, default=Path("results/records"), help="folder of this machine's records")
    option("--published", type=Path, default=Path("results/published"), help="folder of published numbers")
    option("--out", type=Path, default=Path("results"), help="folder of TABLE.md, TABLE.csv and TABLE.tex")
    option(
        "--reference", type=Path, default=Path("results/reference"), help="folder of the records kept in git"
    )
    option("--readme", type=Path, default=Path("README.md"), help="file that holds the table markers")
    option(
        "--preset", help="print this one; by default quick, small, lra and paper. The files always hold all"
    )
    option("--adopt", action="store_true", help="copy the records to --reference and refresh README's table")
    option("--check", action="store_true", help="write nothing; exit 1 if README's table is stale")
    return parser.parse_args()


def pages(records: list[Record], numbers: Numbers, out: Path) -> dict[Path, str]:
    """Return the text of the three files of a set of records."""
    built = tables.build_all(records, numbers)
    return {
        out / "TABLE.md": markdown.page(built),
        out / "TABLE.csv": spreadsheet.to_csv(built),
        out / "TABLE.tex": latex.latex(built),
    }


def front(records: list[Record], numbers: Numbers, reference: Path, readme: Path) -> dict[Path, str]:
    """Return README and docs/results.md with their tables, the TABLE.md of the reference, and the learning curves.

    README shows `tables.FRONT`, and all presets as long as that one has no records; docs/results.md, beside README,
    has the details of `tables.FRONT`.

    Raises ValueError or OSError if one of them cannot take the table.
    """
    built = tables.build_all(records, numbers)
    page = reference / "TABLE.md"
    link = Path(os.path.relpath(page, readme.parent)).as_posix()
    shown = [table for table in built if table.preset == tables.FRONT] or built
    details, files = [f"No run of `preset={tables.FRONT}` is recorded yet."], {page: markdown.page(built)}
    for table in shown:
        if table.preset == tables.FRONT:
            from wise_lra.plots.draw import learning_curves, svg  # here: it imports matplotlib

            files[reference / f"learning-{table.preset}.svg"] = svg(learning_curves(table.columns))
            details = [*markdown.full(table)]
    results = readme.parent / "docs" / "results.md"
    blocks = {readme: markdown.block(shown, link), results: "\n\n".join(details)}
    for file in (readme, *([results] if results.exists() else [])):
        try:
            files[file] = markdown.refreshed(file.read_text(encoding="utf-8"), blocks[file])
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
    return files


def adopt(records: list[Record], options: argparse.Namespace, numbers: Numbers) -> None:
    """Put the records of the true presets into the reference, in place of all that it has of these presets.

    The new reference is written whole beside the old one, then takes its name: if a write fails, the old one stays.
    Raises ValueError or OSError.
    """
    own = [record for record in records if record.preset in PRESETS]
    if dirty := [record for record in own if record.dirty]:
        print(f"note: {len(dirty)} records were made with uncommitted changes", file=sys.stderr)
    reference = options.reference
    new, old = (reference.with_name(f".{reference.name}.{name}") for name in ("new", "old"))
    if old.exists() and not reference.exists():  # the process ended between the two renames below
        old.replace(reference)
    try:
        for left in (new, old):
            shutil.rmtree(left, ignore_errors=True)
        if reference.exists():
            try:
                shutil.copytree(reference, new)
            except shutil.Error as error:  # a list of files; the first says enough
                raise OSError(error.args[0][0][2]) from None
        for preset in {record.preset for record in own}:
            shutil.rmtree(new / preset, ignore_errors=True)
        for record in own:  # as it is, with fields that this version does not know
            write_bytes(record.path(new), record.path(options.records).read_bytes())
        faults: list[str] = []
        files = front(read_all(new, faults), numbers, reference, options.readme)
        if faults:
            raise ValueError(faults[0].replace(str(new), str(reference)))
        inside = {path: text for path, text in files.items() if path.is_relative_to(reference)}
        for path, text in inside.items():
            write_text(new / path.relative_to(reference), text)
        for path in files.keys() - inside.keys():
            write_text(path, files[path])
        if reference.exists():
            reference.replace(old)
        new.replace(reference)
    finally:
        if not reference.exists() and old.exists():
            old.replace(reference)
        for left in (new, old):
            shutil.rmtree(left, ignore_errors=True)


def check(files: dict[Path, str]) -> int:
    """Name every file whose text on disk is not what the records give."""
    stale = [path for path, text in files.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in stale:
        print(f"{path} is stale: run `make reference`, or take back the change", file=sys.stderr)
    return int(bool(stale))


def show(records: list[Record], numbers: Numbers) -> None:
    """Print the tables, as wide as the terminal; wide enough for whole lines where there is none."""
    from rich.console import Console

    from wise_lra.results.text import drawn

    console = Console(width=None if sys.stdout.isatty() else 180)
    for table in tables.build_all(records, numbers):
        console.print(drawn(table))


if __name__ == "__main__":
    sys.exit(main())
