"""Pathfinder: do two marked ends belong to one dashed contour? Images read from LRA's release, or generated.

The task: Linsley et al. (arXiv 1805.08315); Tay et al. (arXiv 2011.04006, section 2.2.5). The generator has
the semantics of drewlinsley/pathfinder at commit ab9c130 (2019), which LRA used, with LRA's parameters.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from wise_lra.data.pathfinder_paddles import PARAMETERS, Paddles, Parameters, marker, paddles
from wise_lra.data.pathfinder_snakes import draw, place
from wise_lra.data.task import SPLITS, Example

COLUMNS = 11
"""Of a metadata line: folder, file, number, label, continuity, contour length, distractor length, paddle
length, thickness and margin, number of contrasts."""

_SHARD = 256  # images that a thread makes at a time
_BLOCK = 8192  # images that `generated` holds at a time
_ATTEMPTS = 1_000_000  # pairs of targets after which a contour is taken not to fit


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
    length = contour_length // 3
    distractors = parameters.distractor_paddles // length if distractors is None else distractors
    if min(count, seed, distractors, first) < 0 or (workers is not None and workers < 1):
        raise ValueError(
            f"count={count}, seed={seed}, distractors={distractors}, first={first}, workers={workers}: "
            "expected no negative number, and a worker or more"
        )
    images = np.empty((count, size, size), np.uint8)
    labels = np.empty(count, np.int64)

    def fill(shard: range) -> int:
        for i in shard:
            rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(first + i,)))
            images[i], labels[i] = _example(rng, parameters, contour_length, distractors, length)
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


def generated(
    counts: Mapping[str, int],
    seed: int,
    size: int = 32,
    *,
    contour_length: int = 14,
    distractors: int | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Example]:
    """Yield counts[split] examples of every split, in the order in which `generate` makes them.

    A document is an image row by row: uint8 (size * size,). Raises ValueError as `generate` does, and on an
    unknown split.
    """
    if unknown := counts.keys() - set(SPLITS):
        raise ValueError(f"counts={dict(counts)}: unknown split {sorted(unknown)}, expected some of {SPLITS}")
    splits = [split for split in SPLITS for _ in range(counts.get(split, 0))]

    def report(start: int, done: int, _: int) -> None:
        if progress is not None:
            progress(start + done, len(splits))

    for start in range(0, len(splits), _BLOCK):
        block = splits[start : start + _BLOCK]
        images, labels = generate(
            len(block),
            seed,
            size,
            contour_length=contour_length,
            distractors=distractors,
            first=start,
            workers=workers,
            progress=partial(report, start),
        )
        for split, image, label in zip(block, images, labels.tolist(), strict=True):
            yield Example(split, (image.ravel(),), label)


def read(folder: Path, rejected: Counter[str] | None = None) -> Iterator[Example]:
    """Yield the examples of a folder of LRA's release, pathfinder32/curv_contour_length_14 say.

    Metadata are metadata/<n>.npy, which are text, and name images imgs/<n>/sample_<k>.png, 8-bit grey. Empty
    files, of which the release has one, are left out and counted in `rejected`. A fixed shuffle gives 80 % to
    training and 10 % each to validation and test: LRA cut in the order of TFDS's hashes, which is not in it.
    Raises FileNotFoundError if files are missing, and ValueError, with file and line, if one is malformed.
    """
    folder = Path(folder)
    kept = []
    for path, label in _listed(folder):
        if path.stat().st_size:
            kept.append((path, label))
        elif rejected is not None:
            rejected[f"empty file {path.relative_to(folder)}"] += 1
    ends = {"train": len(kept) * 8 // 10, "validation": len(kept) * 9 // 10, "test": len(kept)}
    order = np.random.default_rng(0).permutation(len(kept))
    shape = None
    start = 0
    for split, end in ends.items():
        for index in order[start:end]:
            path, label = kept[index]
            image = _pixels(path)
            shape = shape or image.shape
            if image.shape != shape:
                raise ValueError(f"{path}: {image.shape} pixels, expected {shape} as in the others")
            yield Example(split, (image.ravel(),), label)
        start = end


def _parameters(size: int, contour_length: int) -> Parameters:
    if size not in PARAMETERS:
        raise ValueError(f"size={size}: expected one of {', '.join(map(str, PARAMETERS))}")
    if contour_length < 3:
        raise ValueError(
            f"contour_length={contour_length}: expected 3 or more, distractors are a third as long"
        )
    return PARAMETERS[size]


def _example(
    rng: np.random.Generator, parameters: Parameters, contour: int, distractors: int, length: int
) -> tuple[np.ndarray, int]:
    """Return an image, uint8 (size, size), and its label."""
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


def _listed(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield (image file, label) for every line of the metadata, in the order of their numbers."""
    files = list((folder / "metadata").glob("*.npy"))
    if not files:
        raise FileNotFoundError(f"{folder}/metadata/*.npy: no such files, expected LRA's Pathfinder metadata")
    if strange := [path for path in files if not path.stem.isdecimal()]:
        raise ValueError(f"{strange[0]}: expected a number as name, <n>.npy")
    for file in sorted(files, key=lambda path: int(path.stem)):
        try:
            lines = file.read_bytes().decode("ascii").splitlines()
        except UnicodeDecodeError:
            raise ValueError(
                f"{file}: not text; LRA's metadata are text lines in spite of their name"
            ) from None
        for number, line in enumerate(lines, 1):
            columns = line.split()
            if len(columns) != COLUMNS:
                raise ValueError(f"{file}:{number}: {len(columns)} columns, expected {COLUMNS}")
            if columns[3] not in ("0", "1"):
                raise ValueError(f"{file}:{number}: label {columns[3]!r}, expected 0 or 1 in column 4")
            path = folder / columns[0] / columns[1]
            if Path(columns[0], columns[1]).is_absolute() or ".." in path.relative_to(folder).parts:
                raise ValueError(f"{file}:{number}: {columns[0]}/{columns[1]} lies outside {folder}")
            if not path.is_file():
                raise FileNotFoundError(f"{path}: no such image, but {file}:{number} names it")
            yield path, int(columns[3])


def _pixels(path: Path) -> np.ndarray:
    """Return an 8-bit grey image, uint8 (rows, columns)."""
    try:
        with Image.open(path) as image:
            mode, pixels = image.mode, np.asarray(image)
    except (OSError, SyntaxError) as error:  # PIL's word for a broken PNG is SyntaxError
        raise ValueError(f"{path}: not a readable image ({error})") from error
    if mode != "L":
        raise ValueError(f"{path}: an image of mode {mode}, expected 8-bit grey (L)")
    return pixels
