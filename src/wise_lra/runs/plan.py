"""What a grid would cost: seconds for each of its models, from records of the device or from a short run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from omegaconf import DictConfig

from wise_lra.results.record import Record
from wise_lra.runs.estimate import makespan
from wise_lra.runs.key import RunKey
from wise_lra.runs.status import RunStatus, Status

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
    """A row of the plan. `seconds` are those of one run, None where nothing is known; `source` says from where."""

    model: Model
    cells: int
    done: int
    seconds: float | None
    source: str

    @property
    def left(self) -> float:
        """Seconds on one device until all its runs have their record, unknown ones left out."""
        return (self.cells - self.done) * (self.seconds or 0.0)


def recorded(grid: Iterable[RunKey], records: Iterable[Record], device: str) -> dict[Model, float]:
    """Return the mean seconds of a run for each model of the grid that has records of that preset and device."""
    presets = {key.model: key.preset for key in grid}
    took: dict[Model, list[float]] = {}
    for record in records:
        model = (record.task, record.backbone, record.attention)
        if record.device == device and presets.get(model) == record.preset:
            took.setdefault(model, []).append(record.seconds["total"])
    return {model: fmean(seconds) for model, seconds in took.items()}


def seconds_of(cfg: DictConfig, train: float, evaluation: float) -> float:
    """Return the seconds of a run from those of one example in training and in evaluation."""
    recipe, data = cfg.recipe, cfg.data
    most = (data.validation_examples, data.test_examples)
    validation, test = (min(n or full, full) for n, full in zip(most, EVALUATED[cfg.task.name], strict=True))
    validations = -(-recipe.steps // recipe.validate_every)
    return train * recipe.steps * recipe.batch_size + evaluation * (validations * validation + test)


def forecast(
    rows: Sequence[RunStatus], known: Mapping[Model, float], measured: Mapping[Model, float]
) -> list[Forecast]:
    """Return a row for each model in the table of runs, in its order."""
    found = []
    for model in dict.fromkeys(row.key.model for row in rows):
        own = [row for row in rows if row.key.model == model]
        done = sum(row.status == Status.DONE for row in own)
        source = "measured" if model in measured else "records" if model in known else "unknown"
        found.append(Forecast(model, len(own), done, measured.get(model, known.get(model)), source))
    return found


def clock_time(rows: Sequence[Forecast], at_a_time: int) -> float:
    """Return the seconds until the grid is done with so many runs at a time, taken in the order of the rows."""
    return makespan([], [row.seconds or 0.0 for row in rows for _ in range(row.cells - row.done)], at_a_time)
