"""Fetching upstream's archives: asked once within seconds, resumed where it broke, checked before it is used."""

import hashlib
import logging
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from ssl import SSLError

Progress = Callable[[str, int, int | None], None]
"""Called with what is being done, how much of it is done, and of how much, if that is known."""

log = logging.getLogger(__name__)

_BLOCK = 1 << 20
_PATIENCE = 2.0  # seconds for a first answer, so that with the imports an error comes within five
_TIMEOUT = 10.0  # seconds without a byte after which a connection counts as broken
_BREAKS = 5  # breaks in a row after which a download is given up; what has come stays
_SPARE = 1 << 28  # bytes of disk to leave free


@dataclass(frozen=True)
class Upstream:
    """An archive that others publish. A checksum that they do not publish is recorded at the first download."""

    name: str
    address: str
    bytes: int
    sha256: str | None = None

    def by_hand(self, folder: Path) -> str:
        """Return the sentence that tells how to put the archive in its place without this module."""
        return f"fetch {self.address} by hand and put it at {folder / self.name}"


IMDB = Upstream(
    "aclImdb_v1.tar.gz",
    "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
    84_125_825,
    "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe",
)
CIFAR10 = Upstream(
    "cifar-10-binary.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    170_052_171,
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)
LRA_RELEASE = Upstream(
    "lra_release.gz",
    "https://storage.googleapis.com/long-range-arena/lra_release.gz",
    7_700_000_000,  # about: its publisher states no exact size
)
PUBLISHED = (IMDB, CIFAR10, LRA_RELEASE)


def silent(what: str, done: int, total: int | None) -> None:
    """Tell nobody: the `Progress` of a caller that shows none."""


def unreachable(upstream: Upstream) -> str:
    """Return why the address of one of `PUBLISHED` does not answer; "" if it does.

    The first call asks all of them, at once, and the process remembers: where nothing answers, five tasks wait no
    longer than one.
    """
    return _answers()[upstream.name]


@cache
def _answers() -> dict[str, str]:
    with ThreadPoolExecutor(len(PUBLISHED)) as pool:
        reasons = pool.map(asked, [upstream.address for upstream in PUBLISHED])
        return {upstream.name: reason for upstream, reason in zip(PUBLISHED, reasons, strict=True)}


def asked(address: str, seconds: float = _PATIENCE) -> str:
    """Return why an address does not answer within so many seconds, name resolution included; "" if it does."""
    silence = f"no answer within {seconds:g} s"
    answer = [silence]

    def ask() -> None:
        try:
            request = urllib.request.Request(address, method="HEAD")
            urllib.request.urlopen(request, timeout=seconds).close()
            answer[0] = ""
        except (OSError, HTTPException) as error:
            answer[0] = _why(error) or silence

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return answer[0]


def _why(error: Exception) -> str:
    """Return what went wrong with a request; "" where there was no answer in time."""
    http = isinstance(error, urllib.error.HTTPError)  # its reason lacks the number
    cause = error if http else getattr(error, "reason", error)
    return "" if isinstance(cause, TimeoutError) else str(cause)


def fetch(upstream: Upstream, folder: Path, progress: Progress = silent) -> Path:
    """Return the archive in `folder`, downloaded if it is not there; its name appears only when it is whole.

    One log line tells what is fetched, from where and to where, and how large it is. A broken download goes on
    where it broke, in this call and in the next. Raises OSError where the disk has no room for it, before anything
    is asked for, where the address cannot be read or the disk not be written; and ValueError if the checksum is
    wrong, after removing the file.
    """
    path = folder / upstream.name
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    have = _size(part)
    require_space(folder, upstream.bytes - have, f"downloading {upstream.name}")
    there = f", {have / 1e9:.2f} GB of which are there" if have else ""
    size = f"{upstream.bytes / 1e9:.2f} GB{there}"
    log.info("downloading %s from %s to %s: %s", upstream.name, upstream.address, folder, size)
    breaks = 0
    while True:
        before = _size(part)
        try:
            if _receive(upstream, part, progress):
                break
            reason = "the connection closed early"
        except urllib.error.HTTPError as error:
            raise OSError(f"{upstream.address}: {error}; {upstream.by_hand(folder)}") from error
        except (urllib.error.URLError, SSLError, TimeoutError, ConnectionError, HTTPException) as error:
            reason = str(error)
        except OSError as error:  # of the disk
            raise OSError(
                error.errno, f"{error.strerror}: {part}; what has come stays there, run again to go on"
            ) from error
        breaks = 1 if _size(part) > before else breaks + 1
        if breaks == _BREAKS:
            raise OSError(
                f"{upstream.address}: {reason}; what has come stays in {part}, run again to go on. "
                f"Or {upstream.by_hand(folder)}"
            )
        log.warning("%s: %s; going on from byte %d", upstream.name, reason, _size(part))
    _check(part, upstream, path.with_name(f"{path.name}.sha256"))
    return part.replace(path)


def _check(part: Path, upstream: Upstream, recorded: Path) -> None:
    """Compare a file with its published checksum, else with the one in `recorded`, else record it there.

    Raises ValueError on another one, and removes the file: it is of no use.
    """
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    expected = upstream.sha256 or (recorded.read_text().split()[0] if recorded.exists() else None)
    if expected is None:
        recorded.write_text(f"{found}  {upstream.name}\n")
    elif found != expected:
        part.unlink()
        raise ValueError(
            f"{upstream.name} from {upstream.address}: sha256 {found}, expected {expected}; the file is removed, "
            "run again or fetch it elsewhere"
        )


def require_space(folder: Path, needed: int, purpose: str) -> None:
    """Raise OSError if the disk that holds `folder` has not `needed` bytes free, and some to spare."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if free < needed + _SPARE:
        raise OSError(
            f"{purpose} needs {needed / 1e9:.2f} GB and {_SPARE / 1e9:.2f} GB to spare in {folder}, "
            f"{free / 1e9:.2f} GB are free; make room or choose another root folder"
        )


def _receive(upstream: Upstream, part: Path, progress: Progress) -> bool:
    """Append what an address gives from where `part` ends; return whether that was all of it."""
    have = _size(part)
    request = urllib.request.Request(upstream.address, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing lies beyond what has come: it is whole, or not this file
            return True
        raise
    with response:
        if response.status != 206:
            have = 0  # the server does not resume
        length = response.headers["Content-Length"]
        total = have + int(length) if length else None
        with part.open("ab" if have else "wb") as file:
            while block := response.read(_BLOCK):
                file.write(block)
                have += len(block)
                progress(f"downloading {upstream.name}", have, total)
    return total is None or have == total


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
