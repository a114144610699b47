"""A row over all tasks at once: interquartile mean and probability of improvement.

R. Agarwal, M. Schwarzer, P. S. Castro, A. Courville, M. G. Bellemare: Deep Reinforcement Learning at the Edge of
the Statistical Precipice, NeurIPS 2021. Both intervals are percentiles of the stratified bootstrap: seeds are drawn
again within each task, tasks never. Written out in numpy, whose import takes a tenth of scipy.stats's.
"""

from collections.abc import Sequence

import numpy as np

from wise_lra.results.statistics import CONFIDENCE, Interval

DRAWS = 2000
Scores = Sequence[Sequence[float]]  # a list a task, a value a seed


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

    return _interval(float(middle(table.reshape(-1))), middle(drawn), seeds)


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
    return _interval(mean / len(ours), total / len(ours), min(len(ours[0]), len(other[0])))


def _interval(mean: float, drawn: np.ndarray, seeds: int) -> Interval:
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(mean, float(low), float(high), n=seeds, method="bootstrap")
