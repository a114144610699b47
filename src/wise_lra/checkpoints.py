"""Checkpoints that outlive their writer: written aside, read back, renamed; the one before is kept until then."""

import io
import json
import logging
import os
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from wise_lra.results.atomic import write_text

log = logging.getLogger(__name__)

LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"
CONFIG = "config.json"  # of the run that the states are of

_ELSEWHERE = (
    "devices",
    "micro_batch",
    "find_batch",
    "mlp_chunk",
    "compile",
)  # of the trainer: others may follow


class SafeCheckpoints(TorchCheckpointIO):
    """Lightning's writer, which neither syncs nor reads back, with both, and with the last two states kept."""

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
            if reason := fault(temporary):
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
            temporary.unlink(missing_ok=True)


def fault(path: Path) -> str:
    """Return why a checkpoint cannot be loaded, "" if it can."""
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a broken file makes pickle and zip raise is without limit
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}"
    return ""


def newest(folder: Path) -> Path | None:
    """Return the newest state that can be loaded, None if there is none; a broken one is warned of and removed."""
    for name in (LAST, PREVIOUS):
        path = folder / name
        if not path.exists():
            continue
        if not (reason := fault(path)):
            return path
        log.warning("%s: broken (%s); going back to the one before", path, reason)
        path.unlink()
    return None


def begun(folder: Path, config: dict[str, Any]) -> Path | None:
    """Return the state that a run of this configuration goes on from, None if it begins.

    States of another configuration are removed, and this one is noted; another number of devices is none.
    """
    note, states = folder / CONFIG, folder / "checkpoints"
    if note.exists() and _lasting(json.loads(note.read_text(encoding="utf-8"))) == _lasting(config):
        return newest(states)
    forget(states)
    write_text(note, json.dumps(config, indent=1) + "\n")
    return None


def forget(folder: Path) -> None:
    """Remove the states that a run would go on from; the best one stays."""
    for name in (LAST, PREVIOUS):
        (folder / name).unlink(missing_ok=True)


def _lasting(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without what may change while a run lasts; "auto" names the device that is here."""
    trainer = {key: value for key, value in config["trainer"].items() if key not in _ELSEWHERE}
    if trainer["accelerator"] == "auto":
        trainer["accelerator"] = "gpu" if torch.cuda.is_available() else "cpu"
    return config | {"trainer": trainer}
