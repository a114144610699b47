"""Looking at what is trained on: pictures of image tasks, and the texts of the others, from a packed folder."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wise_lra.data import listops, synthetic_image
from wise_lra.data.packed import MANIFEST, PackedSplit, read_manifest, verify
from wise_lra.data.task import Task, left_out, reader
from wise_lra.registry import TASKS
from wise_lra.results.reading import printable

_SCALE = {32: 3, 64: 2}  # screen pixels a pixel; larger images stand as they are
_CAPTION = 14  # pixels of height for the label under an image


def class_names(task: Task, variant: str) -> tuple[str, ...]:
    """Return what people call the classes of a task on data of a variant, "" being the Arena's own.

    Raises ValueError on a task that is not known.
    """
    if task.name not in TASKS:
        raise ValueError(f"task.name={task.name}: expected one of {', '.join(TASKS)}")
    if (task.name, variant) == ("image", "stand-in"):
        return tuple(synthetic_image.CLASSES)
    return tuple(reader(task.name).CLASSES)


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
    if not packed.task.pictures:
        return [_decoded(packed.task, ids) for ids in documents]
    side = round(len(documents[0]) ** 0.5)
    return Image.fromarray(np.asarray(documents[0].reshape(side, side)))


def show(task: Task, folder: Path, split: str, count: int, console: Console) -> None:
    """Save a picture of the first examples beside a packed folder, or print their texts.

    `count` of 0 means 60 images or 3 texts.
    """
    packed, labels = PackedSplit(folder, split, task), class_names(task, read_manifest(folder)["variant"])
    if task.pictures:
        path = folder.with_name(f"{folder.name}-{split}.png")
        _sheet(packed, labels, min(count or 60, len(packed))).save(path)
        console.print(f"{task.name}: {path}", soft_wrap=True)
        return
    for index in range(min(count or 3, len(packed))):
        console.rule(Text(f"{task.name}, {split}: {labels[packed.labels[index]]}"))
        for ids in packed.documents(index):
            text = "\n".join(map(printable, _decoded(task, ids).splitlines()))
            console.print(Text(text), soft_wrap=True)


def _sheet(packed: PackedSplit, labels: tuple[str, ...], count: int, columns: int = 10) -> Image.Image:
    """Return the first images side by side, the name of its class under each."""
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


def summary(manifests: Iterable[Mapping[str, Any]]) -> Table:
    """Return a row a split: examples, classes, lengths, what was left out, checksum and seconds of packing."""
    table = Table(title="Prepared data", caption="lengths in tokens; sha256 is of all files of a task")
    for head in ("task", "source", "split", "examples", "classes", "length 10/50/90/100 %", "rejected",
                 "sha256", "seconds"):  # fmt: skip
        table.add_column(head, justify="right" if head in ("examples", "seconds") else "left")
    for manifest in manifests:
        variant = f" ({manifest['variant']})" if manifest["variant"] else ""
        texts = [manifest["task"] + variant, manifest["source"], left_out(manifest["rejected"]) or "none",
                 manifest["sha256"][:16], f"{manifest['seconds']:,.1f}"]  # fmt: skip
        cells = [Text(printable(text)) for text in texts]
        for split, facts in manifest["splits"].items():
            labels, lengths = facts["labels"], facts["lengths"]
            shares = f"{min(labels) / sum(labels):.1%} to {max(labels) / sum(labels):.1%}"
            quantiles = "/".join(str(lengths[share]) for share in ("10%", "50%", "90%", "100%"))
            table.add_row(*cells[:2], split, f"{facts['examples']:,}", shares, quantiles, *cells[2:])
            cells = [Text("")] * len(cells)
        table.add_section()
    return table


def _decoded(task: Task, ids: np.ndarray) -> str:
    if task.name == "listops":
        return listops.decode(ids.tolist())
    return (ids - 1).astype(np.uint8).tobytes().decode("utf-8", errors="replace")
