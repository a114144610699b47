"""Checkpoints: written under a temporary name, read back, renamed; a stopped run resumes from the newest one."""

import contextlib
import io
import json
import logging
import os
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from wise_lra.constructors import ConfigurationError
from wise_lra.history import History
from wise_lra.identity import Run, recorded_config
from wise_lra.results.atomic import expect_room, write_bytes, write_text
from wise_lra.stopping import OutOfTime

log = logging.getLogger(__name__)

LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"

Weights = Mapping[str, torch.Tensor]

_STATES = 4 * 3 * 4  # bytes a parameter: four files at most, with weights and two means of gradients, float32
_KEYS = {"config", "history", "state_dict", "optimizer_states", "lr_schedulers", "loops", "pieces"}
_ELSEWHERE = ("devices", "micro_batch", "find_batch", "mlp_chunk", "compile", "workers", "progress")
"""Settings of the trainer that may change while a run lasts."""


class SafeCheckpoints(TorchCheckpointIO):
    """Lightning's checkpoint writer, with a sync to disk and a read-back, and with the last two states kept."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint under its name once it is whole. Raises OSError, the earlier ones untouched."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        whole = io.BytesIO()
        torch.save(checkpoint, whole)
        try:
            with temporary.open("wb") as file:
                file.write(whole.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            if reason := loaded(temporary)[1]:
                raise OSError(f"read back broken ({reason})")
            if path.name == LAST and path.exists():
                path.replace(path.with_name(PREVIOUS))
            temporary.replace(path)
        except OSError as error:
            raise OSError(
                f"{path}: cannot be written: {error.strerror or error}; earlier checkpoints are kept: "
                "make room and run again"
            ) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()


class Saving(Checkpoint):
    """Writes the state at the end of every interval, also as best.ckpt where its validation is the best so far.

    The best is read from the history, which every state holds; a state holds no path. Raises OutOfTime, after the
    state is written, once `limit` ("DD:HH:MM:SS", or None) has passed.
    """

    def __init__(
        self, folder: Path, config: dict[str, Any], history: History, limit: str | None, steps: int
    ) -> None:
        self.folder, self.config, self.history, self.limit, self.steps = folder, config, history, limit, steps
        days, hours, minutes, seconds = map(int, limit.split(":")) if limit else (0, 0, 0, 0)
        self._end = time.monotonic() + ((days * 24 + hours) * 60 + minutes) * 60 + seconds

    def on_save_checkpoint(
        self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the configuration in the checkpoint."""
        checkpoint["config"] = self.config

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Write last.ckpt, then best.ckpt: a run killed between the two copies the first to the second."""
        trainer.save_checkpoint(self.folder / LAST, weights_only=False)
        if self.history.points[-1] is best(self.history.points):
            trainer.save_checkpoint(self.folder / BEST, weights_only=False)
        over = self.limit is not None and time.monotonic() >= self._end
        if trainer.strategy.reduce_boolean_decision(over, all=False) and trainer.global_step < self.steps:
            raise OutOfTime(
                f"trainer.max_time={self.limit} is over at step {trainer.global_step} of {self.steps}; "
                "the same command goes on from there"
            )


def resumed(run: Run, model: torch.nn.Module) -> Path | None:
    """Return the state from which a stopped run of this model resumes, None where it begins.

    Raises ConfigurationError where the disk has no room for the states.
    """
    weights = {f"model.{name}": weight for name, weight in model.state_dict().items()}
    write_text(run.folder / "config.json", json.dumps(recorded_config(run.cfg), indent=1) + "\n")
    state = begun(run.folder / "checkpoints", run.identity, weights)
    if state:
        log.info("%s: goes on from its last validation", run.name)
    else:
        expect_folder(
            f"runs={run.cfg.runs}", run.folder, _STATES * sum(weight.numel() for weight in model.parameters())
        )
    return state


def expect_folder(setting: str, folder: Path, size: int = 1 << 16) -> None:
    """Raise ConfigurationError where so many bytes cannot be written."""
    try:
        expect_room(folder, size)
    except OSError as error:
        why = f"{error.strerror}: {error.filename}"
        raise ConfigurationError(
            f"{setting}: {size:,} bytes cannot be written ({why}); expected a folder with room"
        ) from None


def best(points: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the first point of the best validation accuracy."""
    return max(points, key=lambda point: point["validation_accuracy"])


def newest(folder: Path) -> Path | None:
    """Return the newest state that can be loaded, None if there is none; a broken one is removed with a warning."""
    for name in (LAST, PREVIOUS):
        path = folder / name
        if not path.exists():
            continue
        if not (reason := loaded(path)[1]):
            return path
        log.warning("%s: broken (%s); going back to the one before", path, reason)
        path.unlink()
    return None


def begun(folder: Path, config: dict[str, Any], weights: Weights) -> Path | None:
    """Return the state in `folder` from which a run of this configuration resumes, None where it begins again.

    It begins again where no state can be loaded, the state is of another configuration or version, its weights have
    other names or shapes than `weights`, or neither best.ckpt nor a state is the best of the state's history. The
    reason is logged, and the states are removed.
    """
    if (state := newest(folder)) is None:
        return None
    content = loaded(state)[0]
    if not content.keys() >= _KEYS or _lasting(content["config"]) != _lasting(config):
        reason = f"{state}: of another configuration or version"
    elif not _alike(content["state_dict"], weights):
        reason = f"{state}: of another model"
    else:
        points = content["history"]["points"]
        reason = unfit(folder / BEST, points, weights)
        if not reason:
            return state
        for source in (state, folder / PREVIOUS):
            if not unfit(source, points, weights):
                log.warning("%s; copied again from %s", reason, source.name)
                write_bytes(folder / BEST, source.read_bytes())
                return state
    log.warning("%s; the run begins again", reason)
    forget(folder)
    return None


def unfit(path: Path, points: Sequence[dict[str, Any]], weights: Weights) -> str:
    """Return why a checkpoint is not of the best of these validations or has other weights; "" if it is right."""
    content, reason = loaded(path)
    if reason:
        return f"{path}: {reason}"
    expected = list(points[: points.index(best(points)) + 1])
    whole = content.keys() >= _KEYS and content["history"]["points"] == expected
    if not whole or not _alike(content["state_dict"], weights):
        return f"{path}: not of this run's best validation, at step {expected[-1]['step']}"
    return ""


def forget(folder: Path) -> None:
    """Remove the states that a run would go on from; the best one stays."""
    for name in (LAST, PREVIOUS):
        (folder / name).unlink(missing_ok=True)


def loaded(path: Path) -> tuple[dict[str, Any], str]:
    """Return a checkpoint and "", or an empty one and why it cannot be loaded.

    Anybody may have written it: checksums are compared, and it takes no more memory than its file has bytes.
    """
    if not path.is_file():
        return {}, "missing"
    try:
        size = path.stat().st_size
        with zipfile.ZipFile(path) as parts:  # torch does not look at the sums that it writes
            if sum(part.file_size for part in parts.infolist()) > size:
                return {}, "compressed; expected a checkpoint as torch writes it"
            if damaged := parts.testzip():
                return {}, f"broken at {damaged}"
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict):
            return {}, f"holds a {type(content).__name__}"
        if sum(one.numel() * one.element_size() for one in content.get("state_dict", {}).values()) > size:
            return {}, "tensors larger than the file"
    except Exception as error:  # a broken file can make pickle and zip raise anything
        return {}, f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return content, ""


def _alike(weights: Weights, others: Weights) -> bool:
    shapes, theirs = ({name: one.shape for name, one in some.items()} for some in (weights, others))
    return shapes == theirs


def _lasting(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without what may change while a run lasts; "auto" names the device that is here."""
    trainer = {key: value for key, value in config["trainer"].items() if key not in _ELSEWHERE}
    if trainer["accelerator"] == "auto":
        trainer["accelerator"] = "gpu" if torch.cuda.is_available() else "cpu"
    return config | {"trainer": trainer}
