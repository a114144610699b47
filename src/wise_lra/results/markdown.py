"""Tables in Markdown: results/TABLE.md with all there is to know, and the short block in README.md."""

import html
import re
from collections.abc import Iterable, Sequence

from wise_lra.results.columns import Column
from wise_lra.results.lines import DASH, lines
from wise_lra.results.record import SPLITS
from wise_lra.results.tables import Cell, Table

BEGIN, END = "<!-- table:begin -->", "<!-- table:end -->"
HOW_TO = "There are no runs yet: `make reproduce-lra` makes them, `make tables` then fills this table."
TIMES = "\N{MULTIPLICATION SIGN}"


def page(tables: Sequence[Table]) -> str:
    """Return results/TABLE.md: per preset the comparison, the cost of each cell, how columns were run."""
    parts = ["# Results", "Made of results/records and results/published by `make tables`; do not edit."]
    for table in tables:
        parts += [f"## preset={table.preset}", _comparison(table)]
        parts += ["\n".join(f"- {escape(note)}" for note in table.notes)]
        if not table.empty:
            parts += [
                "### Cost",
                "Parameters / seconds in all / training tokens per second; means over the seeds.",
            ]
            parts += [_cost(table), "### How each column was run", _provenance(table)]
    return "\n\n".join([*parts, *_how_to(tables)]) + "\n"


def block(tables: Sequence[Table], link: str) -> str:
    """Return the part of README.md: the comparisons, their notes in small print, and a `link` to the page."""
    parts = []
    for table in tables:
        notes = escape(" ".join(table.notes))
        parts += [f"**preset={table.preset}**", _comparison(table), f"<sub>{notes}</sub>"]
    return "\n\n".join(
        [*parts, *(_how_to(tables) or [f"Cost and provenance of each cell: [{link}]({link})."])]
    )


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


def _comparison(table: Table) -> str:
    rows = []
    for line in lines(table):
        texts = [escape(text) for text in line.texts]
        rows.append([line.label, *(f"**{t}**" if b else t for t, b in zip(texts, line.bold, strict=True))])
    return _grid(["", *table.header], rows)


def _cost(table: Table) -> str:
    used = [row for row in table.rows if any(cell.ours for cell in row.cells)]
    rows = [[row.label, *map(_cost_of, row.cells[:-1])] for row in used]
    return _grid(["", *table.header[:-1]], rows)


def _cost_of(cell: Cell) -> str:
    if cell.ours is None:
        return DASH
    return f"{cell.parameters:,} / {cell.seconds:,.0f} / {cell.tokens_per_second:,.0f}"


def _provenance(table: Table) -> str:
    header = ["", "data", "train / validation / test", "length", f"steps {TIMES} batch", "protocol", "sha256"]
    return _grid(header, [_provenance_of(column) for column in table.columns if column.records])


def _provenance_of(column: Column) -> list[str]:
    record = column.records[0]
    data, budget = record.data, record.budget
    counts = " / ".join(f"{data['counts'][split]:,}" for split in SPLITS)
    work = f"{budget['steps']:,} {TIMES} {budget['batch_size']:,}"
    facts = [data["source"], counts, f"{data['length']:,}", work, record.protocol, data["sha256"][:12]]
    return [column.label, *map(escape, facts)]


def _grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    align = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, align, *rows))
