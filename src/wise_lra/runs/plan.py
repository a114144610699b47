"""What a grid would cost: seconds for each of its models, from records of the device or from a short run."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from omegaconf import DictConfig
from rich.table import Table

from wise_lra.registry import TASKS
from wise_lra.results.record import Record
from wise_lra.runs.estimate import makespan
from wise_lra.runs.status import RunStatus, Status

Model = tuple[str, str, str]
"""Task, backbone, attention: what the seeds of a row of the plan share."""


def recorded(rows: Sequence[RunStatus], records: Sequence[Record], device: str) -> dict[Model, float]:
    """Return the mean seconds of a run for each model of the grid that has records of that preset and device."""
    presets = {row.key.model: row.key.preset for row in rows}
    took: dict[Model, list[float]] = {}
    for record in records:
        model = (record.task, record.backbone, record.attention)
        if record.device == device and presets.get(model) == record.preset:
            took.setdefault(model, []).append(record.seconds["total"])
    return {model: fmean(seconds) for model, seconds in took.items()}


def measured(cfgs: Mapping[Model, DictConfig], seconds: float) -> dict[Model, float]:
    """Return the seconds of a run of each model, from a few steps here; a model that does not fit is left out."""
    from wise_lra.find_batch import seconds_an_example  # torch takes seconds to import

    paces = {model: seconds_an_example(cfg, seconds / len(cfgs)) for model, cfg in cfgs.items()}
    return {model: seconds_of(cfgs[model], *pace) for model, pace in paces.items() if pace}


def seconds_of(cfg: DictConfig, train: float, evaluation: float) -> float:
    """Return the seconds of a run from those of one example in training and in evaluation."""
    recipe, data = cfg.recipe, cfg.data
    most = (data.validation_examples, data.test_examples)
    _, *counts = TASKS[cfg.task.name].counts[-1 if data.protocol == "lra" else 0]
    validation, test = (min(n or full, full) for n, full in zip(most, counts, strict=True))
    validations = -(-recipe.steps // recipe.validate_every)
    return train * recipe.steps * recipe.batch_size + evaluation * (validations * validation + test)


def plan(
    rows: Sequence[RunStatus],
    known: Mapping[Model, float],
    short: Mapping[Model, float],
    title: str,
    at_a_time: int,
) -> tuple[Table, str]:
    """Return the plan of a table of runs as rich prints it, a row for each model, and its sums in a line.

    Args:
        rows: the runs; those that are done are not counted in the hours.
        known: seconds of a run of a model, from records.
        short: the same from a short run, for models that `known` lacks.
        title: of the table.
        at_a_time: runs at a time, taken in the order of the rows, for the hours on the clock.
    """
    shown = Table(title=title, title_justify="left")
    for name in ("task", "backbone", "attention"):
        shown.add_column(name)
    for name in ("jobs", "done", "hours each", "hours left"):
        shown.add_column(name, justify="right")
    shown.add_column("from")
    seconds = {**short, **known}
    left = [row for row in rows if row.status != Status.DONE]
    for model in dict.fromkeys(row.key.model for row in rows):
        count, open_ = (sum(row.key.model == model for row in some) for some in (rows, left))
        each = [hours(seconds[model]), hours(open_ * seconds[model])] if model in seconds else ["?", "?"]
        source = "records" if model in known else "measured" if model in short else "unknown"
        shown.add_row(*model, str(count), str(count - open_), *each, source)
    queued = [seconds.get(row.key.model) for row in left]
    estimated = [one for one in queued if one is not None]
    line = (
        f"{len(rows)} jobs, {len(rows) - len(left)} done; {hours(sum(estimated))} device-hours left, "
        f"{hours(makespan([], estimated, at_a_time))} hours on the clock with {at_a_time} at a time"
    )
    unknown = len(queued) - len(estimated)
    return shown, line + (f"; {unknown} jobs not estimated" if unknown else "")


def hours(seconds: float) -> str:
    """Return 5400 as "1.50", 5_400_000 as "1,500"."""
    value = seconds / 3600
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
