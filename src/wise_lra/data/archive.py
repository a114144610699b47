"""Reading upstream's files where they lie: the members of a tar archive, or the files of a folder unpacked.

Nothing is extracted to disk and no archive is read twice: the release of the benchmark holds 7.7 GB. What all
readers do alike is here: stray files and blank lines are skipped, links to files and folders are followed, and
memory is bounded whatever a file holds.
"""

import codecs
import gzip
import hashlib
import io
import lzma
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Self

import numpy as np
from PIL import Image

from wise_lra.data.download import Progress, silent
from wise_lra.results.reading import one_line

LINE = 1 << 24
"""Bytes that a line may have."""

RELEASE = ("lra_release.gz", "lra_release.tar.gz")
"""Names of LRA's release, which is one gzipped tar archive in spite of its name."""

# The release holds folders twice: the inner one is right, and the `pathfinder128` outside it has wrong labels
# (google-research/long-range-arena, issue 38).
_ABOVE = ("lra_release/lra_release", "lra_release", "")
_FAULTS = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)
_BLOCK = 1 << 20
_PNG = struct.Struct(">8s8xII")  # signature, width, height
_READ_WHOLE = b"LKxgX"  # types of headers, those of long names and attributes, that tarfile reads at once

_Found = tuple[str, int, Callable[[], IO[bytes]]]


def in_release(place: Path, names: Iterable[str], holds: Callable[[Path], bool]) -> Path | None:
    """Return what LRA's release has under one of these names, in the folder `place` or at it.

    That is the first folder that `holds` what is looked for, the right one before others and `place` itself last;
    else the release's archive; None where there is neither.
    """
    if not place.is_dir():
        return place if place.name.startswith("lra_release") and place.is_file() else None
    folders = [*(place / above / name for above in _ABOVE for name in names), place]
    archives = [place / name for name in RELEASE if (place / name).is_file()]
    return next((path for path in (*filter(holds, folders), *archives)), None)


def tfds_order(split: str, keys: Iterable[str]) -> list[int]:
    """Return the indices of the keys in the order in which TFDS gives the examples of that split.

    It is that of the MD5 of the split's name and the key. LRA cuts Image and Pathfinder by position in this order,
    so it decides which examples validate. Source: tensorflow-datasets 4.9, core/hashing.py and core/shuffle.py.
    """
    digests = [hashlib.md5(f"{split}{key}".encode()).digest() for key in keys]
    return sorted(range(len(digests)), key=digests.__getitem__)


def stray(name: str) -> bool:
    """Tell the files that file managers leave: hidden ones (.DS_Store, ._0.npy), Thumbs.db and desktop.ini."""
    parts = PurePosixPath(name).parts
    return any(part.startswith(".") or part.lower() in ("thumbs.db", "desktop.ini") for part in parts)


def lines(content: IO[bytes], path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (number, line without its end) for all but blank lines; `path` names the file in errors.

    A byte order mark is dropped. Raises ValueError on a line of more than `LINE` bytes, and on a broken archive.
    """
    number = 0
    with _naming(path):
        while line := content.readline(LINE + 1):
            number += 1
            if len(line) > LINE:
                raise ValueError(f"{path}:{number}: a line of more than {LINE:,} bytes")
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip():
                yield number, line.rstrip(b"\r\n")


def tables(
    path: Path, names: Iterable[str], progress: Progress = silent
) -> Iterator[tuple[Path, Iterator[tuple[int, bytes]]]]:
    """Yield (its path, its lines) for the first file of each of these names in a folder or archive.

    An archive is read no further than the last of them. Raises FileNotFoundError if one is missing, and as `files`.
    """
    missing = [*names]
    with _naming(path):
        for name, content in _members(path, lambda name: PurePosixPath(name).name in missing, progress):
            missing.remove(PurePosixPath(name).name)
            yield path / name, lines(content, path / name)
            if not missing:
                return
    raise FileNotFoundError(f"{path}: {', '.join(missing)} not found, expected {', '.join(names)}")


def files(
    path: Path,
    wanted: Callable[[str], bool],
    progress: Progress = silent,
    largest: int | None = None,
    total: int | None = None,
) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) for every wanted file of a folder (by name) or tar archive (in its own order).

    An archive is only read as far as the caller goes on asking; `progress` is told how many of its bytes that are.
    `largest` is how many bytes a wanted file may have, `total` how many all of them. Raises ValueError where they
    have more, on an archive that cannot be read to its end, on a member that points outside the archive, and on a
    wanted one that is not a plain file or has a name with control characters.
    """
    with _naming(path):
        for name, content in _members(path, wanted, progress, largest, total):
            yield name, content.read()


def _members(
    path: Path,
    wanted: Callable[[str], bool],
    progress: Progress,
    largest: int | None = None,
    total: int | None = None,
) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield (name, open file), to be read before the next is asked for, as `files` does."""
    read = 0
    for name, size, opened in _in_folder(path) if path.is_dir() else _in_archive(path, progress):
        if stray(name) or not wanted(name):
            continue
        if not name.isprintable():
            raise ValueError(f"{path}: refused, the name {name[:200]!r} has control characters")
        read += size
        for found, most in ((size, largest), (read, total)):
            if most is not None and found > most:
                raise ValueError(
                    f"{path}: refused, {found:,} bytes with {name[:200]!r}, expected at most {most:,}"
                )
        with opened() as content:
            yield name, content


def _in_folder(folder: Path, above: str = "", entered: tuple[tuple[int, int], ...] = ()) -> Iterator[_Found]:
    """Yield the files of a folder, then those of its folders, each by name; a link into itself is not followed."""
    status = folder.stat()
    if (own := (status.st_dev, status.st_ino)) in entered:
        return
    for path in sorted(folder.iterdir(), key=lambda path: (path.is_dir(), path.name)):
        if path.is_dir() and not stray(path.name):
            yield from _in_folder(path, f"{above}{path.name}/", (*entered, own))
        elif path.is_file():
            yield above + path.name, path.stat().st_size, partial(_opened_file, path)


def _opened_file(path: Path) -> IO[bytes]:
    return path.open("rb")


def _in_archive(path: Path, progress: Progress) -> Iterator[_Found]:
    size, reported = path.stat().st_size, 0
    with path.open("rb") as whole, tarfile.open(fileobj=whole, mode="r:*", tarinfo=_Header) as archive:
        while member := archive.next():
            if whole.tell() - reported >= _BLOCK or whole.tell() == size:
                reported = whole.tell()
                progress(f"reading {path.name}", reported, size)
            # Unlisted in the stubs, but it would keep every header: millions of images in the release.
            archive.members.clear()  # type: ignore[attr-defined]
            try:
                inside = tarfile.data_filter(member, ".").name == member.name  # of "/etc" it would make "etc"
            except tarfile.FilterError:
                inside = False
            if not inside:
                raise ValueError(
                    f"{path}: refused, the member {member.name[:200]!r} points outside the archive"
                )
            if not member.isdir():
                yield member.name, member.size, partial(_opened_member, archive, member, path)
        while archive.fileobj and archive.fileobj.read(_BLOCK):
            pass  # the checksum of the compressed data comes after the archive's own end


def _opened_member(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> IO[bytes]:
    if not member.isfile():
        raise ValueError(f"{path}: refused, {member.name[:200]!r} is not a plain file")
    return archive.extractfile(member) or io.BytesIO()


class _Header(tarfile.TarInfo):
    """A member's header; of those that tarfile reads at once, one of more than a megabyte is refused."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if header.type in _READ_WHOLE and header.size > _BLOCK:
            raise tarfile.ReadError(f"a header of {header.size:,} bytes")
        return header


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn what goes wrong while reading an archive inside this block into a ValueError that names it."""
    try:
        yield
    except _FAULTS as error:
        raise ValueError(
            f"{path}: cannot be read to its end ({one_line(error)}); fetch the file again"
        ) from error


def pixels(path: Path, content: bytes, size: int, modes: tuple[str, ...] = ("L",)) -> np.ndarray:
    """Return the pixels of a PNG of size x size, uint8: (size, size), with mode RGB (size, size, 3).

    Raises ValueError, with its path, if it is none; an image of another size is not decoded.
    """
    try:
        signature, width, height = _PNG.unpack_from(content)
        if signature != b"\x89PNG\r\n\x1a\n":
            raise ValueError("no PNG")
        fits = (width, height) == (size, size)
        if fits:
            with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
                mode, array = image.mode, np.asarray(image)
    except Exception as error:  # PIL raises OSError, SyntaxError, ValueError and others on what is broken
        raise ValueError(f"{path}: not a readable image ({one_line(error)})") from error
    if not fits:
        raise ValueError(f"{path}: {(height, width)} pixels, expected {(size, size)}")
    if mode not in modes:
        raise ValueError(f"{path}: an image of mode {mode}, expected {' or '.join(modes)} of 8 bits")
    return array
