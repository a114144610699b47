"""Checkpoints that outlive their writer: written aside, read back, renamed; the one before is kept until then."""

import io
import logging
import os
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

log = logging.getLogger(__name__)

LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"


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


def forget(folder: Path) -> None:
    """Remove the states that a run would go on from; the best one stays."""
    for name in (LAST, PREVIOUS):
        (folder / name).unlink(missing_ok=True)
