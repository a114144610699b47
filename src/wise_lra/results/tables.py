"""The comparison as data: a pure function of records and published numbers. How it looks is decided elsewhere."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from wise_lra.registry import (
    ATTENTIONS,
    BACKBONES,
    NONE,
    PRESETS,
    SOFTMAX,
    TASKS,
    Method,
    label,
    main_rows,
    rank,
)
from wise_lra.results import pairs, statistics
from wise_lra.results.claims import Claim, claims
from wise_lra.results.columns import Column, averaged, columns_of
from wise_lra.results.published import Numbers, Published
from wise_lra.results.record import Record
from wise_lra.results.statistics import Interval

CHANGED = re.compile(r"(.+)-[0-9a-f]{8}")  # a preset's name, and a hash of what it was changed to


@dataclass(frozen=True)
class Measure:
    """What runs of a cell cost: a column in TABLE.md and TABLE.csv, and a chart in the report where it has an axis.

    `of` takes the records of a cell, a seed each. TABLE.csv has its value with so many digits, and no column where
    `digits` is None; TABLE.md and the report have it divided by `unit`.
    """

    heading: str
    of: Callable[[Sequence[Record]], float | None]
    axis: str = ""
    digits: int | None = 0
    unit: float = 1


MEASURES = {
    "parameters": Measure("parameters", lambda runs: max(run.parameters for run in runs), "parameters"),
    "steps": Measure("steps", lambda runs: runs[0].steps, digits=None),
    "seconds": Measure(
        "seconds", lambda runs: fmean(run.seconds["total"] for run in runs), "time of a run, s", digits=2
    ),
    "tokens_per_second": Measure(
        "tokens/s", lambda runs: fmean(run.tokens_per_second for run in runs), digits=2
    ),
    "peak_memory_bytes": Measure(
        "peak memory, MB",
        lambda runs: max(run.peak_memory_bytes or 0 for run in runs) or None,
        "peak memory, MB",
        unit=1e6,
    ),
}
"""A new one is an entry here; the key is its column in TABLE.csv."""


@dataclass(frozen=True)
class Cell:
    """What one backbone with one attention reached in one column, or on average; None is a dash.

    `gain` is the difference from vanilla at equal seeds; `costs` are by the keys of MEASURES.
    """

    ours: Interval | None = None
    published: Published | None = None
    at_chance: bool = False
    dirty: bool = False
    gain: Interval | None = None
    costs: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def printed(self) -> float | None:
        """The published accuracy."""
        return self.published.accuracy if self.published else None

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

    @property
    def shown(self) -> bool:
        """Whether there is a number in it, ours or a published one."""
        return any(cell.ours or cell.published for cell in self.cells)


@dataclass(frozen=True)
class Table:
    """One preset. Rows and `majority` have one value more than there are columns: the average, last."""

    preset: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    majority: tuple[float | None, ...]
    averaged: tuple[Column, ...]
    left_out: tuple[str, ...]
    claims: tuple[Claim, ...]

    @property
    def changed(self) -> str:
        """The preset whose settings were changed for this one ("quick" of "quick-1a2b3c4d"), or ""."""
        return match[1] if (match := CHANGED.fullmatch(self.preset)) else ""

    @property
    def header(self) -> tuple[str, ...]:
        """The labels of the columns and "average"."""
        return (*(column.label for column in self.columns), "average")

    @property
    def empty(self) -> bool:
        """Whether it has no record."""
        return not any(column.records for column in self.columns)

    @property
    def seeds(self) -> list[int]:
        """The numbers of seeds that cells have: first what most cells of the main rows have, else most cells."""
        main, cells = Counter[int](), Counter[int]()
        for row in self.rows:
            numbers = [cell.ours.n for cell in row.cells if cell.ours]
            cells.update(numbers)
            main.update(numbers if (row.backbone, row.attention) in main_rows() else ())
        return sorted(cells, key=lambda n: (main[n], cells[n], n), reverse=True)

    @property
    def missing(self) -> dict[str, list[str]]:
        """The label of each column that lacks runs, with the labels of the rows that lack them there."""
        lacking = {
            column.label: [row.label for row in self.rows if not row.cells[index].ours]
            for index, column in enumerate(self.columns)
        }
        return {column: rows for column, rows in lacking.items() if rows}

    def best(self, index: int) -> float | None:
        """Return the best mean of a column, without cells at chance."""
        cells = [row.cells[index] for row in self.rows]
        return max((cell.ours.mean for cell in cells if cell.ours and not cell.at_chance), default=None)


def build_all(records: Sequence[Record], numbers: Numbers) -> list[Table]:
    """Return a table a preset, the largest preset first; without records, an empty one for quick."""
    presets = sorted({record.preset for record in records}, key=lambda name: rank(name, PRESETS))
    return [build(records, numbers, preset) for preset in presets or ("quick",)]


def build(records: Sequence[Record], numbers: Numbers, preset: str) -> Table:
    """Return the table of one preset; what must not mix with the rest is left out, and named in `left_out`."""
    columns, left_out = columns_of([record for record in records if record.preset == preset])
    five = averaged(columns)
    methods = {record.method for column in columns for record in column.records} | {*main_rows()}
    rows = tuple(_row(method, columns, five, numbers) for method in sorted(methods, key=_row_order))
    majority = (*(column.majority for column in columns), _mean_of_five([c.majority for c in five]))
    return Table(preset, columns, rows, majority, tuple(five), tuple(left_out), claims(five, numbers))


def _row_order(method: Method) -> tuple[object, ...]:
    backbone, attention = method
    return rank(SOFTMAX if attention == NONE else attention, ATTENTIONS), rank(backbone, BACKBONES)


def _row(method: Method, columns: Sequence[Column], five: Sequence[Column], numbers: Numbers) -> Row:
    other = pairs.token_space(method[1])
    cells = [_cell(column, method, numbers) for column in columns]
    of_five = [cell for column, cell in zip(columns, cells, strict=True) if column in five]
    average = _average(of_five, None if method == other else pairs.gain(five, method, other))
    ours, theirs = pairs.scores(five, method), pairs.scores(five, other)
    if len(ours[0]) < 2:
        return Row(*method, (*cells, average))
    compared = method[0] != "vanilla" and len(theirs[0]) >= 2
    improvement = statistics.improvement(ours, theirs) if compared else None
    return Row(*method, (*cells, average), statistics.interquartile_mean(ours), improvement)


def _cell(column: Column, method: Method, numbers: Numbers) -> Cell:
    printed = numbers.get((*method, column.task)) if column.comparable else None
    records, other = list(column.by_seed(method).values()), pairs.token_space(method[1])
    if not records:
        return Cell(published=printed)
    return Cell(
        ours=statistics.accuracy(records),
        published=printed,
        at_chance=statistics.at_chance(records),
        dirty=any(record.dirty for record in records),
        gain=None if method == other else pairs.gain([column], method, other),
        costs={name: measure.of(records) for name, measure in MEASURES.items()},
    )


def _average(cells: Sequence[Cell], gain: Interval | None) -> Cell:
    """Average over the five tasks, ours and published each only where all five are there."""
    ours = [cell.ours for cell in cells if cell.ours]
    printed = [cell.published for cell in cells if cell.published]
    mean, whole = _mean_of_five([number.accuracy for number in printed]), len(ours) == len(TASKS)
    return Cell(
        ours=statistics.average(ours) if whole else None,
        published=None if mean is None else Published(mean, printed[0].source),
        dirty=whole and any(cell.dirty for cell in cells),
        gain=gain,
    )


def _mean_of_five(shares: Sequence[float | None]) -> float | None:
    there = [share for share in shares if share is not None]
    return fmean(there) if len(there) == len(TASKS) else None
