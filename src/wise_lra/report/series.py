"""What the charts draw: rows of numbers, from the columns of a table and from a run's learned wavelets."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from wise_lra.report.runs import Run
from wise_lra.results.columns import Column
from wise_lra.results.record import Record
from wise_lra.results.statistics import Interval
from wise_lra.results.tables import MEASURES, Cell, Row, Table

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
Rows = list[dict[str, Any]]
Cells = Sequence[tuple[Row, Cell]]


@dataclass(frozen=True)
class Chart:
    """A chart of the page: anchor, kind of specification, title, what it says in words, rows of numbers by name."""

    anchor: str
    kind: str
    title: str
    words: str
    rows: Rows

    @property
    def fields(self) -> list[str]:
        """The names in each row."""
        return list(self.rows[0]) if self.rows else []

    def data(self) -> dict[str, Any]:
        """Return what page.js draws; numbers have five digits: a page needs no more, and is half the size."""
        rows = [
            [float(f"{value:.5g}") if isinstance(value, float) else value for value in row.values()]
            for row in self.rows
        ]
        return {"kind": self.kind, "fields": self.fields, "rows": rows}


def figures(table: Table, anchor: str) -> dict[str, list[Chart]]:
    """Return the charts of three parts of the page, one for each column that has rows to draw."""
    kinds = {
        "accuracy": (_accuracies, "accuracies"),
        "curves": (_curves, "curves"),
        "costs": (_costs, "costs"),
    }
    figures: dict[str, list[Chart]] = {part: [] for part in kinds}
    for index, column in enumerate(table.columns):
        cells = [(row, row.cells[index]) for row in table.rows]
        for part, (draw, kind) in kinds.items() if column.records else ():
            rows, words = draw(column, cells)
            if rows:
                place = slug(anchor, part.removesuffix("s"), column.label)
                figures[part].append(Chart(place, kind, column.label, words, rows))
    return figures


def _accuracies(column: Column, cells: Cells) -> tuple[Rows, str]:
    """Return accuracy and interval of each row, and the published number."""
    rows = []
    for order, (row, cell) in enumerate(cells):
        if cell.ours or cell.published:
            other = {"published": 100 * cell.printed if cell.printed else None}
            chance = {"chance": 100 * (column.majority or 0)}
            rows.append({**_method(row), "order": order, **_interval("mean", cell.ours), **other, **chance})
    means = [f"{row.label} {100 * cell.ours.mean:.1f} %" for row, cell in cells if cell.ours]
    return rows, f"Test accuracy on {column.label} with 95 % intervals: {', '.join(means)}"


def _curves(column: Column, cells: Cells) -> tuple[Rows, str]:
    """Return mean, lowest and highest of the seeds at each validation of the runs that have a history."""
    rows = []
    for row, measure in ((row, measure) for row, _ in cells for measure in CURVES):
        scale = 100 if measure.endswith("accuracy") else 1
        for step, values in _by_step(column.by_seed((row.backbone, row.attention)).values(), measure):
            ends = {"mean": scale * fmean(values), "low": scale * min(values), "high": scale * max(values)}
            rows.append({**_method(row), "measure": measure, "step": step, **ends, "n": len(values)})
    return rows, f"Learning curves on {column.label}: mean of the seeds, and a band from lowest to highest"


def _costs(column: Column, cells: Cells) -> tuple[Rows, str]:
    """Return accuracy and cost of each row, and whether none is as good and as cheap."""
    rows: Rows = []
    for measure in COSTS:
        unit = MEASURES[measure].unit
        points = [(row, cell.ours, (cell.costs[measure] or 0) / unit) for row, cell in cells if cell.ours]
        for row, ours, cost in (point for point in points if point[2]):
            front = not any(
                other.mean >= ours.mean and 0 < price <= cost and (other.mean, price) != (ours.mean, cost)
                for _, other, price in points
            )
            of_row = {**_method(row), "measure": measure, "cost": cost, **_interval("accuracy", ours)}
            rows.append({**of_row, "front": front})
    best = dict.fromkeys(str(row["row"]) for row in rows if row["front"] and row["measure"] == "seconds")
    return rows, f"Accuracy on {column.label} against cost; on the front by time: {', '.join(best)}"


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
        rows: dict[str, Rows] = {name: [] for name in PANELS}
        for state, (_, bank) in (("before training", before[place]), ("after training", after[place])):
            time, *waves = functions(bank)
            frequency, *gains = responses(bank)
            axes = (time, time, frequency, frequency)
            for name, x, values in zip(PANELS, axes, (*waves, *gains), strict=True):
                rows[name] += [{"state": state, **numbers} for numbers in _quantiles(x, values)]
        charts = []
        for index, (name, kind) in enumerate(PANELS.items()):
            words = f"{name.capitalize()} in layer {place + 1} of {title}, before and after training"
            charts.append(Chart(slug(anchor, f"{place + 1}-{index}"), kind, name, words, rows[name]))
        layers.append((place + 1, charts))
    return layers


def _quantiles(x: np.ndarray, values: np.ndarray) -> Rows:
    """Return x, median, 10 % and 90 % of the channels at no more than POINTS places."""
    places = np.unique(np.linspace(0, len(x) - 1, POINTS).round().astype(int))
    low, middle, high = np.quantile(values[places], (0.1, 0.5, 0.9), axis=1)
    numbers = np.stack([x[places], middle, low, high], axis=1).round(4).tolist()
    return [dict(zip(("x", "median", "low", "high"), row, strict=True)) for row in numbers]


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


def _method(row: Row) -> dict[str, str]:
    return {"row": row.label, "backbone": row.backbone, "attention": row.attention}


def _interval(name: str, ours: Interval | None) -> dict[str, float | None]:
    """Return mean, ends and seeds in per cent, the mean by its name; None without runs."""
    if ours is None:
        return dict.fromkeys((name, "low", "high", "n"))
    return {name: 100 * ours.mean, "low": 100 * ours.low, "high": 100 * ours.high, "n": ours.n}


def slug(*parts: str) -> str:
    """Return an anchor: letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")
