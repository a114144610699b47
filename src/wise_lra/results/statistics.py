"""How sure a mean accuracy is, and whether it beats guessing. Accuracies are in [0, 1], never per cent.

The interquartile mean and the probability of improvement are those of R. Agarwal, M. Schwarzer, P. S. Castro,
A. Courville, M. G. Bellemare: Deep Reinforcement Learning at the Edge of the Statistical Precipice, NeurIPS 2021.
Their intervals are percentiles of the stratified bootstrap: seeds are drawn again within each task, tasks never.
Written with numpy, whose import takes a tenth of the time of scipy.stats.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev
from typing import Literal

import numpy as np

from wise_lra.results.record import Record

CONFIDENCE = 0.95
DRAWS = 2000
Scores = Sequence[Sequence[float]]
"""A list a task, a value a seed."""


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


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return Wilson's score interval of a share seen in n trials (Brown, Cai and DasGupta 2001)."""
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    centre = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def student_t(values: Sequence[float]) -> Interval:
    """Return the mean of values, a seed each, with Student's t interval, which may leave [0, 1] when n is small.

    One value bounds nothing: its ends are infinite.
    """
    if len(values) == 1:
        return Interval(values[0], -math.inf, math.inf, n=1, method="t")
    from scipy.special import stdtrit  # here, because its import takes longer than all else in this package

    mean, std = fmean(values), stdev(values)
    half = float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2)) * std / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half, n=len(values), method="t", std=std)


def accuracy(records: Sequence[Record]) -> Interval:
    """Return the test accuracy of one cell, a record a seed.

    Two or more seeds: Student's t over the seeds. One seed: Wilson over the test examples, which says nothing
    about the spread between seeds. Raises ValueError without records or where a seed comes twice.
    """
    seeds = sorted(record.seed for record in records)
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds={seeds}: expected at least one, each once")
    if len(seeds) > 1:
        return student_t([record.metrics["test_accuracy"] for record in records])
    share, examples = (records[0].metrics[key] for key in ("test_accuracy", "test_examples"))
    return Interval(share, *wilson(share, examples), n=1, method="wilson")


def average(intervals: Sequence[Interval]) -> Interval:
    """Return the mean over tasks; half-widths add in quadrature, as of independent errors; n is the least."""
    mean = fmean(interval.mean for interval in intervals)
    half = math.hypot(*(interval.half_width for interval in intervals)) / len(intervals)
    least = min(interval.n for interval in intervals)
    return Interval(mean, mean - half, mean + half, n=least, method="average")


def at_chance(records: Sequence[Record]) -> bool:
    """Tell whether a cell does not surely beat always answering the commonest class.

    True unless Wilson's lower bound of the accuracy, pooled over the seeds, is above the majority share.
    Seeds share one test set, so its examples count once: else many seeds would make a lucky gain look sure.
    """
    pooled = fmean(record.metrics["test_accuracy"] for record in records)
    low, _ = wilson(pooled, min(record.metrics["test_examples"] for record in records))
    return low <= max(record.data["majority"] for record in records)


def interquartile_mean(scores: Scores, draws: int = DRAWS) -> Interval:
    """Return the mean of the middle half of all scores, each task having two or more.

    As scipy.stats.trim_mean(scores, 0.25): a quarter is cut from each end, rounded down to whole scores.
    """
    table = np.array(scores)
    tasks, seeds = table.shape
    chosen = np.random.default_rng(0).integers(seeds, size=(draws, tasks, seeds))
    drawn = np.take_along_axis(table[None], chosen, axis=2).reshape(draws, -1)
    cut = table.size // 4

    def middle(values: np.ndarray) -> np.ndarray:
        return np.sort(values, axis=-1)[..., cut : table.size - cut].mean(axis=-1)

    return _bootstrap(float(middle(table.reshape(-1))), middle(drawn), seeds)


def improvement(ours: Scores, other: Scores, draws: int = DRAWS) -> Interval:
    """Return how probably a run of ours beats a run of the other, the mean over tasks; a tie counts half.

    A task's probability is Mann and Whitney's U over the number of pairs.
    """
    generator, total, mean = np.random.default_rng(0), np.zeros(draws), 0.0
    for a, b in zip(map(np.array, ours), map(np.array, other), strict=True):
        wins = (a[:, None] > b) + 0.5 * (a[:, None] == b)
        shares = [generator.multinomial(v.size, np.full(v.size, 1 / v.size), draws) / v.size for v in (a, b)]
        total += np.einsum("di,ij,dj->d", shares[0], wins, shares[1], optimize=True)
        mean += float(wins.mean())
    return _bootstrap(mean / len(ours), total / len(ours), min(len(ours[0]), len(other[0])))


def _bootstrap(mean: float, drawn: np.ndarray, seeds: int) -> Interval:
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(mean, float(low), float(high), n=seeds, method="bootstrap")
