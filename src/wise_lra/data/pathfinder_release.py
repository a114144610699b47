"""Pathfinder read from LRA's release: the folder pathfinder32/curv_contour_length_14, or the archive it comes in.

Its metadata/<n>.npy are text in spite of their name, and name images imgs/<n>/sample_<k>.png, 8-bit grey.
Source: long-range-arena, lra_benchmarks/data/pathfinder.py; the generator is in `pathfinder`.
"""

import io
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from wise_lra.data.archive import files, in_release, lines, pixels, tfds_order
from wise_lra.data.download import Progress, silent
from wise_lra.data.pathfinder import CLASSES as CLASSES
from wise_lra.data.task import SPLITS, Directory, Example, Task
from wise_lra.registry import TASKS
from wise_lra.results.reading import printable

COLUMNS = 11
"""Of a metadata line: folder, file, number, label, continuity, contour length, distractor length, paddle
length, thickness and margin, number of contrasts."""

HARD = "curv_contour_length_14"
EXPECTED = f"pathfinder<size>/{HARD}/ with imgs/ and metadata/, or an archive of it"

TFDS = "pathfinder{side}"

_LARGEST = 1 << 24  # bytes of a file, of which one at a time is in memory


def find(place: Path, size: int = 32) -> Path | None:
    """Return the hard images of a size in a folder or at it, unpacked, else the release's archive."""
    names = (f"pathfinder{size}/{HARD}", f"pathfinder{size}", HARD)
    return in_release(place, names, lambda folder: (folder / "metadata").is_dir())


def settings(task: Task, protocol: str) -> dict[str, Any]:
    """Return the arguments of `read` and `find` that are not LRA's usual ones."""
    return {"size": task.side} if task.length != TASKS["pathfinder"].length else {}


def read(
    path: Path, rejected: Counter[str], progress: Progress = silent, size: int = 32
) -> Iterator[Example]:
    """Yield the examples of a folder of metadata/ and imgs/, or of the one for this size in the release's archive.

    Empty files, of which the release has one, and images that no line names are left out and counted in
    `rejected`. The order is that of TFDS, see `divided`; a key is folder, file and line.
    An archive gives metadata and images in any order, so all of them lie in a temporary file meanwhile.
    Raises FileNotFoundError if files are missing, and ValueError, with file and line, if one is malformed or an
    image is not size x size.
    """
    with tempfile.TemporaryFile() as store:
        places = _stored(path, size, store, progress)

        def content(name: str) -> bytes:
            start, length = places[name]
            store.seek(start)
            return store.read(length)

        images, keys = [], []
        unnamed = {name for name in places if name.endswith(".png")}
        for name, label, key in _listed(path, places, content):
            unnamed.discard(name)
            if places[name][1]:
                images.append((name, label))
                keys.append(key)
            else:
                rejected[f"empty file {name}"] += 1
        if unnamed:
            rejected["image that no line names"] = len(unnamed)
        ordered = map(images.__getitem__, tfds_order("hard", keys))
        found = ((pixels(path / name, content(name), size), label) for name, label in ordered)
        yield from divided(found, len(images))


def from_tfds(data: Directory, rejected: Counter[str], size: int = 32) -> Iterator[Example]:
    """Yield the images of LRA's data set for TFDS as `read` does those of the release, and in the same order."""
    images = (
        (
            pixels(data.path, row["image"], size, ("L", "RGB")).reshape(size, size, -1)[..., 0],
            int(row["label"]),
        )
        for row in data.rows("hard")
    )
    yield from divided(images, data.count("hard"))


def divided(images: Iterable[tuple[np.ndarray, int]], count: int) -> Iterator[Example]:
    """Yield `count` images of (size, size), in the order of TFDS, as examples.

    As LRA cuts them, the first 80 % train, the next 10 % validate and the last test.
    """
    for place, (image, label) in enumerate(images):
        split = SPLITS[(place >= count * 8 // 10) + (place >= count * 9 // 10)]
        yield Example(split, (image.ravel(),), label)


def _stored(path: Path, size: int, store: IO[bytes], progress: Progress) -> dict[str, tuple[int, int]]:
    """Copy the files of a folder or archive into `store`; return where each starts there, and its bytes."""
    above = "" if path.is_dir() else rf"(\./)?(lra_release/lra_release/)?(pathfinder{size}/)?{HARD}/"
    pattern = re.compile(rf"{above}(?P<name>metadata/.*\.npy|imgs/.*)")
    most = 2 * sum(TASKS["pathfinder"].counts[0]) * size**2  # a PNG is hardly larger than its pixels
    places = {}
    for name, content in files(path, lambda name: bool(pattern.fullmatch(name)), progress, _LARGEST, most):
        places[pattern.fullmatch(name)["name"]] = store.tell(), store.write(content)  # type: ignore[index]
    return places


def _listed(
    path: Path, names: Collection[str], content: Callable[[str], bytes]
) -> Iterator[tuple[str, int, str]]:
    """Yield (image's name, label, LRA's key) for every line of the metadata, in the order of their numbers."""
    metadata = [name for name in names if name.startswith("metadata/")]
    if not metadata:
        raise FileNotFoundError(f"{path}/metadata/*.npy: no such files, expected LRA's Pathfinder metadata")
    if strange := [name for name in metadata if not PurePosixPath(name).stem.isdecimal()]:
        raise ValueError(f"{path / strange[0]}: expected a number as name, <n>.npy")
    for name in sorted(metadata, key=lambda name: int(PurePosixPath(name).stem)):
        file = path / name
        for number, line in lines(io.BytesIO(content(name)), file):
            if not line.isascii():
                raise ValueError(f"{file}: not text; LRA's metadata are text lines in spite of their name")
            image, label = _columns(f"{file}:{number}", line.decode())
            if image not in names:
                shown = printable(image[:200])
                raise FileNotFoundError(f"{path / shown}: no such image, but {file}:{number} names it")
            place = PurePosixPath(image)
            yield image, label, f"{place.parent}_{place.name}_{number}"


def _columns(where: str, line: str) -> tuple[str, int]:
    """Return (image's name, label) of a metadata line."""
    columns = line.split()
    if len(columns) != COLUMNS:
        raise ValueError(f"{where}: {len(columns)} columns, expected {COLUMNS}")
    if columns[3] not in ("0", "1"):
        raise ValueError(f"{where}: label {columns[3][:40]!r}, expected 0 or 1 in column 4")
    name = PurePosixPath(columns[0], columns[1])
    if name.is_absolute() or ".." in name.parts:
        raise ValueError(f"{where}: {name.as_posix()[:200]!r} lies outside the data set")
    return name.as_posix(), int(columns[3])
