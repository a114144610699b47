"""What runs answered: which class for which, and where they disagree."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wise_lra.report.kept import Kept


@dataclass(frozen=True)
class Confusion:
    """How often a row of the table took each class for each; `counts[true, predicted]` adds up its seeds."""

    label: str
    seeds: tuple[int, ...]
    counts: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """The counts as shares of each true class."""
        return self.counts / np.maximum(1, self.counts.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Answer:
    """What one run said of one example, and how likely it held that to be."""

    label: str
    predicted: int
    probability: float


@dataclass(frozen=True)
class Dispute:
    """A test example that some runs got right and others wrong."""

    example: int
    true: int
    answers: tuple[Answer, ...]


def confusion(label: str, runs: Sequence[Kept]) -> Confusion:
    """Add up the runs of one row, each of which has predictions."""
    tables = [kept.predictions for kept in runs if kept.predictions]
    classes = max(table.probability.shape[1] for table in tables)
    counts = np.zeros((classes, classes), np.int64)
    for table in tables:
        np.add.at(counts, (table.label, table.predicted), 1)
    return Confusion(label, tuple(sorted(kept.record.seed for kept in runs)), counts)


def disputes(runs: Sequence[tuple[str, Kept]], most: int) -> list[Dispute]:
    """Return the examples that split the runs, a label and a run each, all tested on the same examples.

    Each pattern of right and wrong gives one in turn, most even split first; within a pattern the one comes first
    that the runs were surest of. So every pair of rows that differ is shown before any is shown twice.
    """
    tables = [kept.predictions for _, kept in runs if kept.predictions]
    right = np.stack([table.predicted == table.label for table in tables])
    sure = np.stack([table.probability.astype(np.float64).max(axis=1) for table in tables])
    patterns, member = np.unique(right, axis=1, return_inverse=True)
    member = member.ravel()
    share = patterns.mean(axis=0)
    split = [index for index in np.argsort(abs(share - 0.5), kind="stable") if 0 < share[index] < 1]
    lines = []
    for index in split:
        places = np.flatnonzero(member == index)
        lines.append(places[np.argsort(-sure[:, places].mean(axis=0), kind="stable")].tolist())
    taken: list[int] = []
    while len(taken) < most and any(lines):
        taken += [line.pop(0) for line in lines if line]
    return [_dispute(runs, place) for place in taken[:most]]


def _dispute(runs: Sequence[tuple[str, Kept]], place: int) -> Dispute:
    answers = []
    for label, kept in runs:
        assert kept.predictions is not None
        chosen = int(kept.predictions.predicted[place])
        answers.append(Answer(label, chosen, float(kept.predictions.probability[place, chosen])))
        example, true = int(kept.predictions.example[place]), int(kept.predictions.label[place])
    return Dispute(example, true, tuple(answers))
