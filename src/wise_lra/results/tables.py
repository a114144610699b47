"""The comparison as data: a pure function of records and published numbers. Its looks are elsewhere."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from wise_lra.registry import ATTENTIONS, BACKBONES, NONE, SOFTMAX, TASKS, label, main_rows
from wise_lra.results import aggregate, pairs, statistics
from wise_lra.results.claims import Claim, claims
from wise_lra.results.columns import Column, averaged, columns_of, rank
from wise_lra.results.pairs import Method
from wise_lra.results.published import CITATIONS, Numbers, Published, published
from wise_lra.results.record import Record
from wise_lra.results.statistics import Interval

CHANGED = re.compile(r"(.+)-[0-9a-f]{8}")  # a preset's name, and a hash of what it was changed to
PRESETS = ("paper", "lra", "small", "quick")  # largest first
FRONT = "small"  # the preset that README shows


@dataclass(frozen=True)
class Cell:
    """What one backbone with one attention reached in one column, or on average; None is a dash.

    `gain` is the difference from vanilla at equal seeds. Costs are means over the seeds, `peak_memory` (bytes)
    and `parameters` the most.
    """

    ours: Interval | None = None
    published: Published | None = None
    at_chance: bool = False
    dirty: bool = False
    gain: Interval | None = None
    parameters: int | None = None
    steps: int | None = None
    seconds: float | None = None
    tokens_per_second: float | None = None
    peak_memory: int | None = None

    @property
    def difference(self) -> float | None:
        """Ours minus published."""
        return self.ours.mean - self.published.accuracy if self.ours and self.published else None


@dataclass(frozen=True)
class Row:
    """A backbone with the attention that it holds: a cell a column, then the average.

    The last two are over all five tasks, None with fewer than two seeds of each: the interquartile mean of
    the accuracies, and the probability that a run beats one of vanilla.
    """

    backbone: str
    attention: str
    cells: tuple[Cell, ...]
    middle: Interval | None = None
    improvement: Interval | None = None

    @property
    def label(self) -> str:
        """The name of the row: "wise_adaptive", or "wise_adaptive + performer"."""
        return label(self.backbone, self.attention)


@dataclass(frozen=True)
class Table:
    """One preset. Rows and `majority` have one value more than there are columns: the average, last."""

    preset: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    majority: tuple[float | None, ...]
    notes: tuple[str, ...]
    claims: tuple[Claim, ...]

    @property
    def changed(self) -> str:
        """The preset whose settings were changed for this one ("quick" of "quick-1a2b3c4d"), or ""."""
        return found[1] if (found := CHANGED.fullmatch(self.preset)) else ""

    @property
    def header(self) -> tuple[str, ...]:
        """The labels of the columns and "average"."""
        return (*(column.label for column in self.columns), "average")

    @property
    def empty(self) -> bool:
        """Whether no record stands in it."""
        return not any(column.records for column in self.columns)

    @property
    def seeds(self) -> int | None:
        """The number of seeds that all cells with runs have; None where cells differ, or no run is."""
        numbers = {cell.ours.n for row in self.rows for cell in row.cells if cell.ours}
        return numbers.pop() if len(numbers) == 1 else None

    def best(self, index: int) -> float | None:
        """Return the best mean of a column, cells at chance left aside."""
        cells = [row.cells[index] for row in self.rows]
        return max((cell.ours.mean for cell in cells if cell.ours and not cell.at_chance), default=None)


def build_all(records: Sequence[Record], numbers: Numbers) -> list[Table]:
    """Return a table a preset, the largest preset first; without records, an empty one for quick."""
    presets = sorted({record.preset for record in records}, key=lambda name: rank(name, PRESETS))
    return [build(records, numbers, preset) for preset in presets or ("quick",)]


def build(records: Sequence[Record], numbers: Numbers, preset: str) -> Table:
    """Return the table of one preset; what must not mix with the rest is left out, and a note says so."""
    columns, left_out = columns_of([record for record in records if record.preset == preset])
    means = averaged(columns)
    cells: dict[Method, dict[int, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for index, column in enumerate(columns):
        for record in column.records:
            cells[record.backbone, record.attention][index].append(record)
    five, rows = [columns[i] for i in means], []
    for method in sorted({*cells, *main_rows()}, key=_row_order):
        row = [_cell(cells[method][i], method, column, numbers) for i, column in enumerate(columns)]
        mean = _average([row[i] for i in means], _gain(five, method))
        rows.append(Row(*method, (*row, mean), *_over_all(five, method)))
    shares = [column.majority for column in columns]
    majority = (*shares, _mean_of_five([shares[i] for i in means]))
    table = Table(preset, columns, tuple(rows), majority, (), claims(five, numbers))
    return replace(table, notes=(*_notes(table, [column.label for column in five]), *left_out))


def _row_order(method: Method) -> tuple[object, ...]:
    backbone, attention = method
    return rank(SOFTMAX if attention == NONE else attention, ATTENTIONS), rank(backbone, BACKBONES)


def _cell(records: Sequence[Record], method: Method, column: Column, numbers: Numbers) -> Cell:
    other = published(numbers, *method, column.task) if column.comparable else None
    if not records:
        return Cell(published=other)
    return Cell(
        ours=statistics.accuracy(records),
        published=other,
        at_chance=statistics.at_chance(records),
        dirty=any(record.dirty for record in records),
        gain=_gain([column], method),
        parameters=max(record.parameters for record in records),
        steps=records[0].steps,
        seconds=fmean(record.seconds["total"] for record in records),
        tokens_per_second=fmean(record.tokens_per_second for record in records),
        peak_memory=max(record.peak_memory_bytes or 0 for record in records) or None,
    )


def _gain(columns: Sequence[Column], method: Method) -> Interval | None:
    other = pairs.token_space(method[1])
    return None if method == other else statistics.paired(pairs.differences(columns, method, other))


def _over_all(five: Sequence[Column], method: Method) -> tuple[Interval | None, Interval | None]:
    ours, other = pairs.scores(five, method), pairs.scores(five, pairs.token_space(method[1]))
    if len(ours[0]) < 2:
        return None, None
    compared = method[0] != "vanilla" and len(other[0]) >= 2
    return aggregate.interquartile_mean(ours), aggregate.improvement(ours, other) if compared else None


def _average(cells: Sequence[Cell], gain: Interval | None) -> Cell:
    """Average over the five tasks, ours and published each only where all five are there."""
    ours = [cell.ours for cell in cells if cell.ours]
    others = [cell.published for cell in cells if cell.published]
    mean = _mean_of_five([other.accuracy for other in others])
    return Cell(
        ours=statistics.average(ours) if len(ours) == len(TASKS) else None,
        published=None if mean is None else Published(mean, others[0].source),
        dirty=len(ours) == len(TASKS) and any(cell.dirty for cell in cells),
        gain=gain,
    )


def _mean_of_five(shares: Sequence[float | None]) -> float | None:
    there = [share for share in shares if share is not None]
    return fmean(there) if len(there) == len(TASKS) else None


def _notes(table: Table, means: Sequence[str]) -> list[str]:
    """Return what a reader must know to read the table: only what applies to it."""
    columns, rows = table.columns, table.rows
    runs = Counter(f"{record.device}, {record.precision}" for column in columns for record in column.records)
    if not runs:
        return ["No finished run of this preset yet."]
    cells = [cell for row in rows for cell in row.cells]
    methods = {cell.ours.method for cell in cells if cell.ours}
    seeds = f"n={table.seeds} seed{'s' * (table.seeds != 1)} in every cell" if table.seeds else "n seeds"
    notes = [f"Test accuracy in per cent: mean ± half-width of the 95 % interval, {seeds}; bold is the best."]
    if "t" in methods:
        notes.append("n of 2 or more: Student's t over the seeds.")
    if "wilson" in methods:
        notes.append("n=1: Wilson over the test examples, its larger side; the spread of seeds is not in it.")
    if "average" in methods:
        notes.append(
            f"Average: of {', '.join(means)}, where all five are there, a FAIL counted at its number;"
            " half-widths combined as of independent errors, n the fewest seeds of the five."
        )
    if any(cell.at_chance for cell in cells):
        notes.append(
            "FAIL: not surely above the majority class, by Wilson's lower bound over the test examples."
        )
    apart = [column.label for column in columns if column.records and not column.comparable]
    if apart:
        notes.append(f"No published number compares with {', '.join(apart)}: data or length are not LRA's.")
    alone = [row.label for row in rows if not any(cell.published for cell in row.cells)]
    if alone and len(apart) < len([column for column in columns if column.records]):
        notes.append(f"No published number that can be cited: {', '.join(alone)}.")
    sources = sorted({cell.published.source for cell in cells if cell.published})
    if sources:
        cited = "; ".join(CITATIONS[source] for source in sources)
        notes.append(f"Published, each at its authors' width, steps and recipe: {cited}.")
    if masked := [column.label for column in columns if column.masks_black]:
        notes.append(f"Black pixels are masked as padding, as in LRA's code: {', '.join(masked)}.")
    if any(cell.dirty for cell in cells):
        notes.append("*: run with uncommitted changes, so the commit alone does not reproduce the column.")
    return [*notes, f"Runs: {'; '.join(f'{count} on {kind}' for kind, count in sorted(runs.items()))}."]
