"""Image: CIFAR-10 in grey, pixel by pixel, ten classes.

Source: Krizhevsky (2009); Tay et al. (arXiv 2011.04006, section 2.2.4). LRA takes it from TFDS and
turns it grey with tf.image.rgb_to_grayscale; the tokens are the intensities 0 to 255, and 0 is black, not
padding.
"""

import pickletools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from wise_lra.data.archive import files, pixels, tfds_order
from wise_lra.data.download import Progress, silent
from wise_lra.data.task import Directory, Example, Task

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST = "test_batch"
PIXELS = 32 * 32
EXPECTED = "cifar-10-batches-py/, cifar-10-batches-bin/ or an archive of one of them"

TFDS = "cifar10"
HOMEPAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
CITATION = """@techreport{krizhevsky2009learning,
  title={Learning multiple layers of features from tiny images},
  author={Krizhevsky, Alex},
  institution={University of Toronto},
  year={2009}
}"""

_PLACES = (
    "cifar-10-batches-py",
    "cifar-10-batches-bin",
    "cifar-10-python.tar.gz",
    "cifar-10-python.tar.xz",
    "cifar-10-binary.tar.gz",
)
_NAME = re.compile(r"(?:^|/)(data_batch_[1-5]|test_batch)(\.bin)?$")
_KEYS = ("batch_label", "labels", "data", "filenames")
_LARGEST = 1 << 26  # bytes of a file, which is in memory; CIFAR-10's have 31 MB
_INTEGERS = ("BININT", "BININT1", "BININT2")


def find(place: Path) -> Path | None:
    """Return CIFAR-10 in a folder or at it: unpacked, else an archive, of the Python or else the binary version."""
    if place.name in _PLACES:
        return place if place.exists() else None
    return next((place / name for name in _PLACES if (place / name).exists()), None)


def settings(task: Task, protocol: str) -> dict[str, Any]:
    """Return none: the images are read in one way."""
    return {}


def read(path: Path, rejected: Counter[str], progress: Progress = silent) -> Iterator[Example]:
    """Yield the images, each uint8 (1024,): grey, row by row. None is left out and counted in `rejected`.

    Order: train, validation, test as `divided` cuts them. That makes 45,000 / 5,000 / 10,000.
    Raises ValueError on a broken archive, and if a file is missing or not CIFAR-10's.
    """
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, data in files(path, lambda name: bool(_NAME.search(name)), progress, _LARGEST):
        batch, binary = _NAME.search(name).groups()  # type: ignore[union-attr]
        try:
            found[batch] = _binary(data) if binary else _pickled(data)
        except ValueError as error:
            raise ValueError(f"{path}: {name} is not CIFAR-10's: {error}") from None
    if missing := [name for name in (*BATCHES, TEST) if name not in found]:
        raise ValueError(f"{path}: {', '.join(missing)} not found, expected {BATCHES[0]} to _5 and {TEST}")
    for split, names in (("train", BATCHES), ("test", (TEST,))):
        images = np.concatenate([grey(found[name][0]) for name in names])
        labels = np.concatenate([found[name][1] for name in names])
        order = tfds_order(split, map(str, range(len(labels))))
        yield from divided(split, ((images[index], int(labels[index])) for index in order), len(order))


def from_tfds(data: Directory, rejected: Counter[str]) -> Iterator[Example]:
    """Yield the images of TFDS' cifar10 as `read` does those of the archive, and in the same order."""
    for split in ("train", "test"):
        colours = (
            (pixels(data.path, row["image"], 32, ("RGB",)), int(row["label"])) for row in data.rows(split)
        )
        images = ((grey(rgb.transpose(2, 0, 1).reshape(1, 3, -1))[0], label) for rgb, label in colours)
        yield from divided(split, images, data.count(split))


def divided(split: str, images: Iterable[tuple[np.ndarray, int]], count: int) -> Iterator[Example]:
    """Yield `count` grey images of train or test, in the order of TFDS, as examples.

    As LRA cuts them, the first 90 % of train stay there and the other 10 % validate.
    """
    training = count * 9 // 10 if split == "train" else count
    for place, (image, label) in enumerate(images):
        yield Example(split if place < training else "validation", (image,), label)


def grey(pixels: np.ndarray) -> np.ndarray:
    """Return uint8 (count, 1024) of uint8 RGB (count, 3, 1024), as tf.image.rgb_to_grayscale gives it.

    That is 0.2989 R + 0.5870 G + 0.1140 B on the unit interval, times 255.5, truncated, all in float32: in
    this order of operations every one of the 2**24 colours comes out as TensorFlow 2.21 computes it.
    """
    red, green, blue = np.moveaxis(pixels.astype(np.float32) * np.float32(1 / 255), 1, 0)
    weighed = red * np.float32(0.2989) + green * np.float32(0.5870) + blue * np.float32(0.1140)
    return (weighed * np.float32(255.5)).astype(np.uint8)


def _binary(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return (pixels, labels) of a file of the binary version: records of a label byte and 3,072 pixels."""
    width = 1 + 3 * PIXELS
    if not data or len(data) % width:
        raise ValueError(f"{len(data)} bytes, expected a multiple of {width}")
    records = np.frombuffer(data, np.uint8).reshape(-1, width)
    return _checked(records[:, 1:], records[:, 0])


def _pickled(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return (pixels, labels) of a file of the Python version, a pickle that is read but never executed.

    It is a dictionary with "labels", a list of integers, and "data", a uint8 array: after each of these keys,
    up to the next, the operations that push integers are the labels, and the longest string is the array.
    """
    labels: list[int] = []
    pixels = key = ""
    for operation, argument, _ in pickletools.genops(data):
        if argument in _KEYS:
            key = argument
        elif key == "labels" and isinstance(argument, int) and operation.name in _INTEGERS:
            labels.append(argument)
        elif key == "data" and isinstance(argument, str):
            pixels = max(pixels, argument, key=len)
    return _checked(np.frombuffer(pixels.encode("latin-1"), np.uint8), np.array(labels))


def _checked(pixels: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels as (count, 3, 1024) beside their labels. Raises ValueError where these do not fit."""
    if not pixels.size or pixels.size != len(labels) * 3 * PIXELS:
        raise ValueError(
            f"{pixels.size} pixels and {len(labels)} labels, expected {3 * PIXELS} pixels a label"
        )
    if wrong := [label for label in labels.tolist() if not 0 <= label < len(CLASSES)]:
        raise ValueError(f"label {wrong[0]}, expected 0 to {len(CLASSES) - 1}")
    return pixels.reshape(-1, 3, PIXELS), labels
