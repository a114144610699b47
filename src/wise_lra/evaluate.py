"""A recorded run restored from its record and checkpoint: its accuracy measured again, or a new input classified.

Record, configuration and checkpoint may be anybody's: a model is built from nothing but `stored.stored`.
"""

import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from PIL import Image

from wise_lra.checkpoints import BEST, loaded
from wise_lra.data import image, listops, look, retrieval, text
from wise_lra.data.datamodule import DataModule
from wise_lra.data.samplers import Buckets
from wise_lra.data.task import Batch, Task
from wise_lra.model import parameter_count
from wise_lra.results import record as records
from wise_lra.results.record import Record
from wise_lra.stored import stored

_MOST_UNSAVED = 1 << 28  # values that a model computes and no checkpoint holds, such as its positions
_PICTURES = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")  # what Pillow reads by itself


class Unanswerable(ValueError):
    """A run that cannot be restored, or an input that its task does not take."""


@dataclass(frozen=True)
class RecordedRun:
    """A recorded run and its best weights, on the processor. `config` is that of the record, checked."""

    record: Record
    config: DictConfig
    task: Task
    model: torch.nn.Module

    def measure(self, data: Path, split: str) -> tuple[float, float]:
        """Return (accuracy now, accuracy recorded) on validation or test; `data` is searched for the data.

        Batches are those of the run. Raises Unanswerable where the data are not there or not the task's.
        """
        recipe, config = built(self.config, "recipe"), self.config
        module = DataModule(
            self.task,
            self._data(data),
            recipe.batch_size,
            recipe.validate_every,
            config.seed,
            validation_examples=config.data.get("validation_examples"),
            test_examples=config.data.get("test_examples"),
            buckets=self._buckets,
        )
        loader = module.test_dataloader() if split == "test" else module.val_dataloader()
        right = 0
        for batch in loader:
            _expect_below(batch.labels, self.task.classes, "label", "task.classes")
            right += int((self._logits(batch).argmax(-1) == batch.labels).sum())
        return right / module.count(split), float(self.record.metrics[f"{split}_accuracy"])

    def probabilities(self, documents: list[np.ndarray]) -> list[float]:
        """Return the probability of every class for one example, its documents cut or padded as in training.

        Raises Unanswerable on tokens that the task does not have, and on more or fewer documents than it takes.
        """
        if len(documents) != self.task.documents:
            raise Unanswerable(f"{len(documents)} documents: expected task.documents={self.task.documents}")
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
        return int(self.config.data.get("buckets", 1))  # records from before there were any lack it

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
        _expect_below(batch.tokens, self.task.vocabulary, "token", "task.vocabulary")
        mixed = self.record.precision == "bf16-mixed"
        context: AbstractContextManager[Any] = (
            torch.autocast("cpu", torch.bfloat16) if mixed else nullcontext()
        )
        with torch.inference_mode(), context:
            return self.model(batch.tokens, batch.mask).float()

    def _data(self, root: Path) -> Path:
        sha256 = self.record.data["sha256"]
        if (folder := look.find(root, sha256)) is None:
            raise Unanswerable(
                f"{root}: no prepared data with sha256 {sha256}, which the record names; see --data"
            )
        return folder


def load(run: Path, record: Path | None = None) -> RecordedRun:
    """Return the run of a run folder or of a record; records/ and runs/ lie side by side, unless `record` is named.

    Raises OSError, and ValueError where record, configuration or checkpoint are missing, broken or do not fit.
    """
    own, folder = (record, run) if record else _paths(run)
    if not own.is_file():
        raise Unanswerable(
            f"{run}: no record at {own}; a run's folder is evaluated with the record that the run wrote, "
            "results/records/<preset>/<task>/<backbone>/<attention>/seed<k>.json: name it with --record FILE"
        )
    return of_record(records.read(own), own, folder)


def of_record(record: Record, file: Path, folder: Path) -> RecordedRun:
    """Return the run of a record, which was read from `file`, and of a run folder. Raises what `load` raises."""
    config = stored(record.config, file)
    task = built(config, "task")
    if (classes := len(look.class_names(task, record.variant))) != task.classes:
        raise Unanswerable(f"{file}: task.classes={task.classes}: expected {classes} of {task.name}")
    return RecordedRun(
        record, config, task, restored(config, folder / "checkpoints" / BEST, record.parameters)
    )


def _paths(run: Path) -> tuple[Path, Path]:
    """Return where the record and the folder of a run are, one of which is named."""
    try:
        path = run.resolve()
    except (OSError, RuntimeError) as error:  # links that form a circle
        raise Unanswerable(f"{run}: {error}") from None
    if len(path.parents) < 5:
        raise Unanswerable(
            f"{run}: expected a run's folder, results/runs/<preset>/<task>/<backbone>/<attention>/seed<k>; "
            "of a folder that was moved, name the record with --record FILE"
        )
    root, name = path.parents[4], path.relative_to(path.parents[4]).with_suffix("")
    if path.suffix == ".json":
        return path, root.parent / "runs" / name
    return (root.parent / "records" / name).with_suffix(".json"), path


def built(config: DictConfig, key: str) -> Any:
    """Return what a node of a stored configuration makes. Raises Unanswerable where its values do not fit."""
    try:
        return instantiate(config[key])
    except Exception as error:  # a constructor's refusal, which Hydra wraps, or memory
        raise Unanswerable(f"{key}: {error.__cause__ or error}") from None


def untrained(config: DictConfig) -> torch.nn.Module:
    """Return the model of a stored configuration as the run's seed made it, before its first step."""
    torch.manual_seed(config.seed)
    return built(config, "model").eval()


def restored(config: DictConfig, checkpoint: Path, parameters: int | None = None) -> torch.nn.Module:
    """Return the model of a stored configuration with the weights of a checkpoint, in evaluation mode.

    Shapes are compared before anything of their size is made; `parameters` is the number that the record has.
    Raises Unanswerable where they differ or the checkpoint cannot be loaded.
    """
    content, reason = loaded(checkpoint)
    if reason or "state_dict" not in content:
        raise Unanswerable(f"{checkpoint}: {reason or 'no state_dict in it'}")
    state = {key.removeprefix("model."): value for key, value in content["state_dict"].items()}
    has = {key: f"{value.dtype} {tuple(value.shape)}" for key, value in state.items()}
    if (depth := config.model.depth) > len(state):  # before so many blocks are made
        raise Unanswerable(f"{checkpoint}: {len(state)} tensors, fewer than model.depth={depth} needs")
    with torch.device("meta"):
        model = built(config, "model")
    makes = {key: f"{value.dtype} {tuple(value.shape)}" for key, value in model.state_dict().items()}
    if apart := sorted(key for key in has.keys() | makes.keys() if has.get(key) != makes.get(key)):
        key = apart[0]
        raise Unanswerable(
            f"{checkpoint}: {key} is {has.get(key, 'missing')}; the configuration makes {makes.get(key, 'none')}"
        )
    if parameters is not None and parameters != parameter_count(model):
        raise Unanswerable(
            f"{checkpoint}: {parameter_count(model)} parameters; the record has parameters={parameters}"
        )
    if sum(buffer.numel() for buffer in model.buffers()) > _MOST_UNSAVED:
        raise Unanswerable(f"{checkpoint}: task.length={config.task.length} is too long for this model")
    model = built(config, "model")
    model.load_state_dict(state)
    return model.eval()


def _expect_below(values: torch.Tensor, limit: int, name: str, key: str) -> None:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= limit:
        raise Unanswerable(f"{name} {low if low < 0 else high}: expected 0 to {limit - 1}, for {key}={limit}")


def of_text(content: bytes, task: Task, name: str) -> np.ndarray:
    """Return a document's tokens, as the data of Text and Retrieval have them. Raises Unanswerable if empty."""
    if not (content := content.strip()):
        raise Unanswerable(f"{name}: empty; expected some text")
    return text.encode(content[: retrieval.KEPT], task.length)


def of_listops(source: str, task: Task) -> tuple[np.ndarray, int]:
    """Return the tokens of an expression and its true value. Raises Unanswerable if it is none, or too long."""
    try:
        tokens, value = listops.encode(source), listops.evaluate(source)
    except ValueError as error:
        raise Unanswerable(f"--listops: {error}") from None
    if len(tokens) > task.length:
        raise Unanswerable(f"--listops: {len(tokens)} tokens; expected at most task.length={task.length}")
    return tokens, value


def of_image(path: Path, task: Task) -> tuple[np.ndarray, str]:
    """Return a picture's grey pixels, row by row, and a note where it had to be resized.

    Raises OSError, and Unanswerable where it is no picture, or one with more pixels than Pillow takes for safe.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(path, formats=_PICTURES).convert("RGB")
    except FileNotFoundError:
        raise
    except Exception as error:  # what a broken picture makes Pillow raise is without limit
        raise Unanswerable(f"{path}: not a picture: {error}") from None
    side, note = round(task.length**0.5), ""
    if picture.size != (side, side):
        note = f"{path}: resized from {picture.width} x {picture.height} to {side} x {side}"
        picture = picture.resize((side, side), Image.Resampling.LANCZOS)
    pixels = np.asarray(picture)
    if (pixels == pixels[..., :1]).all():  # grey already, as Pathfinder's
        return pixels[..., 0].ravel(), note
    return image.grey(pixels.reshape(1, -1, 3).transpose(0, 2, 1))[0], note
