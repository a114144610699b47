"""The lock of a run folder: one process trains a run at a time."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = "run.lock"
PATIENCE = 1.0  # seconds; `holder` takes the lock for an instant, which must not look like a second run


class AlreadyRunning(RuntimeError):
    """Another process trains this run."""

    def __init__(self, folder: Path, pid: int) -> None:
        who = f"process {pid}" if pid else "another process"
        super().__init__(f"{folder}: {who} is running this cell; wait for it, or stop it first")


@contextlib.contextmanager
def claim(folder: Path | str) -> Iterator[None]:
    """Hold `folder`, which is made, for this process alone. Raises AlreadyRunning if another process holds it.

    The system frees the lock when its process ends, however it ends. The file stays.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=PATIENCE, poll_interval=0.02)
    try:
        lock.acquire()
    except Timeout:
        raise AlreadyRunning(folder, _pid(folder)) from None
    try:
        (folder / LOCK).write_text(f"{os.getpid()}\n", encoding="utf-8")
        yield
    finally:
        (folder / LOCK).write_text("", encoding="utf-8")
        lock.release()


def holder(folder: Path | str) -> int | None:
    """Return the number of the process that holds `folder`: 0 if it left none, None if no process holds it.

    None also for a folder whose lock cannot be tried: this user may not write it, say.
    """
    folder = Path(folder)
    if not (folder / LOCK).is_file():
        return None
    try:
        with FileLock(folder / LOCK, blocking=False):
            return None
    except Timeout:
        return _pid(folder)
    except OSError:
        return None


def _pid(folder: Path) -> int:
    text = (folder / LOCK).read_text(encoding="utf-8", errors="replace").strip()
    return int(text) if text.isdecimal() else 0
