"""Tables in Markdown: results/TABLE.md with all there is to know, and the short block in README.md."""

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from wise_lra.results.tables import Table
from wise_lra.results.text import Section, changes, comparison, details, notes

PICTURE = "Validation accuracy against steps, a panel a task, a line a backbone with the range of its seeds"
HOW_TO = "There are no runs yet: `make reproduce-lra` makes them, `make tables` then fills this table."


def page(tables: Sequence[Table]) -> str:
    """Return results/TABLE.md: per preset the comparison, claims, costs, and how its columns were run.

    Presets with changed settings are a list at the end, so that a sweep does not drown the page.
    """
    parts = ["# Results", "Made of results/records and results/published by `make tables`; do not edit."]
    for table in tables:
        if not table.changed:
            parts += [f"## preset={table.preset}", *full(table)]
    parts += [part for section in changes(tables) for part in _parts(section, "##")]
    return "\n\n".join([*parts, *_how_to(tables)]) + "\n"


def full(table: Table) -> list[str]:
    """Return the table of accuracies, what a reader must know of it, and all sections below it."""
    return [part for s in (comparison(table), *details(table)) for part in _parts(s, "###")]


def block(tables: Sequence[Table], link: str, picture: str = "") -> str:
    """Return the part of README.md: the comparisons, their notes in small print, and a `link` to the page.

    `picture` is the file of the learning curves, "" for none.
    """
    parts = []
    for table in tables:
        small = escape(" ".join(notes(table)))
        parts += [f"**preset={table.preset}**", _grid(comparison(table)), f"<sub>{small}</sub>"]
    parts += [f"![{PICTURE}]({picture})"] if picture else []
    parts += _how_to(tables) or [f"Cost and provenance of each cell: [{link}]({link})."]
    return "\n\n".join(parts)


def refreshed(file: Path, block: str, name: str = "table") -> str:
    """Return a file's text with `block` between the markers <!-- NAME:begin --> and <!-- NAME:end -->.

    Raises OSError, and ValueError unless both are there, once, in order.
    """
    marks = [f"<!-- {name}:{word} -->" for word in ("begin", "end")]
    before, begin, rest = file.read_text(encoding="utf-8").partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not (begin and end) or marks[0] in rest or marks[1] in before + after:
        raise ValueError(f"{file}: expected {marks[0]} and after it {marks[1]}, each once")
    return f"{before}{begin}\n{block}\n{end}{after}"


def escape(text: str) -> str:
    """Return text without what Markdown or HTML would take for markup; a line stays a line."""
    return re.sub(r"([\\*|`\[\]])", r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _how_to(tables: Iterable[Table]) -> list[str]:
    return [HOW_TO] if all(table.empty for table in tables) else []


def section(section: Section) -> str:
    """Return a section without its title."""
    return "\n\n".join(_parts(replace(section, title=""), ""))


def _parts(section: Section, level: str) -> list[str]:
    title = f"{level} {section.title}" if section.title else ""
    items = "\n".join(f"- {escape(item)}" for item in section.items)
    return [part for part in (title, section.text, _grid(section), items) if part]


def _grid(section: Section) -> str:
    """Return a Markdown table: the first column is text, the others are numbers. "" without rows."""
    if not section.rows:
        return ""
    align = ["---", *["---:"] * (len(section.header) - 1)]
    rows = []
    for line in section.rows:
        cells = ((escape(text), best) for text, best in line)
        rows.append([escape(line.label), *(f"**{text}**" if best else text for text, best in cells)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (section.header, align, *rows))
