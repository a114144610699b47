"""Tables in Markdown: results/TABLE.md with all there is to know, and the short block in README.md."""

import html
import re
from collections.abc import Iterable, Sequence

from wise_lra.results.tables import Table
from wise_lra.results.text import Section, changes, comparison, details, notes

BEGIN, END = "<!-- table:begin -->", "<!-- table:end -->"
HOW_TO = "There are no runs yet: `make reproduce-lra` makes them, `make tables` then fills this table."


def page(tables: Sequence[Table]) -> str:
    """Return results/TABLE.md: per preset the comparison, claims, costs, and how its columns were run.

    Presets with changed settings are a list at the end, so that a sweep does not drown the page.
    """
    parts = ["# Results", "Made of results/records and results/published by `make tables`; do not edit."]
    for table in tables:
        if not table.changed:
            parts += [f"## preset={table.preset}", *full(table)]
    parts += [part for section in changes(tables) for part in _section(section, "##")]
    return "\n\n".join([*parts, *_how_to(tables)]) + "\n"


def full(table: Table) -> list[str]:
    """Return the table of accuracies, what a reader must know of it, and all sections below it."""
    return [part for s in (comparison(table), *details(table)) for part in _section(s, "###")]


def block(tables: Sequence[Table], link: str) -> str:
    """Return the part of README.md: the comparisons, their notes in small print, and a `link` to the page."""
    parts = []
    for table in tables:
        small = escape(" ".join(notes(table)))
        parts += [f"**preset={table.preset}**", _grid(comparison(table)), f"<sub>{small}</sub>"]
    parts += _how_to(tables) or [f"Cost and provenance of each cell: [{link}]({link})."]
    return "\n\n".join(parts)


def refreshed(text: str, block: str) -> str:
    """Return `text` with `block` between the markers; ValueError unless both are there, once, in order."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in before + after:
        raise ValueError(f"expected {BEGIN} and after it {END}, each once; the table goes between them")
    return f"{before}{BEGIN}\n{block}\n{END}{after}"


def escape(text: str) -> str:
    """Return text without what Markdown or HTML would take for markup; a line stays a line."""
    return re.sub(r"([\\*|`\[\]])", r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _how_to(tables: Iterable[Table]) -> list[str]:
    return [HOW_TO] if all(table.empty for table in tables) else []


def _section(section: Section, level: str) -> list[str]:
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
