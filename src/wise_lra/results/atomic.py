"""Write a file whole or not at all: a reader, a crash or a full disk never meets half of one."""

import contextlib
import errno
import os
import secrets
import shutil
from pathlib import Path


def write_text(path: Path, text: str, overwrite: bool = True, durable: bool = True) -> None:
    """Write `text` in UTF-8, as `write_bytes` does."""
    write_bytes(path, text.encode("utf-8"), overwrite, durable)


def write_bytes(path: Path, content: bytes, overwrite: bool = True, durable: bool = True) -> None:
    """Write `content` to `path` through a temporary file beside it; parents are made.

    With `durable` it is on disk when this returns, as a record must be and a sign of progress need not.
    Raises FileExistsError if `path` exists and `overwrite` is false; of several writers at once one wins.
    Raises OSError, which names `path`, where disk or folder cannot take it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if not overwrite:
            _claim(temporary, path)
        else:
            temporary.replace(path)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error  # a full disk's names no file
    finally:
        with contextlib.suppress(OSError):  # not there any more; or a read-only disk, which was said
            temporary.unlink()
    if durable:
        _sync_folder(path.parent)


def expect_room(folder: Path, size: int = 1 << 16) -> None:
    """Raise OSError where a file of so many bytes cannot be written below `folder`, which need not exist yet."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    write_bytes(folder / ".trial", os.urandom(min(size, 1 << 16)))
    (folder / ".trial").unlink(missing_ok=True)


def _claim(temporary: Path, path: Path) -> None:
    """Give `temporary` its final name, which must be free: link(2) tests and takes the name in one step."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: an empty file claims the name, then gives way
        path.touch(exist_ok=False)
        temporary.replace(path)


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power loss, where the system lets folders be synced."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
