"""Batches for Lightning, from a packed folder: the one file of this room that knows Lightning."""

from pathlib import Path

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from wise_lra.data.packed import PackedSplit
from wise_lra.data.samplers import Buckets, InOrder, Pieces, TrainingOrder
from wise_lra.data.task import SPLITS, Batch, Task


class DataModule(LightningDataModule):
    """Loaders over the three splits of a packed folder.

    One pass of the training loader is one evaluation interval, the batches between two validations: Lightning's
    epoch k begins at step k * `interval`. Batch k depends on (seed, k) alone, so a run resumed at the end of an
    interval sees exactly the batches that it would have seen. Validation and test run in order, bucket by bucket,
    the last batch of each as small as it comes.

    On several devices, or where a batch is computed in pieces, each loader yields its own part of every batch
    (`Pieces`); of validation and test each example is on one device once, so that means over all are exact.
    """

    def __init__(
        self,
        task: Task,
        folder: Path,
        batch_size: int,
        interval: int,
        seed: int,
        workers: int = 0,
        validation_examples: int | None = None,
        test_examples: int | None = None,
        buckets: int = 1,
        splits: tuple[str, ...] = SPLITS,
    ) -> None:
        """Map the splits of `folder`, as `prepare` made it.

        `validation_examples` and `test_examples` are used at most: the same ones in every run, drawn without
        regard to their labels. `buckets` is how many lengths examples are padded to; see `Buckets`.
        Only `splits` are opened: a search has no test. Raises ValueError on a size below one.
        """
        super().__init__()
        for name, value in (("batch_size", batch_size), ("interval", interval)):
            if value < 1:
                raise ValueError(f"{name}={value}: expected at least 1")
        self.task, self.folder = task, Path(folder)
        self.batch_size, self.interval, self.seed, self.workers = batch_size, interval, seed, workers
        self.splits = {split: PackedSplit(self.folder, split, task) for split in splits}
        most = {"train": None, "validation": validation_examples, "test": test_examples}
        self.lengths = Buckets(task.length, buckets)
        self.buckets = {split: self.lengths.of(self.splits[split]) for split in splits}
        self.chosen = {split: _drawn(self.buckets[split], most[split]) for split in splits}

    @property
    def majority(self) -> float:
        """Share of the most frequent class in test: the accuracy of a model that has learned nothing."""
        labels = self.splits["test"].labels[self.chosen["test"]]
        return float(np.bincount(labels).max() / len(labels))

    def count(self, split: str) -> int:
        """Return how many examples of a split are used."""
        return len(self.chosen[split])

    @property
    def tokens_per_example(self) -> float:
        """Tokens that a model reads for one training example, padding included: the mean over all."""
        return self.task.documents * float(self.lengths.lengths[self.buckets["train"]].mean())

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the batches of an interval: the present one, then those that Lightning tells its sampler."""
        split = self.splits["train"]
        order = TrainingOrder(self.buckets["train"], self.batch_size, self.seed, self.interval)
        order.set_epoch(self.trainer.current_epoch if self.trainer else 0)
        rank, ranks, pieces = self._place()
        return self._loader(split, Pieces(order, rank, ranks, pieces))

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return the validation split in order."""
        return self._in_order("validation")

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return the test split in order."""
        return self._in_order("test")

    def _in_order(self, name: str) -> DataLoader[Batch]:
        split, chosen = self.splits[name], self.chosen[name]
        rank, ranks, pieces = self._place()
        if len(chosen) < ranks:
            raise ValueError(
                f"trainer.devices={ranks}: {name} has {len(chosen)} examples; expected one a device"
            )
        size = -(-self.batch_size // (ranks * pieces))
        return self._loader(split, InOrder(chosen[rank::ranks], self.buckets[name], size))

    def _place(self) -> tuple[int, int, int]:
        """Return this process's rank, the number of processes, and in how many pieces each computes a batch."""
        if self.trainer is None:
            return 0, 1, 1
        return self.trainer.global_rank, self.trainer.world_size, self.trainer.accumulate_grad_batches

    def _loader(self, split: PackedSplit, order: Pieces | InOrder) -> DataLoader[Batch]:
        return DataLoader(
            _Batches(split, self.lengths),
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


def _drawn(buckets: np.ndarray, most: int | None) -> np.ndarray:
    """Return the indices of all examples, or of `most` that a fixed draw picks; bucket by bucket."""
    drawn = np.arange(len(buckets))
    if most is not None and most < len(buckets):
        if most < 1:
            raise ValueError(f"{most} examples to evaluate on: expected at least 1")
        drawn = np.sort(np.random.default_rng(0).permutation(len(buckets))[:most])
    return drawn[np.argsort(buckets[drawn], kind="stable")]


class _Batches(Dataset[Batch]):
    """A split whose item is a whole batch, asked for by its indices."""

    def __init__(self, split: PackedSplit, lengths: Buckets) -> None:
        self.split, self.lengths = split, lengths

    def __getitem__(self, indices: np.ndarray) -> Batch:
        return self.split.batch(indices, self.lengths.holding(self.split.longest(indices)))

    def __len__(self) -> int:
        return len(self.split)
