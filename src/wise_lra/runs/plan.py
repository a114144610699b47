"""What a grid would cost: seconds for each of its models, from records of the device or from a short run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from omegaconf import DictConfig
from rich.table import Table

from wise_lra.results.record import Record
from wise_lra.runs.estimate import makespan
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


def recorded(rows: Sequence[RunStatus], records: Sequence[Record], device: str) -> dict[Model, float]:
    """Return the mean seconds of a run for each model of the grid that has records of that preset and device."""
    presets = {row.key.model: row.key.preset for row in rows}
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


def measured(cfgs: Mapping[Model, DictConfig], seconds: float) -> dict[Model, float]:
    """Return the seconds of a run of each model, from a few steps here; a model that does not fit is left out."""
    from wise_lra.find_batch import seconds_an_example  # torch takes seconds to import

    paces = {model: seconds_an_example(cfg, seconds / len(cfgs)) for model, cfg in cfgs.items()}
    return {model: seconds_of(cfgs[model], *pace) for model, pace in paces.items() if pace}


def forecast(
    rows: Sequence[RunStatus], known: Mapping[Model, float], short: Mapping[Model, float]
) -> list[Forecast]:
    """Return a row for each model in the table of runs: from records (`known`), else from a `short` run."""
    found = []
    for model in dict.fromkeys(row.key.model for row in rows):
        own = [row for row in rows if row.key.model == model]
        done = sum(row.status == Status.DONE for row in own)
        source = "records" if model in known else "measured" if model in short else "unknown"
        found.append(Forecast(model, len(own), done, known.get(model, short.get(model)), source))
    return found


def clock_time(rows: Sequence[Forecast], at_a_time: int) -> float:
    """Return the seconds until the grid is done with so many runs at a time, taken in the order of the rows."""
    return makespan([], [row.seconds or 0.0 for row in rows for _ in range(row.cells - row.done)], at_a_time)


def table(rows: Sequence[Forecast], title: str) -> Table:
    """Return the plan as rich prints it."""
    shown = Table(title=title, title_justify="left")
    for name in ("task", "backbone", "attention"):
        shown.add_column(name)
    for name in ("jobs", "done", "hours each", "hours left"):
        shown.add_column(name, justify="right")
    shown.add_column("from")
    for row in rows:
        each, left = ("?", "?") if row.seconds is None else (hours(row.seconds), hours(row.left))
        shown.add_row(*row.model, str(row.cells), str(row.done), each, left, row.source)
    return shown


def summary(rows: Sequence[Forecast], at_a_time: int) -> str:
    """Return the sums of a plan in a line."""
    unknown = sum(row.cells - row.done for row in rows if row.seconds is None)
    return (
        f"{sum(row.cells for row in rows)} jobs, {sum(row.done for row in rows)} done; "
        f"{hours(sum(row.left for row in rows))} device-hours left, "
        f"{hours(clock_time(rows, at_a_time))} hours on the clock with {at_a_time} at a time"
        + f"; {unknown} jobs not estimated"
        * bool(unknown)
    )


def hours(seconds: float) -> str:
    """Return 5400 as "1.50", 5_400_000 as "1,500"."""
    found = seconds / 3600
    return f"{found:,.0f}" if found >= 100 else f"{found:.2f}"
