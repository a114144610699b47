"""What is printed of a table, before any markup: its lines, its notes, and the sections below it."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from wise_lra.results.claims import RULE, Claim, grouped, tally
from wise_lra.results.columns import Column
from wise_lra.results.published import CITATIONS
from wise_lra.results.record import SPLITS
from wise_lra.results.statistics import Interval
from wise_lra.results.tables import MEASURES, Cell, Table

DASH = "—"
MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
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
_APART = ("seed", "preset", "trainer")  # what differs between runs of one setting, or is its name


@dataclass(frozen=True)
class Line:
    """A row of texts with its label; `best` tells which of them are the best of their column."""

    label: str
    texts: Sequence[str]
    best: Sequence[bool] = ()

    def __iter__(self) -> Iterator[tuple[str, bool]]:
        """Yield each text, and whether it is the best of its column."""
        return zip(self.texts, self.best or [False] * len(self.texts), strict=True)


@dataclass(frozen=True)
class Section:
    """A title, a text, a table and a list; any may be empty. Only `text` has `code` in backticks."""

    title: str
    text: str
    header: Sequence[str] = ()
    rows: Sequence[Line] = ()
    items: Sequence[str] = ()


def lines(table: Table) -> list[Line]:
    """Return the lines of a table: the majority class, then ours, published and difference of each row.

    The latter two are there only for a row that has a published number in a column where one may stand.
    """
    means, seeds = [table.best(index) for index in range(len(table.majority))], (table.seeds or [0])[0]
    result = [Line("majority class", [per_cent(share) for share in table.majority])]
    for row in table.rows:
        best = [_is_best(cell, mean) for cell, mean in zip(row.cells, means, strict=True)]
        result.append(Line(row.label, [_ours(cell, seeds) for cell in row.cells], best))
        if any(cell.published for cell in row.cells):
            printed = [per_cent(cell.printed) for cell in row.cells]
            result.append(Line("published", printed))
            result.append(Line("difference", [_difference(cell) for cell in row.cells]))
    return result


def notes(table: Table) -> list[str]:
    """Return what a reader must know to read the table: only what applies to it."""
    columns, cells = table.columns, [cell for row in table.rows for cell in row.cells]
    runs = Counter(f"{record.device}, {record.precision}" for column in columns for record in column.records)
    if not runs:
        return ["No finished run of this preset yet.", *table.left_out]
    methods = {cell.ours.method for cell in cells if cell.ours}
    usual, *others = table.seeds
    where = "unless a cell says otherwise" if others else "in every cell"
    seeds = f"n={usual} seed{'s' * (usual != 1)} {where}"
    result = [
        f"Test accuracy in per cent: mean ± half-width of the 95 % interval, {seeds}; bold is the best."
    ]
    if table.missing:
        whole = len(table.rows)
        lacking = [
            label + f" ({', '.join(rows)})" * (len(rows) < whole) for label, rows in table.missing.items()
        ]
        result.append(f"Without a run: {'; '.join(lacking)}.")
    if "t" in methods:
        result.append("n of 2 or more: Student's t over the seeds.")
    if "wilson" in methods:
        result.append(
            "n=1: Wilson over the test examples, its larger side; the spread of seeds is not in it."
        )
    if "average" in methods:
        result.append(
            f"Average: of {_labels(table.averaged)}, where all five are there, a FAIL counted at its number;"
            " half-widths combined as of independent errors, n the fewest seeds of the five."
        )
    if any(cell.at_chance for cell in cells):
        result.append(
            "FAIL: not surely above the majority class, by Wilson's lower bound over the test examples."
        )
    if other := [column for column in columns if column.records and not column.comparable]:
        result.append(f"No published number compares with {_labels(other)}: data or length are not LRA's.")
    unprinted = [row.label for row in table.rows if not any(cell.published for cell in row.cells)]
    if unprinted and any(column.comparable for column in columns):
        result.append(f"No published number that can be cited: {', '.join(unprinted)}.")
    if sources := sorted({cell.published.source for cell in cells if cell.published}):
        cited = "; ".join(CITATIONS[source] for source in sources)
        result.append(f"Published, each at its authors' width, steps and recipe: {cited}.")
    if masked := [column for column in columns if column.masks_black]:
        result.append(f"Black pixels are masked as padding, as in LRA's code: {_labels(masked)}.")
    if any(cell.dirty for cell in cells):
        result.append("*: run with uncommitted changes, so the commit alone does not reproduce the column.")
    devices = "; ".join(f"{count} on {device}" for device, count in sorted(runs.items()))
    return [*result, f"Runs: {devices}.", *table.left_out]


def comparison(table: Table) -> Section:
    """Return the table of accuracies with its notes."""
    return Section("", "", ["", *table.header], lines(table), notes(table))


def details(table: Table) -> list[Section]:
    """Return what stands below the comparison: differences, all tasks, claims, costs, how each column was run."""
    if table.empty:
        return []
    gains = [Line(row.label, [spread(cell.gain) for cell in row.cells]) for row in table.rows]
    middles = [
        Line(row.label, [spread(row.middle, per_cent), spread(row.improvement, per_cent)])
        for row in table.rows
        if row.middle
    ]
    claims = [Line(claim.name, [claim.of, evidence(claim), claim.verdict]) for claim in table.claims]
    sections = [
        Section(
            "Difference from vanilla",
            GAINS,
            ["", *table.header],
            [line for line in gains if set(line.texts) != {DASH}],
        ),
        Section("Over all tasks", OVER_ALL, ["", "interquartile mean", "P(better than vanilla)"], middles),
        Section("The paper's claims", RULE, ["claim", "of", "found", "verdict"], claims),
        _cost(table),
        _provenance(table),
    ]
    return [section for section in sections if section.rows]


def changes(tables: Sequence[Table]) -> list[Section]:
    """Return the list of the presets with changed settings; [] where there is none."""
    items = []
    for table in (table for table in tables if table.changed):
        cells = sum(bool(cell.ours) for row in table.rows for cell in row.cells[:-1])
        own = next((other for other in tables if other.preset == table.changed), None)
        settings = ", ".join(_differing(table, own)) if own else ""
        items.append(f"{table.preset}: {cells} cell{'s' * (cells != 1)}{settings and ': '}{settings}")
    return [Section("Changed settings", CHANGES, items=items)] if items else []


def per_cent(share: float | None) -> str:
    """Return 0.6427 as "64.27", None as a dash."""
    return DASH if share is None else f"{100 * share:.2f}"


def signed(share: float) -> str:
    """Return 0.0643 as "+6.43"."""
    return f"{round(100 * share, 2) + 0.0:+.2f}".replace("-", MINUS)


def spread(interval: Interval | None, text: Callable[[float], str] = signed) -> str:
    """Return "+1.20 [−0.30, +2.70] (n=3)", or a dash."""
    return DASH if interval is None else f"{_bounds(interval, text)} (n={interval.n})"


def evidence(claim: Claim) -> str:
    """Return what a claim rests on: points of accuracy, or per cent of time; and how much of a given gain."""
    if claim.unit == "time":
        return spread(claim.estimate, lambda share: f"{signed(share)} %")
    if claim.printed is None or claim.estimate is None:
        return spread(claim.estimate)
    text = f"{spread(claim.estimate)} of the published {signed(claim.printed)}"
    return f"{text}: {_bounds(claim.remains, _whole)}" if claim.remains else text


def checklist(claims: Sequence[Claim]) -> list[str]:
    """Return a line a claim: how many of its lines came to each verdict, and what the first of them rests on."""
    result = []
    for name, group in grouped(claims):
        verdicts = ", ".join(f"{verdict} {count}/{len(group)}" for verdict, count in tally(group).items())
        result.append(f"{name}: {verdicts}; {group[0].of} {evidence(group[0])}")
    return result


def _bounds(interval: Interval, text: Callable[[float], str]) -> str:
    """Return "+1.20 [−0.30, +2.70]"; without the ends where one seed gives none."""
    ends = f" [{text(interval.low)}, {text(interval.high)}]" if math.isfinite(interval.low) else ""
    return text(interval.mean) + ends


def _whole(share: float) -> str:
    return f"{round(100 * share)} %".replace("-", MINUS)


def _ours(cell: Cell, seeds: int) -> str:
    """Return mean and half-width of a cell, and the number of its seeds where it is not `seeds`."""
    if cell.ours is None:
        return DASH
    text = f"{per_cent(cell.ours.mean)} ± {per_cent(cell.ours.half_width)}"
    text += f" (n={cell.ours.n})" * (cell.ours.n != seeds)
    return (f"FAIL [{text}]" if cell.at_chance else text) + "*" * cell.dirty


def _difference(cell: Cell) -> str:
    if cell.ours is None or cell.difference is None:
        return DASH
    return f"{signed(cell.difference)} ± {per_cent(cell.ours.half_width)}"


def _is_best(cell: Cell, best: float | None) -> bool:
    return cell.ours is not None and not cell.at_chance and cell.ours.mean == best


def _cost(table: Table) -> Section:
    """Return a row a cell; a measure that no run has, as memory where no device measures it, has no column."""
    used = [
        (column.label, row.label, row.cells[index].costs)
        for index, column in enumerate(table.columns)
        for row in table.rows
        if row.cells[index].ours
    ]
    shown = [name for name in MEASURES if any(costs[name] is not None for *_, costs in used)]
    rows = []
    for column, label, costs in used:
        amounts = [(costs[name], MEASURES[name].unit) for name in shown]
        texts = [DASH if amount is None else f"{amount / unit:,.0f}" for amount, unit in amounts]
        rows.append(Line(column, [label, *texts]))
    return Section("Cost", COST, ["", "backbone", *(MEASURES[name].heading for name in shown)], rows)


def _provenance(table: Table) -> Section:
    header = ["", "data", "train / validation / test", "length", f"steps {TIMES} batch", "protocol", "sha256"]
    rows = []
    for column, record in ((column, column.records[0]) for column in table.columns if column.records):
        data, budget = record.data, record.budget
        counts = " / ".join(f"{data['counts'][split]:,}" for split in SPLITS)
        work = f"{budget['steps']:,} {TIMES} {budget['batch_size']:,}"
        facts = [data["source"], counts, f"{data['length']:,}", work, record.protocol, data["sha256"][:12]]
        rows.append(Line(column.label, facts))
    return Section("How each column was run", "", header, rows)


def _labels(columns: Iterable[Column]) -> str:
    return ", ".join(column.label for column in columns)


def _differing(changed: Table, own: Table) -> list[str]:
    """Return "recipe.steps=50 (240)" for each setting of a run that the preset's own run has otherwise.

    Compared with the last run of the preset that shares task, backbone and attention; [] where none does. A
    value that the configuration repeats, as the model does the attention's, is shown once, at its shortest key.
    """
    runs = {(record.task, record.method): record for column in own.columns for record in column.records}
    for record in (record for column in changed.columns for record in column.records):
        if other := runs.get((record.task, record.method)):
            ours, theirs = dict(_leaves(record.config)), dict(_leaves(other.config))
            shown: dict[tuple[str, str], str] = {}
            for key in sorted(ours.keys() | theirs.keys(), key=lambda key: (key.count("."), key)):
                has, had = (str(config.get(key, "none")) for config in (ours, theirs))
                if has != had:
                    shown.setdefault((key.rpartition(".")[2], has), f"{key}={has} ({had})")
            return list(shown.values())
    return []


def _leaves(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if not path and key in _APART:
            continue
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value
