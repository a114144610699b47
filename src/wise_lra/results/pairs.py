"""Two rows of a table compared seed by seed, on the same data, recipe and budget."""

from collections.abc import Callable, Sequence
from statistics import fmean

from wise_lra.registry import NONE, SOFTMAX, Method
from wise_lra.results.columns import Column
from wise_lra.results.record import Record
from wise_lra.results.statistics import Interval, student_t

Difference = Callable[[Record, Record], float | None]


def token_space(attention: str) -> Method:
    """Return vanilla with the same attention; with softmax for what holds none, as FNet."""
    return "vanilla", SOFTMAX if attention == NONE else attention


def in_accuracy(ours: Record, other: Record) -> float:
    """Return the difference in test accuracy, in [-1, 1]."""
    return float(ours.metrics["test_accuracy"] - other.metrics["test_accuracy"])


def in_validation(ours: Record, other: Record) -> float:
    """Return the difference in best validation accuracy, in [-1, 1]: what may choose between two rows."""
    return float(ours.metrics["validation_accuracy"] - other.metrics["validation_accuracy"])


def in_time(ours: Record, other: Record) -> float | None:
    """Return by what share a training step takes longer; None where the machine was not the same."""
    same = (ours.device, ours.precision) == (other.device, other.precision)
    if not same or not ours.tokens_per_second or not other.tokens_per_second:
        return None
    return other.tokens_per_second / ours.tokens_per_second - 1


def differences(
    columns: Sequence[Column], ours: Method, other: Method, of: Difference = in_accuracy
) -> list[float]:
    """Return the mean over `columns` of a difference, a value a seed that both have in every column.

    So a seed that lacks a task never enters an average, and the spread is that between whole seeds. Rounded
    far below one example's weight, so that nothing but rounding errors is no gain.
    """
    by_column: list[dict[int, float]] = []
    for column in columns:
        a, b = column.by_seed(ours), column.by_seed(other)
        values = {seed: of(a[seed], b[seed]) for seed in a.keys() & b.keys()}
        by_column.append({seed: value for seed, value in values.items() if value is not None})
    seeds = set.intersection(*map(set, by_column)) if by_column else set()
    return [round(fmean(values[seed] for values in by_column), 12) for seed in sorted(seeds)]


def gain(
    columns: Sequence[Column], ours: Method, other: Method, of: Difference = in_accuracy
) -> Interval | None:
    """Return the mean of the differences with Student's t interval over the seeds; None without a common seed."""
    values = differences(columns, ours, other, of)
    return student_t(values) if values else None


def scores(columns: Sequence[Column], method: Method) -> list[list[float]]:
    """Return the accuracies of a row, a list a column, of the seeds that it has in every column."""
    by_column = [column.by_seed(method) for column in columns]
    seeds = sorted(set.intersection(*map(set, by_column))) if by_column else []
    return [[records[seed].metrics["test_accuracy"] for seed in seeds] for records in by_column]
