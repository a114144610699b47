"""What a grid would cost: seconds for each of its models, from records of the device or from a measurement."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from wise_lra.grid.cells import Cell
from wise_lra.grid.estimate import makespan
from wise_lra.results.record import Record

Model = tuple[str, str, str]
"""Task, backbone, attention: what the seeds of a row of the plan share."""

EVALUATED = {
    "listops": (2_000, 2_000),
    "text": (2_500, 25_000),
    "retrieval": (18_090, 17_437),
    "image": (5_000, 10_000),
    "pathfinder": (20_000, 20_000),
}
"""Examples of validation and test in LRA's own data; 2,500 of Text are held out of its training examples."""


@dataclass(frozen=True)
class Forecast:
    """A row of the plan. `seconds` are those of one cell, None where nothing is known; `source` says whence."""

    model: Model
    cells: int
    done: int
    seconds: float | None
    source: str

    @property
    def left(self) -> float:
        """Seconds on one device until all its cells have their record, what is not known left out."""
        return (self.cells - self.done) * (self.seconds or 0.0)


def model(cell: Cell | Record) -> Model:
    """Return what a cell has in common with its other seeds."""
    return cell.task, cell.backbone, cell.attention


def recorded(grid: Iterable[Cell], records: Iterable[Record], device: str) -> dict[Model, float]:
    """Return the mean seconds of a cell for each model of the grid that has records of that preset and device."""
    labels = {model(cell): cell.preset for cell in grid}
    took: dict[Model, list[float]] = {}
    for record in records:
        if record.device == device and labels.get(model(record)) == record.preset:
            took.setdefault(model(record), []).append(record.seconds["total"])
    return {key: fmean(seconds) for key, seconds in took.items()}


def seconds_of(
    train: float, evaluation: float, steps: int, batch_size: int, validations: int, sizes: tuple[int, int]
) -> float:
    """Return the seconds of a run from those of one example; `sizes` are the examples of validation and test."""
    return train * steps * batch_size + evaluation * (validations * sizes[0] + sizes[1])


def forecast(
    grid: Sequence[Cell],
    done: Iterable[Record],
    known: Mapping[Model, float],
    measured: Mapping[Model, tuple[float, str]],
) -> list[Forecast]:
    """Return a row for each model of the grid, in its order; `measured` holds seconds and how they were found.

    A record counts as done in whatever data its task was prepared from: a plan prepares none.
    """
    there = {(record.preset, *model(record), record.seed) for record in done}
    rows = []
    for key in dict.fromkeys(map(model, grid)):
        own = [cell for cell in grid if model(cell) == key]
        finished = sum((cell.preset, *key, cell.seed) in there for cell in own)
        seconds, source = measured.get(key, (None, "unknown"))
        if key not in measured and key in known:
            seconds, source = known[key], "records"
        rows.append(Forecast(key, len(own), finished, seconds, source))
    return rows


def clock_time(rows: Sequence[Forecast], at_a_time: int) -> float:
    """Return the seconds until the grid is done with so many cells at a time, taken in the order of the rows."""
    queued = [row.seconds or 0.0 for row in rows for _ in range(row.cells - row.done)]
    return makespan([], queued, at_a_time)
