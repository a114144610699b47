"""Data sets as TensorFlow Datasets keeps them on disk, read without TensorFlow: array_record or TFRecord files.

These are TFDS' own imdb_reviews and cifar10, LRA's pathfinder<size>, and what `tfds_builders` writes.
"""

import json
import re
import struct
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from wise_lra.data import image, listops, pathfinder_release, retrieval, text
from wise_lra.data.archive import stray
from wise_lra.data.download import Progress
from wise_lra.data.task import SPLITS, Example, Task
from wise_lra.results.reading import one_line

INFO = "dataset_info.json"
NAMES = {
    "listops": "lra_listops", "text": "imdb_reviews", "retrieval": "lra_retrieval", "image": "cifar10",
    "pathfinder": "pathfinder",  # and the size
}  # fmt: skip

_EVERY = 100  # examples between two reports of progress
_LARGEST = 1 << 25  # bytes of a record


def name(task: Task) -> str:
    """Return the name that TFDS has for the data set of a task."""
    return NAMES[task.name] + (str(round(task.length**0.5)) if task.name == "pathfinder" else "")


def find(place: Path, task: Task) -> Path | None:
    """Return the directory of the newest version of a task's data set, in a folder of TFDS or at it."""
    own = name(task)
    patterns = ("", "*/", f"{own}/*/", f"{own}/*/*/", f"TFDS/{own}/*/")
    infos = chain.from_iterable(place.glob(pattern + INFO) for pattern in patterns)
    found = {info.parent for info in infos if not stray(str(info.relative_to(place))) and _named(info) == own}
    versions = sorted(found)  # so that of two with the same number always the same one is taken
    return max(
        versions, key=lambda path: [int(number) for number in re.findall(r"\d+", path.name)], default=None
    )


def _named(info: Path) -> Any:
    """Return the name that an information file states, None where it cannot be read."""
    try:
        return json.loads(info.read_bytes())["name"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def read(
    path: Path,
    task: Task,
    limit: int,
    protocol: str = "held-out",
    rejected: Counter[str] | None = None,
    progress: Progress | None = None,
) -> Iterator[Example]:
    """Yield the examples of a directory, as the task's own reader yields those of an archive.

    Of Text, whose numbers TFDS does not keep, every tenth review of a class in the order of TFDS validates.
    Raises ValueError if a split or a file is missing or broken, and as the task's own reader does.
    """
    try:
        data = _Directory(path, progress)
        yield from _examples(data, task, limit, protocol, Counter() if rejected is None else rejected)
    except Exception as error:  # what TFDS and its formats raise on a broken file is without limit
        own = str(path) in (reason := one_line(error))
        raise ValueError(reason if own else f"{path}: cannot be read ({reason}); prepare it again") from error


class _Directory:
    """One version of a data set; tensorflow_datasets is imported here, when one is opened."""

    def __init__(self, path: Path, progress: Progress | None) -> None:
        import tensorflow_datasets as tfds

        self.path, self.progress = path, progress
        self.builder = tfds.builder_from_directory(str(path))
        images = "image" in self.builder.info.features
        self.undecoded = {"image": tfds.decode.SkipDecoding()} if images else {}  # TFDS would decode any size

    def count(self, split: str) -> int:
        """Return the number of examples of a split. Raises ValueError if there is no such split."""
        if split not in self.builder.info.splits:
            raise ValueError(
                f"{self.path}: no split {split!r}, expected one beside {[*self.builder.info.splits]}"
            )
        return int(self.builder.info.splits[split].num_examples)

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of a split: texts and images as bytes."""
        count = self.count(split)
        features, done = self.builder.info.features, 0
        for file in self.builder.info.splits[split].filepaths:
            for record in _records(Path(file)):
                done += 1
                if self.progress is not None and done % _EVERY == 0:
                    self.progress(f"decoding {split} of {self.path.parent.name}", done, count)
                yield features.deserialize_example_np(record, decoders=self.undecoded)
        if done != count:
            raise ValueError(f"{self.path}: {done} examples of {split}, expected {count}; prepare it again")


def _examples(
    data: _Directory, task: Task, limit: int, protocol: str, rejected: Counter[str]
) -> Iterator[Example]:
    path = data.path
    if task.name == "text":
        found = {
            split: ((row["text"].strip(), int(row["label"])) for row in data.rows(split))
            for split in ("train", "test")
        }
        yield from text.divided(found, limit, protocol, rejected)
    elif task.name == "image":
        for split in ("train", "test"):
            images = ((_grey(path, row["image"]), int(row["label"])) for row in data.rows(split))
            yield from image.divided(split, images, data.count(split))
    elif task.name == "pathfinder":
        side = round(task.length**0.5)
        opened = partial(pathfinder_release.pixels, path, size=side, modes=("L", "RGB"))
        images = (
            (opened(row["image"]).reshape(side, side, -1)[..., 0], int(row["label"]))
            for row in data.rows("hard")
        )
        yield from pathfinder_release.divided(images, data.count("hard"))
    elif task.name == "retrieval":
        names = ("id1", "id2", "text1", "text2")
        pairs = (
            (split, [b"%d" % row["label"], *(row[name] for name in names)])
            for split in SPLITS
            for row in data.rows(split)
        )
        yield from retrieval.examples(pairs, limit, rejected)
    else:
        for split in SPLITS:
            for number, row in enumerate(data.rows(split), 1):
                try:
                    example = listops.example(split, row["source"].decode("ascii"), str(row["target"]))
                except ValueError as error:
                    raise ValueError(f"{path}: example {number} of {split}: {error}") from None
                yield example


def _records(path: Path) -> Iterator[bytes]:
    """Yield the records of a file. Raises ValueError if it is missing or broken off."""
    if not path.is_file():
        raise ValueError(f"{path}: not found; the directory is not whole")
    if ".array_record" in path.name:
        from array_record.python.array_record_data_source import ArrayRecordDataSource

        source = ArrayRecordDataSource([str(path)])
        yield from (source[index] for index in range(len(source)))
        return
    with path.open("rb") as file:
        # Of TFRecord: length (8 bytes) and its checksum (4), the record, and its checksum (4).
        while head := file.read(12):
            length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else 0
            record = file.read(min(length, _LARGEST))
            if len(head) != 12 or len(record) != length or len(file.read(4)) != 4:
                raise ValueError(f"{path}: broken off; fetch or prepare it again")
            yield record


def _grey(path: Path, png: bytes) -> np.ndarray:
    """Return uint8 (1024,) of an RGB image of 32 x 32."""
    pixels = pathfinder_release.pixels(path, png, 32, ("RGB",))
    return image.grey(np.moveaxis(pixels, 2, 0).reshape(1, 3, -1))[0]
