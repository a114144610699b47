"""Which examples make up each batch: the line of the training examples, and buckets of like length."""

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np

from wise_lra.data.packed import PackedSplit


class Buckets:
    """The lengths that examples are padded to: ``number`` even parts of the task's length.

    An example is padded to the least of them that holds its longest document, and shares batches with examples of
    that length alone: so what a model makes of it never depends on the company it is read in. One bucket pads all
    to the task's length, as the Long Range Arena does.

    Raises ValueError for ``number`` below 1 or above ``length``.
    """

    def __init__(self, length: int, number: int) -> None:
        if not 1 <= number <= length:
            raise ValueError(f"data.buckets={number}: expected 1 to the task's length, {length}")
        self.lengths = -(-length * np.arange(1, number + 1) // number)

    def of(self, split: PackedSplit) -> np.ndarray:
        """Return the bucket, 0 to number - 1, of every example of a split: (examples,)."""
        longest = np.diff(split.offsets).reshape(len(split), -1).max(axis=1)
        return np.searchsorted(self.lengths[:-1], longest)

    def holding(self, tokens: int) -> int:
        """Return the padded length of an example whose longest document has so many tokens."""
        return int(self.lengths[np.searchsorted(self.lengths[:-1], tokens)])


class TrainingOrder:
    """Indices of the training batches of one interval.

    The examples of a bucket form one line through all epochs, epoch e in the order of a permutation drawn from
    (seed, e), and its batches are the pieces of that line. An epoch that batches do not divide ends inside one, so
    no example is dropped and every batch is full. The batches that end in an epoch come in an order drawn for it:
    batch k of a run depends on (seed, k) alone.
    """

    def __init__(self, buckets: np.ndarray, batch_size: int, seed: int, interval: int) -> None:
        """Order the examples whose buckets are given, (examples,), in intervals of so many batches."""
        self.buckets, self.batch_size, self.seed = buckets, batch_size, seed
        self.interval, self.number = interval, 0
        self._sizes = np.bincount(buckets)

    def set_epoch(self, number: int) -> None:
        """Choose the interval; Lightning calls this with its epoch, which is ours between two validations."""
        self.number = number

    def __len__(self) -> int:
        return self.interval

    def __iter__(self) -> Iterator[np.ndarray]:
        lines = lru_cache(maxsize=2)(self._lines)
        first, epoch = self.number * self.interval, 0
        while self._ended(epoch + 1).sum() <= first:
            epoch += 1
        left, skipped = self.interval, first - int(self._ended(epoch).sum())
        while left:
            for bucket, piece in self._batches(epoch)[skipped : skipped + left]:
                yield self._piece(lines, bucket, piece)
                left -= 1
            epoch, skipped = epoch + 1, 0

    def _ended(self, epochs: int) -> np.ndarray:
        """Return how many batches of each bucket are full after so many epochs."""
        return epochs * self._sizes // self.batch_size

    def _batches(self, epoch: int) -> list[tuple[int, int]]:
        """Return (bucket, piece of its line) for the batches that end in an epoch, in their order."""
        begin, end = self._ended(epoch), self._ended(epoch + 1)
        buckets = np.repeat(np.arange(len(begin)), end - begin)
        if len(begin) > 1:
            np.random.default_rng((self.seed, epoch, 1)).shuffle(buckets)
        following = begin.tolist()
        batches = []
        for bucket in buckets.tolist():
            batches.append((bucket, following[bucket]))
            following[bucket] += 1
        return batches

    def _piece(self, lines: Callable[[int], list[np.ndarray]], bucket: int, piece: int) -> np.ndarray:
        start, end = piece * self.batch_size, (piece + 1) * self.batch_size
        parts = []
        while start < end:
            epoch, place = divmod(start, int(self._sizes[bucket]))
            parts.append(lines(epoch)[bucket][place : place + end - start])
            start += len(parts[-1])
        return np.concatenate(parts)

    def _lines(self, epoch: int) -> list[np.ndarray]:
        """Return the examples of every bucket in the order of an epoch."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.buckets))
        return [order[self.buckets[order] == bucket] for bucket in range(len(self._sizes))]


class Pieces:
    """Of every batch of an order, the pieces of one process, each a batch of its own.

    The examples are dealt out in turn, so pieces differ by one example at most, and the batch is the same whatever
    the number of processes and pieces.
    """

    def __init__(self, order: TrainingOrder, rank: int, ranks: int, pieces: int) -> None:
        self.order, self.parts = order, ranks * pieces
        self.own = range(rank * pieces, (rank + 1) * pieces)

    def set_epoch(self, number: int) -> None:
        """Choose the interval."""
        self.order.set_epoch(number)

    def __len__(self) -> int:
        return len(self.order) * len(self.own)

    def __iter__(self) -> Iterator[np.ndarray]:
        for batch in self.order:
            for part in self.own:
                yield batch[part :: self.parts]


class InOrder:
    """The given indices, batch by batch, none of which holds two buckets."""

    def __init__(self, indices: np.ndarray, buckets: np.ndarray, batch_size: int) -> None:
        """Cut `indices`, which lie bucket by bucket; `buckets` (examples of the split,) tells where they end."""
        ends = np.flatnonzero(np.diff(buckets[indices])) + 1
        self._batches = [
            part[start : start + batch_size]
            for part in np.split(indices, ends)
            for start in range(0, len(part), batch_size)
        ]

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self._batches)
