"""One at a time: a lock on a path, which a process holds while it writes there, and which dies with it."""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock `.<name>.lock` beside `path` inside this block; wait for it, and say so, if it is held.

    The empty lock file stays: removing it would let two processes hold a lock on two files of one name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.warning("%s is being prepared by another process; waiting for it", path)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
