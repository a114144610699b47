"""The project's own records, in git, and what is made of them: README's table, docs/results.md, learning curves."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from wise_lra.registry import PRESETS
from wise_lra.results import markdown
from wise_lra.results.atomic import write_bytes, write_text
from wise_lra.results.published import Numbers
from wise_lra.results.record import Record, read_all
from wise_lra.results.tables import build_all

FRONT = "small"
"""The preset that README and docs/results.md show."""


def front(records: Sequence[Record], numbers: Numbers, reference: Path, readme: Path) -> dict[Path, str]:
    """Return the reference's TABLE.md and learning curves, and README and docs/results.md with their tables.

    README shows the preset FRONT, and all presets as long as that one has no records; docs/results.md, beside
    README, has the details of FRONT. Raises ValueError or OSError if one of them cannot take the table.
    """
    built, details, curves = build_all(records, numbers), "", reference / f"learning-{FRONT}.svg"
    files = {reference / "TABLE.md": markdown.page(built)}
    shown = [table for table in built if table.preset == FRONT]
    for table in shown:
        from wise_lra.plots.draw import learning_curves, svg  # here: it imports matplotlib

        files[curves] = svg(learning_curves(table.columns))
        details = "\n\n".join(markdown.full(table))
    links = [Path(os.path.relpath(file, readme.parent)).as_posix() for file in files]
    blocks = {
        readme: markdown.block(shown or built, *links),
        readme.parent / "docs" / "results.md": details or f"No run of `preset={FRONT}` is recorded yet.",
    }
    for file, block in blocks.items():
        if file == readme or file.exists():
            files[file] = markdown.refreshed(file, block)
    return files


def adopt(records: Sequence[Record], source: Path, numbers: Numbers, reference: Path, readme: Path) -> None:
    """Put `records`, read from `source`, into the reference, in place of all that it has of their presets.

    Presets with changed settings are left out. The new reference is written whole beside the old one, then takes
    its name: if a write fails, the old one stays. Raises ValueError or OSError.
    """
    own = {record.path(""): record.path(source) for record in records if record.preset in PRESETS}
    replaced = {name.parts[0] for name in own}
    new, old = (reference.with_name(f".{reference.name}.{word}") for word in ("new", "old"))
    if old.exists() and not reference.exists():  # the process ended between the two renames below
        old.replace(reference)
    there = {path.relative_to(reference): path for path in reference.rglob("*") if path.is_file()}
    stays = {name: path for name, path in there.items() if name.parts[0] not in replaced}
    try:
        for folder in (new, old):
            shutil.rmtree(folder, ignore_errors=True)
        for name, path in (stays | own).items():  # as it is, with fields that this version does not know
            write_bytes(new / name, path.read_bytes())
        try:
            files = front(read_all(new), numbers, reference, readme)
        except ValueError as error:
            raise ValueError(str(error).replace(str(new), str(reference))) from None
        for path, text in files.items():
            write_text(new / path.relative_to(reference) if path.is_relative_to(reference) else path, text)
        if reference.exists():
            reference.replace(old)
        new.replace(reference)
    finally:
        if not reference.exists() and old.exists():
            old.replace(reference)
        for folder in (new, old):
            shutil.rmtree(folder, ignore_errors=True)
