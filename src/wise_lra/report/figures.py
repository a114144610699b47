"""The charts of a table, a column each: which rows they draw, and what they say to who does not see them."""

from collections.abc import Iterator
from dataclasses import dataclass

from wise_lra.report import series
from wise_lra.report.prose import slug
from wise_lra.report.series import Series
from wise_lra.results.tables import Table


@dataclass(frozen=True)
class Chart:
    """A place for a chart: its anchor, the kind that draws it, its rows, its title and what it says in words."""

    anchor: str
    kind: str
    data: Series
    title: str
    words: str


def accuracies(table: Table, anchor: str) -> Iterator[Chart]:
    """Yield the intervals of every column that has runs."""
    for index, column in enumerate(table.columns):
        data = series.accuracies(table, index)
        said = [
            f"{row.label} {100 * cell.ours.mean:.1f} %"
            for row in table.rows
            if (cell := row.cells[index]).ours is not None
        ]
        if column.records:
            words = f"Test accuracy on {column.label} with 95 % intervals: {', '.join(said)}"
            yield Chart(slug(anchor, "accuracy", column.label), "accuracies", data, column.label, words)


def curves(table: Table, anchor: str) -> Iterator[Chart]:
    """Yield the learning curves of every column whose runs kept a history."""
    for column in table.columns:
        data = series.curves(table, column)
        if data.rows:
            words = f"Learning curves on {column.label}: mean of the seeds, and a band from lowest to highest"
            yield Chart(slug(anchor, "curve", column.label), "curves", data, column.label, words)


def costs(table: Table, anchor: str) -> Iterator[Chart]:
    """Yield accuracy against cost of every column that has runs."""
    for index, column in enumerate(table.columns):
        data = series.costs(table, index)
        if data.rows:
            best = dict.fromkeys(str(row[0]) for row in data.rows if row[-1] and row[3] == "seconds")
            words = f"Accuracy on {column.label} against cost; on the front by time: {', '.join(best)}"
            yield Chart(slug(anchor, "cost", column.label), "costs", data, column.label, words)
