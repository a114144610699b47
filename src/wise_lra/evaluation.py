"""The second composition root: a recorded run put together again, measured anew or asked something."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from wise_lra.checkpoints import BEST
from wise_lra.data import image, listops, look, retrieval, text
from wise_lra.data.batch import Batch
from wise_lra.data.module import DataModule
from wise_lra.data.order import Buckets
from wise_lra.data.task import Task
from wise_lra.experiment import build_model
from wise_lra.results import record as records
from wise_lra.results.record import Record


class Unanswerable(ValueError):
    """A run that cannot be put together again, or a question that its task cannot take."""


@dataclass(frozen=True)
class Finished:
    """A recorded run and its best weights, on the processor."""

    record: Record
    task: Task
    model: torch.nn.Module

    def measure(self, data: Path, split: str) -> tuple[float, float]:
        """Return (accuracy now, accuracy recorded) on validation or test; `data` is searched for the data.

        Batches are those of the run. Raises Unanswerable where the data are not there.
        """
        config = self.record.config
        module = DataModule(
            self.task,
            self._data(data),
            config["recipe"]["batch_size"],
            config["recipe"]["validate_every"],
            config["seed"],
            validation_examples=config["data"]["validation_examples"],
            test_examples=config["data"]["test_examples"],
            buckets=self._buckets,
        )
        loader = module.test_dataloader() if split == "test" else module.val_dataloader()
        right = sum(int((self._logits(b).argmax(-1) == b.labels).sum()) for b in loader)
        return right / module.count(split), float(self.record.metrics[f"{split}_accuracy"])

    def untrained(self) -> torch.nn.Module:
        """Return the model as the run's seed made it, before its first step."""
        config = OmegaConf.create(self.record.config)
        assert isinstance(config, DictConfig)
        return build_model(config).eval()

    def probabilities(self, documents: list[np.ndarray]) -> list[float]:
        """Return the probability of every class for one example, its documents cut or padded as in training."""
        length = Buckets(self.task.length, self._buckets).holding(max(map(len, documents)))
        tokens = torch.zeros(len(documents), length, dtype=torch.int64)
        for row, document in zip(tokens, documents, strict=True):
            row[: len(document)] = torch.from_numpy(document[:length].astype(np.int64))
        mask = tokens != 0 if self.task.padded else None
        if self.task.documents > 1:
            tokens, mask = tokens[None], None if mask is None else mask[None]
        return self._logits(Batch(tokens, mask, torch.zeros(1, dtype=torch.int64))).softmax(-1)[0].tolist()

    @property
    def _buckets(self) -> int:
        return int(self.record.config["data"].get("buckets", 1))  # records from before there were any lack it

    @property
    def classes(self) -> tuple[str, ...]:
        """What people call the classes."""
        return look.class_names(self.task, self.record.variant)

    def expects(self, kind: str, *tasks: str) -> None:
        """Raise Unanswerable where the run's task takes something else."""
        if self.task.name not in tasks:
            raise Unanswerable(
                f"{kind}: this run's task is {self.task.name}; expected one of {', '.join(tasks)}"
            )

    def _logits(self, batch: Batch) -> torch.Tensor:
        mixed = self.record.precision == "bf16-mixed"
        context: AbstractContextManager[Any] = (
            torch.autocast("cpu", torch.bfloat16) if mixed else nullcontext()
        )
        with torch.inference_mode(), context:
            return self.model(batch.tokens, batch.mask).float()

    def _data(self, root: Path) -> Path:
        wanted = self.record.data["sha256"]
        if (found := look.find(root, wanted)) is None:
            raise Unanswerable(
                f"{root}: no prepared data with sha256 {wanted}, which the record names; see --data"
            )
        return found


def load(run: Path) -> Finished:
    """Return the run of a run folder or of a record; records/ and runs/ lie side by side.

    Raises Unanswerable where record, configuration or checkpoint are missing or broken.
    """
    path = run.resolve()
    if len(path.parents) < 5:
        raise Unanswerable(
            f"{run}: expected a run's folder, results/runs/<preset>/<task>/<backbone>/<attention>/seed<k>"
        )
    root, place = path.parents[4], path.relative_to(path.parents[4]).with_suffix("")
    own = path if path.suffix == ".json" else (root.parent / "records" / place).with_suffix(".json")
    folder = root.parent / "runs" / place if path.suffix == ".json" else path
    checkpoint = folder / "checkpoints" / BEST
    for needed, what in ((own, "record"), (checkpoint, "checkpoint")):
        if not needed.is_file():
            raise Unanswerable(f"{run}: no {what}; expected {needed}")
    record = records.read(own)
    config = OmegaConf.create(record.config)
    model = instantiate(config.model)
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
        model.load_state_dict({key.removeprefix("model."): value for key, value in state.items()})
    except Exception as error:  # what a broken file makes pickle and zip raise is without limit
        raise Unanswerable(f"{checkpoint}: cannot be loaded: {str(error).splitlines()[0]}") from None
    return Finished(record, instantiate(config.task), model.eval())


def of_text(content: bytes, task: Task, name: str) -> np.ndarray:
    """Return a document's tokens, as the data of Text and Retrieval have them. Raises Unanswerable if empty."""
    if not (content := content.strip()):
        raise Unanswerable(f"{name}: empty; expected some text")
    return text.encode(content[: retrieval.KEPT], task.length)


def of_listops(source: str) -> tuple[np.ndarray, int]:
    """Return the tokens of an expression and its true value. Raises Unanswerable if it is none."""
    try:
        return listops.encode(source), listops.evaluate(source)
    except ValueError as error:
        raise Unanswerable(f"--listops: {error}") from None


def of_image(path: Path, task: Task) -> tuple[np.ndarray, str]:
    """Return a picture's grey pixels, row by row, and a note where it had to be resized."""
    try:
        picture = Image.open(path).convert("RGB")
    except OSError as error:
        raise Unanswerable(f"{path}: not a picture: {error}") from None
    side, note = round(task.length**0.5), ""
    if picture.size != (side, side):
        note = f"{path}: resized from {picture.width} x {picture.height} to {side} x {side}"
        picture = picture.resize((side, side), Image.Resampling.LANCZOS)
    pixels = np.asarray(picture)
    if (pixels == pixels[..., :1]).all():  # grey already, as Pathfinder's
        return pixels[..., 0].ravel(), note
    return image.grey(pixels.reshape(1, -1, 3).transpose(0, 2, 1))[0], note
