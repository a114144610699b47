"""One process a run folder: a second start of the same cell finds it taken and leaves it alone."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

LOCK = "run.lock"
PATIENCE = 1.0  # seconds; `holder` takes the lock for an instant, which must not look like a second run


class AlreadyRunning(RuntimeError):
    """Another process trains this cell; `pid` is its number, None where it left none."""

    def __init__(self, folder: Path, pid: int | None) -> None:
        who = "another process" if pid is None else f"process {pid}"
        super().__init__(f"{folder}: {who} is running this cell; wait for it, or stop it first")
        self.pid = pid


@contextlib.contextmanager
def claim(folder: Path | str) -> Iterator[None]:
    """Hold `folder`, which is made, for this process alone; raise AlreadyRunning if another holds it.

    The kernel frees the lock when its process ends, however it ends; the file stays and means nothing by itself.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+", encoding="utf-8") as file:
        deadline = time.monotonic() + PATIENCE
        while not _taken(file, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise AlreadyRunning(folder, _pid(file))
            time.sleep(0.02)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def holder(folder: Path | str) -> int | None:
    """Return the number of the process that holds `folder`: 0 if it left none, None if nobody does."""
    try:
        file = Path(folder, LOCK).open("r", encoding="utf-8", errors="replace")  # noqa: SIM115
    except OSError:
        return None
    with file:
        return None if _taken(file, fcntl.LOCK_SH) else _pid(file) or 0


def _taken(file: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pid(file: TextIO) -> int | None:
    file.seek(0)
    text = file.read().strip()
    return int(text) if text.isdecimal() else None
