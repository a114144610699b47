"""Tables in Markdown: results/TABLE.md with all there is to know, and the short block in README.md."""

import html
import re
from collections.abc import Iterable, Sequence

from wise_lra.results.changes import differing
from wise_lra.results.claims import RULE
from wise_lra.results.columns import Column
from wise_lra.results.lines import DASH, found, lines, per_cent, spread
from wise_lra.results.record import SPLITS
from wise_lra.results.tables import Cell, Row, Table

BEGIN, END = "<!-- table:begin -->", "<!-- table:end -->"
HOW_TO = "There are no runs yet: `make reproduce-lra` makes them, `make tables` then fills this table."
GAINS = (
    "In points, at equal seeds, with the same attention (softmax beside FNet); brackets: Student's t, 95 %."
    " n=1 is not enough runs for an interval. The average is of seeds that have all five tasks."
)
OVER_ALL = (
    "Of the five tasks' accuracies in per cent, at two seeds or more (Agarwal et al., arXiv 2108.13264): the mean"
    " of the middle half, and how often a run beats one of vanilla with the same attention, in per cent; brackets:"
    " stratified bootstrap over seeds, 95 %."
)
COST = "Of one run: means over the seeds; parameters and memory the most. Tokens are those of training."
CHANGES = (
    "Runs of a preset with other settings: `scripts/tables.py --preset NAME` prints one, TABLE.csv has all."
)
TIMES = "\N{MULTIPLICATION SIGN}"


def page(tables: Sequence[Table]) -> str:
    """Return results/TABLE.md: per preset the comparison, claims, costs, and how its columns were run.

    Presets with changed settings are a list at the end, so that a sweep does not drown the page.
    """
    parts = ["# Results", "Made of results/records and results/published by `make tables`; do not edit."]
    for table in tables:
        if not table.changed:
            parts += [f"## preset={table.preset}", comparison(table), *details(table)]
    return "\n\n".join([*parts, *changes(tables), *_how_to(tables)]) + "\n"


def comparison(table: Table) -> str:
    """Return the table of accuracies, and under it what a reader must know."""
    return "\n\n".join([_comparison(table), "\n".join(f"- {escape(note)}" for note in table.notes)])


def details(table: Table) -> list[str]:
    """Return headings, texts and tables of all that stands under the comparison; [] without runs."""
    return [] if table.empty else _details(table)


def changes(tables: Sequence[Table]) -> list[str]:
    """Return the list of the presets with changed settings under its heading; [] where there is none."""
    lines = [_changed_line(table, tables) for table in tables if table.changed]
    return ["## Changed settings", CHANGES, "\n".join(lines)] if lines else []


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
    return grid(["", *table.header], rows)


def _details(table: Table) -> list[str]:
    over_all = [row for row in table.rows if row.middle]
    gains = [[row.label, *(spread(cell.gain) for cell in row.cells)] for row in table.rows if _gains(row)]
    parts = []
    if gains:
        parts += ["### Difference from vanilla", GAINS, grid(["", *table.header], map(_escaped, gains))]
    if over_all:
        header = ["", "interquartile mean", "P(better than vanilla)"]
        parts += ["### Over all tasks", OVER_ALL, grid(header, map(_over_all, over_all))]
    parts += ["### The paper's claims", escape(RULE), _claims(table)]
    return [*parts, "### Cost", COST, _cost(table), "### How each column was run", _provenance(table)]


def _gains(row: Row) -> bool:
    return any(cell.gain for cell in row.cells)


def _over_all(row: Row) -> list[str]:
    return _escaped([row.label, spread(row.middle, per_cent), spread(row.improvement, per_cent)])


def _claims(table: Table) -> str:
    rows = [[claim.name, claim.of, found(claim), claim.verdict] for claim in table.claims]
    return grid(["claim", "of", "found", "verdict"], map(_escaped, rows))


def _escaped(texts: Iterable[str]) -> list[str]:
    return [escape(text) for text in texts]


def _cost(table: Table) -> str:
    """One line a cell; no column for memory where no device told it."""
    used = [
        (column.label, row.label, cell)
        for index, column in enumerate(table.columns)
        for row in table.rows
        if (cell := row.cells[index]).ours
    ]
    memory = any(cell.peak_memory for _, _, cell in used)
    header = ["", "backbone", "parameters", "steps", "seconds", "tokens/s", "peak memory, MB"]
    rows = [[column, row, *_cost_of(cell)] for column, row, cell in used]
    shown = len(header) if memory else len(header) - 1
    return grid(header[:shown], [row[:shown] for row in rows])


def _cost_of(cell: Cell) -> list[str]:
    memory = cell.peak_memory and cell.peak_memory / 1e6
    amounts = (cell.parameters, cell.steps, cell.seconds, cell.tokens_per_second, memory)
    return [DASH if amount is None else f"{amount:,.0f}" for amount in amounts]


def _changed_line(table: Table, tables: Sequence[Table]) -> str:
    cells = sum(bool(cell.ours) for row in table.rows for cell in row.cells[:-1])
    own = next((other for other in tables if other.preset == table.changed), None)
    settings = ", ".join(differing(table.columns, own.columns)) if own else ""
    return "- " + escape(f"{table.preset}: {cells} cell{'s' * (cells != 1)}{settings and ': '}{settings}")


def _provenance(table: Table) -> str:
    header = ["", "data", "train / validation / test", "length", f"steps {TIMES} batch", "protocol", "sha256"]
    return grid(header, [_provenance_of(column) for column in table.columns if column.records])


def _provenance_of(column: Column) -> list[str]:
    record = column.records[0]
    data, budget = record.data, record.budget
    counts = " / ".join(f"{data['counts'][split]:,}" for split in SPLITS)
    work = f"{budget['steps']:,} {TIMES} {budget['batch_size']:,}"
    facts = [data["source"], counts, f"{data['length']:,}", work, record.protocol, data["sha256"][:12]]
    return [column.label, *map(escape, facts)]


def grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table: the first column is text, the others are numbers."""
    align = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, align, *rows))
