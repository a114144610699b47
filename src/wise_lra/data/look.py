"""Looking at what is trained on: pictures of image tasks, and the texts of the others, from a packed folder."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from wise_lra.data import image, listops, pathfinder, standin_image
from wise_lra.data.packed import PackedSplit, read_manifest
from wise_lra.data.task import Task

_SCALE = {32: 3, 64: 2}  # screen pixels a pixel; larger images stand as they are
_CAPTION = 14  # pixels of height for the label under an image


def names(task: Task, folder: Path) -> tuple[str, ...]:
    """Return what people call the classes of a packed task."""
    if task.name == "image":
        return tuple(standin_image.CLASSES) if read_manifest(folder)["variant"] else image.CLASSES
    known = {
        "text": ("negative", "positive"),
        "retrieval": ("unrelated", "related"),
        "pathfinder": pathfinder.CLASSES,
    }
    return known.get(task.name, tuple(map(str, range(task.classes))))


def picture(task: Task, folder: Path, split: str, count: int, columns: int = 10) -> Image.Image:
    """Return the first examples of an image task side by side, the name of its class under each."""
    packed, labels = PackedSplit(folder, split, task), names(task, folder)
    count = min(count, len(packed))
    side = round(len(packed.documents(0)[0]) ** 0.5)
    wide = side * _SCALE.get(side, 1)
    step, rows = wide + 4, -(-count // columns)
    sheet = Image.new("L", (columns * step, rows * (step + _CAPTION)), 255)
    pen = ImageDraw.Draw(sheet)
    for index in range(count):
        row, column = divmod(index, columns)
        place = column * step, row * (step + _CAPTION)
        pixels = packed.documents(index)[0].reshape(side, side)
        sheet.paste(Image.fromarray(np.asarray(pixels)).resize((wide, wide), Image.Resampling.NEAREST), place)
        pen.text((place[0], place[1] + wide), labels[packed.labels[index]], fill=0)
    return sheet


def texts(task: Task, folder: Path, split: str, count: int) -> list[tuple[str, list[str]]]:
    """Return (name of the class, documents as text) of the first examples of a task that is not one of images."""
    packed, labels = PackedSplit(folder, split, task), names(task, folder)
    return [
        (labels[packed.labels[index]], [_decoded(task, ids) for ids in packed.documents(index)])
        for index in range(min(count, len(packed)))
    ]


def _decoded(task: Task, ids: np.ndarray) -> str:
    if task.name == "listops":
        return listops.decode(ids.tolist())
    return (ids - 1).astype(np.uint8).tobytes().decode("utf-8", errors="replace")
