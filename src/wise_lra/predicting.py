"""Keeping what a model answers to each test example, in the one pass that tests it, so that none is read again."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, distributed

from wise_lra.data.batch import Batch
from wise_lra.results.predictions import Predictions

log = logging.getLogger(__name__)


class Predicting(Callback):
    """Writes a run's `Predictions` to `file` once it is tested; `examples` are their places in the test split.

    It only looks on: accuracy and record are the same without it, and a disk that does not take the file costs a
    warning, not the run.
    """

    def __init__(self, file: Path, examples: np.ndarray) -> None:
        self.file, self.examples = file, examples
        self._answers: list[tuple[Tensor, Tensor]] = []

    def on_test_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Forget what an earlier pass saw."""
        self._answers = []

    def on_test_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Batch, *_: Any
    ) -> None:
        """Keep labels and logits (batch, classes) where they are: copying would make a GPU wait."""
        self._answers.append((batch.labels, outputs))

    def on_test_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Write the file, with what other devices saw in between: example k is on device k modulo their number."""
        labels = np.concatenate([labels.cpu().numpy() for labels, _ in self._answers])
        chances = np.concatenate([logits.softmax(-1).cpu().numpy() for _, logits in self._answers])
        chosen = np.concatenate([logits.argmax(-1).cpu().numpy() for _, logits in self._answers])
        if trainer.world_size > 1:
            labels, chances, chosen = (_dealt(part, trainer.world_size) for part in (labels, chances, chosen))
        if not trainer.is_global_zero:
            return
        try:
            Predictions(self.examples, labels, chosen, chances).write(self.file)
        except OSError as error:
            log.warning("%s: not kept (%s); the run goes on without it", self.file, error)


def _dealt(own: np.ndarray, devices: int) -> np.ndarray:
    """Return the rows of all devices, which were dealt out in turn, in their first order."""
    parts: list[np.ndarray] = [own] * devices
    distributed.all_gather_object(parts, own)
    whole = np.empty((sum(map(len, parts)), *own.shape[1:]), own.dtype)
    for rank, part in enumerate(parts):
        whole[rank::devices] = part
    return whole
