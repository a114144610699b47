"""Batches for Lightning, from a packed folder: the one file of this room that knows Lightning."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from wise_lra.data.batch import Batch
from wise_lra.data.packed import PackedSplit
from wise_lra.data.task import SPLITS, Task


class DataModule(LightningDataModule):
    """Loaders over the three splits of a packed folder.

    One pass of the training loader is one stretch, the batches between two validations: Lightning's epoch k begins
    at step k * `stretch`. Batch k depends on (seed, k) alone, so a run resumed at the end of a stretch sees exactly
    the batches that it would have seen. Validation and test run in order, the last batch as small as it comes.
    """

    def __init__(
        self,
        task: Task,
        folder: Path,
        batch_size: int,
        stretch: int,
        seed: int,
        workers: int = 0,
        validation_examples: int | None = None,
        test_examples: int | None = None,
    ) -> None:
        """Map the splits of `folder`, as `prepare` made it.

        `validation_examples` and `test_examples` are used at most: the same ones in every run, drawn without
        regard to their labels. Raises ValueError on a size below one.
        """
        super().__init__()
        for name, value in (("batch_size", batch_size), ("stretch", stretch)):
            if value < 1:
                raise ValueError(f"{name}={value}: expected at least 1")
        self.task, self.folder = task, Path(folder)
        self.batch_size, self.stretch, self.seed, self.workers = batch_size, stretch, seed, workers
        self.splits = {split: PackedSplit(self.folder, split, task) for split in SPLITS}
        most = {"train": None, "validation": validation_examples, "test": test_examples}
        self.chosen = {split: _drawn(len(self.splits[split]), most[split]) for split in SPLITS}

    @property
    def majority(self) -> float:
        """Share of the most frequent class in test: the accuracy of a model that has learned nothing."""
        labels = self.splits["test"].labels[self.chosen["test"]]
        return float(np.bincount(labels).max() / len(labels))

    def count(self, split: str) -> int:
        """Return how many examples of a split are used."""
        return len(self.chosen[split])

    @property
    def tokens_per_example(self) -> int:
        """Tokens that a model reads for one example, padding included."""
        return self.task.documents * self.task.length

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the batches of a stretch: the present one, then those that Lightning tells its sampler."""
        split = self.splits["train"]
        order = TrainingOrder(len(split), self.batch_size, self.seed, self.stretch)
        order.set_epoch(self.trainer.current_epoch if self.trainer else 0)
        return self._loader(split, order)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return the validation split in order."""
        return self._in_order("validation")

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return the test split in order."""
        return self._in_order("test")

    def _in_order(self, name: str) -> DataLoader[Batch]:
        split = self.splits[name]
        return self._loader(split, InOrder(self.chosen[name], self.batch_size))

    def _loader(self, split: PackedSplit, order: "TrainingOrder | InOrder") -> DataLoader[Batch]:
        return DataLoader(
            _Batches(split, self.task.length),
            sampler=order,
            batch_size=None,  # the sampler yields the indices of whole batches
            num_workers=self.workers,
            pin_memory=torch.cuda.is_available(),
            multiprocessing_context="forkserver"
            if self.workers
            else None,  # as CUDA and array_record need it
            persistent_workers=self.workers > 0,
            generator=torch.Generator(),  # its draws must not move the generator that dropout uses
        )


class TrainingOrder:
    """Indices of the training batches of one stretch.

    The examples of all epochs form one line, epoch e in the order of a permutation drawn from (seed, e); batch k is
    its k-th piece. An epoch that batches do not divide ends inside one, so no example is dropped.
    """

    def __init__(self, examples: int, batch_size: int, seed: int, stretch: int) -> None:
        self.examples, self.batch_size, self.seed = examples, batch_size, seed
        self.stretch, self.number = stretch, 0

    def set_epoch(self, number: int) -> None:
        """Choose the stretch; Lightning calls this with its epoch, which is ours between two validations."""
        self.number = number

    def __len__(self) -> int:
        return self.stretch

    def __iter__(self) -> Iterator[np.ndarray]:
        epoch_order = lru_cache(maxsize=2)(self._epoch)
        for step in range(self.number * self.stretch, (self.number + 1) * self.stretch):
            start, end = step * self.batch_size, (step + 1) * self.batch_size
            parts = []
            while start < end:
                epoch, place = divmod(start, self.examples)
                part = epoch_order(epoch)[place : place + end - start]
                parts.append(part)
                start += len(part)
            yield np.concatenate(parts)

    def _epoch(self, epoch: int) -> np.ndarray:
        return np.random.default_rng((self.seed, epoch)).permutation(self.examples)


class InOrder:
    """The given indices, batch by batch."""

    def __init__(self, indices: np.ndarray, batch_size: int) -> None:
        self.indices, self.batch_size = indices, batch_size

    def __len__(self) -> int:
        return -(-len(self.indices) // self.batch_size)

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self.indices), self.batch_size):
            yield self.indices[start : start + self.batch_size]


def _drawn(examples: int, most: int | None) -> np.ndarray:
    """Return the indices of all examples, or of `most` that a fixed draw picks, in their own order."""
    if most is None or most >= examples:
        return np.arange(examples)
    if most < 1:
        raise ValueError(f"{most} examples to evaluate on: expected at least 1")
    return np.sort(np.random.default_rng(0).permutation(examples)[:most])


class _Batches(Dataset[Batch]):
    """A split whose item is a whole batch, asked for by its indices."""

    def __init__(self, split: PackedSplit, length: int) -> None:
        self.split, self.length = split, length

    def __getitem__(self, indices: np.ndarray) -> Batch:
        return self.split.batch(indices, self.length)

    def __len__(self) -> int:
        return len(self.split)
