"""Reading upstream's files where they lie: the members of a tar archive, or the files of a folder unpacked.

Nothing is extracted to disk and no archive is read twice: the release of the benchmark holds 7.7 GB.
"""

import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from wise_lra.data.download import Progress

_FAULTS = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)
_BLOCK = 1 << 20


def members(
    path: Path, wanted: Callable[[str], bool], progress: Progress | None = None
) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield (name, open file) for every wanted file of a folder (by name) or tar archive (in its own order).

    A file is to be read before the next is asked for; wrap the reading in `naming(path)`. An archive is only
    read as far as the caller goes on asking; `progress` is told how many of its bytes that are. Raises
    ValueError on a member that points outside the archive, and on a wanted one that is not a plain file.
    """
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file() and wanted(name := file.relative_to(path).as_posix()):
                with file.open("rb") as content:
                    yield name, content
        return
    size, reported = path.stat().st_size, 0
    with path.open("rb") as whole, tarfile.open(fileobj=whole, mode="r:*") as archive:
        while member := archive.next():
            if progress is not None and (whole.tell() - reported >= _BLOCK or whole.tell() == size):
                reported = whole.tell()
                progress(f"reading {path.name}", reported, size)
            # Unlisted in the stubs, but it would keep every header: millions of images in the release.
            archive.members.clear()  # type: ignore[attr-defined]
            try:
                inside = tarfile.data_filter(member, ".").name == member.name  # of "/etc" it would make "etc"
            except tarfile.FilterError:
                inside = False
            if not inside:
                raise ValueError(f"{path}: refused, the member {member.name!r} points outside the archive")
            if not wanted(member.name) or member.isdir():
                continue
            if not member.isfile():
                raise ValueError(f"{path}: refused, {member.name!r} is not a plain file")
            yield member.name, archive.extractfile(member) or io.BytesIO()
        while archive.fileobj and archive.fileobj.read(_BLOCK):
            pass  # the checksum of the compressed data comes after the archive's own end


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn what goes wrong while reading an archive inside this block into a ValueError that names it."""
    try:
        yield
    except _FAULTS as error:
        raise ValueError(f"{path}: cannot be read to its end ({error}); fetch the file again") from error
