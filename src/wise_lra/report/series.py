"""What the charts draw: rows of numbers, from the columns of a table and from a run's learned wavelets."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from wise_lra.report.runs import Run
from wise_lra.results.record import Record
from wise_lra.results.tables import MEASURES, Row, Table

CURVES = {
    "validation_accuracy": "validation accuracy, %",
    "train_accuracy": "training accuracy, %",
    "validation_loss": "validation loss",
    "train_loss": "training loss",
    "lr": "learning rate",
}
COSTS = {name: MEASURES[name].axis for name in sorted(MEASURES, key="seconds".__ne__) if MEASURES[name].axis}
"""What accuracy is drawn against: time first."""
PANELS = {
    "scaling function φ": "function",
    "wavelet function ψ": "function",
    "low-pass |H|": "response",
    "high-pass |G|": "response",
}
"""What is drawn of a layer, and the kind of chart that draws it."""
POINTS = 160  # of a filter's curve, at most
METHOD = ("row", "backbone", "attention")
Value = str | int | float | bool | None


@dataclass(frozen=True)
class Chart:
    """A chart of the page: anchor, kind of specification, title, what it says in words, rows of `fields`."""

    anchor: str
    kind: str
    title: str
    words: str
    fields: tuple[str, ...]
    rows: Sequence[tuple[Value, ...]]

    def data(self) -> dict[str, Any]:
        """Return what page.js draws; numbers have five digits: a page needs no more, and is half the size."""
        rows = [
            [float(f"{value:.5g}") if isinstance(value, float) else value for value in row]
            for row in self.rows
        ]
        return {"kind": self.kind, "fields": self.fields, "rows": rows}


def accuracies(table: Table, anchor: str) -> Iterator[Chart]:
    """Yield a chart of each column with runs: accuracy and interval of each row, and the published number."""
    fields = (*METHOD, "order", "mean", "low", "high", "n", "published", "chance")
    for index, column in enumerate(table.columns):
        rows: list[tuple[Value, ...]] = []
        said = []
        for order, row in enumerate(table.rows):
            cell = row.cells[index]
            ours, printed = cell.ours, cell.published
            numbers = (100 * ours.mean, 100 * ours.low, 100 * ours.high, ours.n) if ours else (None,) * 4
            other = 100 * printed.accuracy if printed else None
            if ours:
                said.append(f"{row.label} {100 * ours.mean:.1f} %")
            if ours or printed:
                rows.append((*_method(row), order, *numbers, other, 100 * (column.majority or 0)))
        if column.records:
            words = f"Test accuracy on {column.label} with 95 % intervals: {', '.join(said)}"
            yield Chart(
                slug(anchor, "accuracy", column.label), "accuracies", column.label, words, fields, rows
            )


def curves(table: Table, anchor: str) -> Iterator[Chart]:
    """Yield a chart of each column whose runs kept a history: mean, lowest and highest of the seeds."""
    fields = (*METHOD, "measure", "step", "mean", "low", "high", "n")
    for column in table.columns:
        rows: list[tuple[Value, ...]] = []
        for row, measure in ((row, measure) for row in table.rows for measure in CURVES):
            scale = 100 if measure.endswith("accuracy") else 1
            for step, values in _by_step(column.by_seed((row.backbone, row.attention)).values(), measure):
                ends = (scale * fmean(values), scale * min(values), scale * max(values))
                rows.append((*_method(row), measure, step, *ends, len(values)))
        if rows:
            words = f"Learning curves on {column.label}: mean of the seeds, and a band from lowest to highest"
            yield Chart(slug(anchor, "curve", column.label), "curves", column.label, words, fields, rows)


def costs(table: Table, anchor: str) -> Iterator[Chart]:
    """Yield a chart of each column with runs: accuracy and cost, and whether none is as good and as cheap."""
    fields = (*METHOD, "measure", "cost", "accuracy", "low", "high", "front")
    for index, column in enumerate(table.columns):
        rows: list[tuple[Value, ...]] = []
        for measure in COSTS:
            points = []
            for row in table.rows:
                cell = row.cells[index]
                if cell.ours and (cost := cell.costs[measure]):
                    points.append((row, cost / MEASURES[measure].unit, cell.ours))
            for row, cost, ours in points:
                front = not any(
                    other.mean >= ours.mean and price <= cost and (other.mean, price) != (ours.mean, cost)
                    for _, price, other in points
                )
                numbers = (100 * ours.mean, 100 * ours.low, 100 * ours.high)
                rows.append((*_method(row), measure, cost, *numbers, front))
        if rows:
            best = dict.fromkeys(str(row[0]) for row in rows if row[-1] and row[3] == "seconds")
            words = f"Accuracy on {column.label} against cost; on the front by time: {', '.join(best)}"
            yield Chart(slug(anchor, "cost", column.label), "costs", column.label, words, fields, rows)


def wavelets(run: Run, title: str, anchor: str) -> list[tuple[int, list[Chart]]]:
    """Return number and charts of a run's first and last layer; [] where it learned none of its banks.

    Where channels have filters of their own, the line is their median and the band holds 80 % of them. Raises
    ValueError where configuration or checkpoint cannot be used.
    """
    from wise_lra.evaluate import of_record, untrained  # here, because they import torch
    from wise_lra.plots.measure import banks, functions, responses

    assert run.folder is not None
    finished = of_record(run.record, run.record.path(""), run.folder)
    after = banks(finished.model)
    if not any(list(bank.parameters()) for _, bank in after):
        return []
    before = banks(untrained(finished.config))
    layers = []
    for place in sorted({0, len(after) - 1}):
        rows: dict[str, list[tuple[Value, ...]]] = {name: [] for name in PANELS}
        for state, (_, bank) in (("before training", before[place]), ("after training", after[place])):
            time, *waves = functions(bank)
            frequency, *gains = responses(bank)
            axes = (time, time, frequency, frequency)
            for name, x, values in zip(PANELS, axes, (*waves, *gains), strict=True):
                rows[name] += [(state, *numbers) for numbers in _quantiles(x, values)]
        charts = []
        for index, (name, kind) in enumerate(PANELS.items()):
            words = f"{name.capitalize()} in layer {place + 1} of {title}, before and after training"
            fields = ("state", "x", "median", "low", "high")
            charts.append(Chart(slug(anchor, f"{place + 1}-{index}"), kind, name, words, fields, rows[name]))
        layers.append((place + 1, charts))
    return layers


def _quantiles(x: np.ndarray, values: np.ndarray) -> list[list[float]]:
    """Return x, median, 10 % and 90 % of the channels at no more than POINTS places."""
    places = np.unique(np.linspace(0, len(x) - 1, POINTS).round().astype(int))
    low, middle, high = np.quantile(values[places], (0.1, 0.5, 0.9), axis=1)
    numbers: list[list[float]] = np.stack([x[places], middle, low, high], axis=1).round(4).tolist()
    return numbers


def _by_step(records: Collection[Record], measure: str) -> Iterator[tuple[int, list[float]]]:
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


def slug(*parts: str) -> str:
    """Return an anchor: letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")
