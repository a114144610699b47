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


@contextlib.contextmanager
def claim(folder: Path | str) -> Iterator[None]:
    """Lock `folder`, which is created if need be. Raises AlreadyRunning where another process holds the lock.

    The system frees the lock when its process ends, however it ends. The file stays; it holds the process number.
    """
    path = Path(folder, LOCK)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=PATIENCE, poll_interval=0.02)
    try:
        lock.acquire()
    except Timeout:
        who = f"process {holder(folder) or '?'}"
        raise AlreadyRunning(f"{folder}: {who} is running this cell; wait for it, or stop it first") from None
    try:
        path.write_text(f"{os.getpid()}\n", encoding="utf-8")
        yield
    finally:
        path.write_text("", encoding="utf-8")
        lock.release()


def holder(folder: Path | str) -> int | None:
    """Return the number of the process that holds the lock of `folder`, 0 if it wrote none, None if none holds it.

    None also for a folder whose lock cannot be tried: this user may not write it, say.
    """
    path = Path(folder, LOCK)
    if not path.is_file():
        return None
    try:
        with FileLock(path, blocking=False):
            return None
    except Timeout:
        text = path.read_text(encoding="utf-8", errors="replace").strip()
        return int(text) if text.isdecimal() else 0
    except OSError:
        return None
