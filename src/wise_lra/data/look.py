"""Looking at what is trained on: pictures of image tasks, and the texts of the others, from a packed folder."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from wise_lra.data import image, listops, pathfinder, synthetic_image
from wise_lra.data.packed import MANIFEST, PackedSplit, read_manifest, verify
from wise_lra.data.task import PICTURES, Task

_SCALE = {32: 3, 64: 2}  # screen pixels a pixel; larger images stand as they are
_CAPTION = 14  # pixels of height for the label under an image


def names(task: Task, folder: Path) -> tuple[str, ...]:
    """Return what people call the classes of a packed task."""
    return class_names(task, read_manifest(folder)["variant"])


def class_names(task: Task, variant: str) -> tuple[str, ...]:
    """Return what people call the classes of a task on data of a variant, "" being the Arena's own."""
    if task.name == "image":
        return tuple(synthetic_image.CLASSES) if variant == "stand-in" else image.CLASSES
    known = {
        "text": ("negative", "positive"),
        "retrieval": ("unrelated", "related"),
        "pathfinder": pathfinder.CLASSES,
    }
    return known.get(task.name, tuple(map(str, range(task.classes))))


def find(root: Path, sha256: str) -> Path | None:
    """Return the packed folder under `root` whose manifest states this sum; None where there is none.

    Raises Damaged where a file of it has another sum than the manifest states.
    """
    for manifest in sorted(root.rglob(MANIFEST)):
        if sha256.encode() in manifest.read_bytes() and verify(manifest.parent)["sha256"] == sha256:
            return manifest.parent
    return None


def example(packed: PackedSplit, index: int) -> Image.Image | list[str]:
    """Return one example as people see it: the picture of an image task, else its documents as text.

    Of a document, what a model of the task reads: it is cut to the task's length.
    """
    documents = [ids[: packed.task.length] for ids in packed.documents(index)]
    if packed.task.name not in PICTURES:
        return [_decoded(packed.task, ids) for ids in documents]
    side = round(len(documents[0]) ** 0.5)
    return Image.fromarray(np.asarray(documents[0].reshape(side, side)))


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
