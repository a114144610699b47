"""What the charts draw, as rows of numbers, from the columns of a table: the same runs that stand in it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from wise_lra.results.columns import Column
from wise_lra.results.record import Record
from wise_lra.results.tables import Row, Table

CURVES = {
    "validation_accuracy": "validation accuracy, %",
    "train_accuracy": "training accuracy, %",
    "validation_loss": "validation loss",
    "train_loss": "training loss",
    "lr": "learning rate",
}
COSTS = {
    "seconds": "time of a run, s",
    "parameters": "parameters",
    "memory": "peak memory, MB",
}
Value = str | int | float | bool | None


@dataclass(frozen=True)
class Series:
    """Rows of one chart: every row has a value a field."""

    fields: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]

    @classmethod
    def of(cls, fields: Sequence[str], rows: Iterable[Sequence[Value]]) -> "Series":
        """Make one, its numbers rounded to five digits: a page needs no more, and is half the size."""
        return cls(tuple(fields), tuple(tuple(map(_rounded, row)) for row in rows))

    def to_data(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {"fields": self.fields, "rows": self.rows}


def accuracies(table: Table, index: int) -> Series:
    """Return a row of the table each, in its order: accuracy with its interval, and the published number."""
    fields = ("row", "backbone", "attention", "order", "mean", "low", "high", "n", "published", "chance")
    chance = table.majority[index]
    rows = []
    for order, row in enumerate(table.rows):
        cell = row.cells[index]
        if cell.ours or cell.published:
            ours = cell.ours
            numbers = (100 * ours.mean, 100 * ours.low, 100 * ours.high, ours.n) if ours else (None,) * 4
            other = 100 * cell.published.accuracy if cell.published else None
            rows.append((*_method(row), order, *numbers, other, None if chance is None else 100 * chance))
    return Series.of(fields, rows)


def curves(table: Table, column: Column) -> Series:
    """Return mean, lowest and highest of the seeds at every validation, of each row and measure."""
    fields = ("row", "backbone", "attention", "measure", "step", "mean", "low", "high", "n")
    rows: list[tuple[Value, ...]] = []
    for row, records in _rows(table, column):
        for measure in CURVES:
            scale = 100 if measure.endswith("accuracy") else 1
            for step, values in _by_step(records, measure):
                ends = (scale * fmean(values), scale * min(values), scale * max(values))
                rows.append((*_method(row), measure, step, *ends, len(values)))
    return Series.of(fields, rows)


def costs(table: Table, index: int) -> Series:
    """Return accuracy and cost of each row and measure, and whether none is as good and as cheap: the front."""
    fields = ("row", "backbone", "attention", "measure", "cost", "accuracy", "low", "high", "front")
    rows: list[tuple[Value, ...]] = []
    for measure in COSTS:
        points = []
        for row in table.rows:
            cell = row.cells[index]
            found = (cell.seconds, cell.parameters, cell.peak_memory and cell.peak_memory / 1e6)
            cost = dict(zip(COSTS, found, strict=True))[measure]
            if cell.ours and cost:
                points.append((row, float(cost), cell.ours))
        for row, cost, ours in points:
            front = not any(
                other.mean >= ours.mean and price <= cost and (other.mean, price) != (ours.mean, cost)
                for _, price, other in points
            )
            numbers = (100 * ours.mean, 100 * ours.low, 100 * ours.high)
            rows.append((*_method(row), measure, cost, *numbers, front))
    return Series.of(fields, rows)


def _rows(table: Table, column: Column) -> Iterator[tuple[Row, list[Record]]]:
    for row in table.rows:
        own = [r for r in column.records if (r.backbone, r.attention) == (row.backbone, row.attention)]
        if own:
            yield row, own


def _by_step(records: Sequence[Record], measure: str) -> Iterator[tuple[int, list[float]]]:
    """Yield the values at the steps at which every seed was validated."""
    values: dict[int, list[float]] = defaultdict(list)
    for record in records:
        for point in record.history:
            if point.get(measure) is not None:
                values[point["step"]].append(point[measure])
    for step in sorted(values):
        if len(values[step]) == len(records):
            yield step, values[step]


def _method(row: Row) -> tuple[str, str, str]:
    return row.label, row.backbone, row.attention


def _rounded(value: Value) -> Value:
    return float(f"{value:.5g}") if isinstance(value, float) else value
