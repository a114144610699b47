"""Pathfinder: do two marked ends belong to one dashed contour? Images generated as LRA's were.

The task: Linsley et al. (arXiv 1805.08315); Tay et al. (arXiv 2011.04006, section 2.2.5). The generator has
the semantics of drewlinsley/pathfinder at commit ab9c130 (2019), which LRA used, with LRA's parameters.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path

import numpy as np

from wise_lra.data.download import Progress, silent
from wise_lra.data.pathfinder_paddles import PARAMETERS, Paddles, Parameters, marker, paddles
from wise_lra.data.pathfinder_snakes import draw, place
from wise_lra.data.task import SPLITS, Example, Task

log = logging.getLogger(__name__)

CLASSES = ("two contours", "one contour")
SIZES = tuple(PARAMETERS)

DEFAULTS = {"train": 160_000, "validation": 20_000, "test": 20_000, "size": 32, "contour_length": 14}
"""LRA's settings of the generator."""

VERSION = 1
"""Raise it when the generated images change, so that they are prepared anew."""

_CONTOURS = {6: "easy", 9: "intermediate", 14: ""}  # LRA's names
_SHARD = 256  # images that a thread makes at a time
_PIXELS = 1 << 23  # that `examples` holds at a time; a shard at least
_ATTEMPTS = 1_000_000  # pairs of targets after which a contour is taken not to fit


def fitted(chosen: dict[str, int], task: Task, asked: Mapping[str, int], node: str) -> dict[str, int]:
    """Return the settings with the size of the task's images. Raises ValueError where there is no such size."""
    if task.length not in (known := [size**2 for size in SIZES]):
        raise ValueError(f"task.length={task.length}: expected one of {', '.join(map(str, known))} pixels")
    if (size := asked.get("size", task.side)) != task.side:
        raise ValueError(
            f"{node}.size={size}: expected the root of task.length={task.length}, or leave it out"
        )
    return chosen | {"size": task.side}


def variant(chosen: Mapping[str, int]) -> str:
    """Return the name of images by other settings than LRA's: their size, and the length of their contours."""
    size = "" if chosen["size"] == DEFAULTS["size"] else str(chosen["size"])
    contour = _CONTOURS.get(chosen["contour_length"], f"contour{chosen['contour_length']}")
    return "-".join(filter(None, (size, contour)))


def generate(
    count: int,
    seed: int,
    size: int = 32,
    *,
    contour_length: int = 14,
    distractors: int | None = None,
    first: int = 0,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return images, uint8 (count, size, size), and labels, int64 (count,): 1 if one contour joins the marks.

    `contour_length` paddles make a target: 14 is LRA's hard setting, 9 intermediate, 6 easy. Distractors have
    a third of that; `distractors` of them are tried (LRA's number by default), few of which find room.
    Image i depends on the seed, these settings and `first` + i alone, so shards made apart, by any number of
    `workers` (threads; by default one a core), join into the same whole. `progress` is given (done, count).
    Raises ValueError on impossible settings.
    """
    parameters = _parameters(size, contour_length)
    if min(count, seed, distractors or 0, first) < 0 or (workers is not None and workers < 1):
        raise ValueError(
            f"count={count}, seed={seed}, distractors={distractors}, first={first}, workers={workers}: "
            "expected no negative number, and a worker or more"
        )
    images = np.empty((count, size, size), np.uint8)
    labels = np.empty(count, np.int64)

    def fill(shard: range) -> int:
        for i in shard:
            images[i], labels[i] = _example(first + i, seed, parameters, contour_length, distractors)
        return len(shard)

    shards = [range(start, min(start + _SHARD, count)) for start in range(0, count, _SHARD)]
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:  # the compiled part holds no lock
        futures = [pool.submit(fill, shard) for shard in shards]
        done = 0
        try:
            for future in as_completed(futures):
                done += future.result()
                if progress is not None:
                    progress(done, count)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return images, labels


def examples(
    train: int,
    validation: int,
    test: int,
    seed: int,
    size: int = 32,
    *,
    contour_length: int = 14,
    parts: Path | None = None,
    progress: Progress = silent,
) -> Iterator[Example]:
    """Yield so many examples of every split, in the order in which `generate` makes them.

    A document is an image row by row: uint8 (size * size,). Some millions of pixels are held at a time; in the
    folder `parts`, which is for these settings alone, they are saved as they come, and read from there when this
    is begun again; a part that cannot be read, or does not begin with the image that it should, is drawn anew.
    Raises ValueError as `generate` does.
    """
    splits = np.repeat(SPLITS, (train, validation, test)).tolist()
    block = max(_SHARD, _PIXELS // size**2)

    def report(start: int, done: int, _: int) -> None:
        progress("drawing pathfinder", start + done, len(splits))

    for start in range(0, len(splits), block):
        some = splits[start : start + block]
        make = partial(
            generate,
            len(some),
            seed,
            size,
            contour_length=contour_length,
            first=start,
            progress=partial(report, start),
        )
        if parts is None:
            images, labels = make()
        else:
            image, _ = _example(start, seed, _parameters(size, contour_length), contour_length, None)
            images, labels = _saved(parts / f"{start}-{len(some)}.npz", len(some), image, make)
        for split, image, label in zip(some, images, labels.tolist(), strict=True):
            yield Example(split, (image.ravel(),), label)


def _saved(
    path: Path, count: int, first: np.ndarray, make: Callable[[], tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return what an earlier call of `make` left in a file, or else call it and save what it gives."""
    if path.exists():
        try:
            with path.open("rb") as part, np.load(part) as saved:
                images, labels = saved["images"], saved["labels"]  # zip checks the sums of both
            if len(images) == len(labels) == count and np.array_equal(images[0], first):
                return images, labels
        except Exception:  # what a broken file makes zip and NumPy raise is without limit
            pass
        log.warning("%s is damaged or of other images, and is drawn again", path)
    images, labels = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_path = path.with_name(f"{path.name}.partial")
    with partial_path.open("wb") as file:
        np.savez(file, images=images, labels=labels)
    partial_path.replace(path)
    return images, labels


def _parameters(size: int, contour_length: int) -> Parameters:
    if size not in SIZES:
        raise ValueError(f"size={size}: expected one of {', '.join(map(str, SIZES))}")
    if contour_length < 3:
        raise ValueError(
            f"contour_length={contour_length}: expected 3 or more, distractors are a third as long"
        )
    return PARAMETERS[size]


def _example(
    number: int, seed: int, parameters: Parameters, contour: int, distractors: int | None
) -> tuple[np.ndarray, int]:
    """Return the image of that number, uint8 (size, size), and its label."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
    length = contour // 3
    distractors = parameters.distractor_paddles // length if distractors is None else distractors
    label, snake, margin = rng.integers(2), rng.integers(2), rng.integers(len(parameters.margins))
    tables = paddles(parameters, parameters.margins[margin])
    size = parameters.size
    placed, tips = place(rng, tables, size, parameters.padding, contour, distractors, length, _ATTEMPTS)
    if len(placed) == 0:
        raise ValueError(
            f"contour_length={contour}: none of {_ATTEMPTS} pairs of contours fitted into {size} x {size} "
            "pixels; expected a shorter one"
        )
    ends = tips[snake, 0], tips[snake if label else 1 - snake, 1]
    return _picture(parameters, tables, placed, contour, ends), int(label)


def _picture(
    parameters: Parameters,
    tables: Paddles,
    placed: np.ndarray,
    contour: int,
    ends: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Return targets, distractors and markers at the ends, scaled to 0..255: uint8 (size, size)."""
    size, contrast = parameters.size, parameters.snake_contrast
    targets = contrast * parameters.paddle_contrast
    image = draw(size, tables.lines, placed, 2 * contour, targets, contrast)
    for row, column in ends:
        window, disc = marker(parameters, int(row), int(column))
        np.maximum(image[window], disc, out=image[window])
    low, high = image.min(), image.max()
    return ((image - low) * (255 / (high - low)) + 0.5).astype(np.uint8)
