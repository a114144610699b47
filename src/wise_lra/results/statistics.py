"""How sure a mean accuracy is, and whether it beats guessing. Accuracies are in [0, 1], never per cent."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev
from typing import Literal

from wise_lra.results.record import Record

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean of n values with the ends of its interval; `std` is the sample's (n - 1), None where n = 1."""

    mean: float
    low: float
    high: float
    n: int
    method: Literal["t", "wilson", "average", "bootstrap"]
    std: float | None = None

    @property
    def half_width(self) -> float:
        """The larger of the two sides (Wilson's is not symmetric): mean ± this covers the interval."""
        return max(self.high - self.mean, self.mean - self.low)


def wilson(share: float, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return Wilson's score interval of a share seen in n trials (Brown, Cai and DasGupta 2001)."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def student_t(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return Student's t interval of the mean of two or more values; it may leave [0, 1] when n is small."""
    from scipy.special import stdtrit  # here, because its import takes longer than all else in this package

    half = float(stdtrit(len(values) - 1, (1 + confidence) / 2)) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def accuracy(records: Sequence[Record]) -> Interval:
    """Return the test accuracy of one cell, a record a seed.

    Two or more seeds: Student's t over the seeds. One seed: Wilson over the test examples, which says nothing
    about the spread between seeds. Raises ValueError without records or where a seed comes twice.
    """
    seeds = sorted(record.seed for record in records)
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds={seeds}: expected at least one, each once")
    values = [record.metrics["test_accuracy"] for record in records]
    if len(values) == 1:
        return Interval(
            values[0], *wilson(values[0], records[0].metrics["test_examples"]), n=1, method="wilson"
        )
    return Interval(fmean(values), *student_t(values), n=len(values), method="t", std=stdev(values))


def average(intervals: Sequence[Interval]) -> Interval:
    """Return the mean over tasks; half-widths add in quadrature, as of independent errors; n is the least."""
    mean = fmean(interval.mean for interval in intervals)
    half = math.hypot(*(interval.half_width for interval in intervals)) / len(intervals)
    return Interval(
        mean, mean - half, mean + half, n=min(interval.n for interval in intervals), method="average"
    )


def paired(differences: Sequence[float]) -> Interval | None:
    """Return Student's t interval of a mean of differences, a value a seed; None of none.

    One difference bounds nothing: its ends are infinite.
    """
    if not differences:
        return None
    if len(differences) == 1:
        return Interval(differences[0], -math.inf, math.inf, n=1, method="t")
    ends = student_t(differences)
    return Interval(fmean(differences), *ends, n=len(differences), method="t", std=stdev(differences))


def at_chance(records: Sequence[Record]) -> bool:
    """Tell whether a cell does not surely beat always answering the commonest class.

    True unless Wilson's lower bound of the accuracy, pooled over the seeds, is above the majority share.
    Seeds share one test set, so its examples count once: else many seeds would make a lucky gain look sure.
    """
    pooled = fmean(record.metrics["test_accuracy"] for record in records)
    low, _ = wilson(pooled, min(record.metrics["test_examples"] for record in records))
    return low <= max(record.data["majority"] for record in records)
