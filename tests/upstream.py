"""Small archives in the layout of those upstream, one for each task, for the tests of the data."""

import io
import struct
import tarfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from wise_lra.data import listops
from wise_lra.data.pathfinder_release import HARD
from wise_lra.data.task import Example, Task

Files = dict[str, bytes]

TASKS = {
    "listops": Task("listops", 16, 2000, 10),
    "text": Task("text", 257, 4096, 2),
    "retrieval": Task("retrieval", 257, 4000, 2, documents=2),
    "image": Task("image", 256, 1024, 10, padded=False),
    "pathfinder": Task("pathfinder", 256, 1024, 2, padded=False),
}
ARCHIVES = {
    "listops": "lra_release.gz",
    "text": "aclImdb_v1.tar.gz",
    "retrieval": "lra_release.gz",
    "image": "cifar-10-python.tar.gz",
    "pathfinder": "lra_release.gz",
}


def pack(path: Path, files: Mapping[str, bytes], *odd: tarfile.TarInfo) -> Path:
    """Write a tar archive of these files, then of the odd members; compressed as the name of `path` ends."""
    with tarfile.open(path, "w:xz" if path.suffix == ".xz" else "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in odd:
            archive.addfile(member)
    return path


def unpack(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write these files below a folder; return the folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def read(reader: Any, path: Path, rejected: Counter[str] | None = None, **settings: Any) -> list[Example]:
    """Return the examples that a task's reader finds at a path."""
    return list(reader.read(path, Counter() if rejected is None else rejected, **settings))


def plain(examples: list[Example]) -> list[tuple[str, list[list[int]], int]]:
    """Return examples as lists, which compare."""
    return [(split, [ids.tolist() for ids in documents], label) for split, documents, label in examples]


def listops_files() -> Files:
    """Return LRA's three files with 20, 5 and 5 expressions."""
    rows = listops.generate(30, 0, 10, 64, 4)
    parts = {"train": rows[:20], "val": rows[20:25], "test": rows[25:]}
    return {
        f"basic_{name}.tsv": "".join(f"{a}\t{b}\r\n" for a, b in [("Source", "Target"), *part]).encode()
        for name, part in parts.items()
    }


def text_files(count: int = 20) -> Files:
    """Return the labelled half of aclImdb, `count` reviews a folder, in an order of its own, and other files."""
    reviews = {
        f"aclImdb/{split}/{label}/{number}_{rating}.txt": f"{split} {label} {number}<br />é".encode()
        for number in reversed(range(count))
        for split in ("test", "train")
        for label, rating in (("pos", 9), ("neg", 2))
    }
    extras = ("README", "train/urls_pos.txt", "train/labeledBow.feat", "train/unsup/0_0.txt")
    return {f"aclImdb/{name}": b"not a review" for name in extras} | reviews


PAIRS = {
    "train": b"1.0\tP01\tP02\tone \"quoted\tsecond 'text\n0.0\tP03\tP04\t\xff\xfe not UTF-8\tnaive\r\n",
    "eval": b"1.0\tP05\tP06\tthree\tfour\n",
    "test": b"0.0\tP07\tP08\tfive\tsix",
}
SAMPLE = {
    "aan_sample/aan_sample_pairs.eval.only_ids.tsv": b"1.0\tP05\tP06\n",
    "aan_sample/aan_sample_pairs.test.only_ids.tsv": b"0.0\tP05\tW09\n",
    "aan_sample/aan_sample_pairs.train.only_ids.tsv": b"1.0\tP06\tW09\n0.0\tP06\tP05\n0.0\tX99\tP05\n",
    "aan_sample/texts/P05.txt": b"five\n",
    "aan_sample/texts/P06.txt": b"six\n",
    "aan_sample/texts/W09.txt": b"nine",
}


def retrieval_files(folder: str = "", **lines: bytes) -> Files:
    """Return LRA's three files of pairs, some of them with other lines."""
    return {f"{folder}new_aan_pairs.{split}.tsv": line for split, line in (PAIRS | lines).items()}


def pickled(labels: np.ndarray, pixels: np.ndarray) -> bytes:
    """Return a file of CIFAR-10's Python version as upstream's: a protocol 2 pickle of Python 2."""

    def string(text: bytes) -> bytes:
        return b"U" + bytes([len(text)]) + text

    data = b"T" + struct.pack("<i", pixels.size) + pixels.tobytes()
    shape = b"K\x01M" + struct.pack("<H", len(labels)) + b"M\x00\x0c\x86"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    names = b"".join(string(b"cat_s_%06d.png" % k) for k in range(len(labels)))
    return (
        b"\x80\x02}(" + string(b"batch_label") + string(b"training batch 1 of 5")
        + string(b"labels") + b"](" + numbers + b"e"
        + string(b"data") + array + b"(" + shape + dtype + b"\x89" + data + b"tb"
        + string(b"filenames") + b"](" + names + b"eu."
    )  # fmt: skip


def binary(labels: np.ndarray, pixels: np.ndarray) -> bytes:
    """Return a file of CIFAR-10's binary version."""
    return np.concatenate([labels[:, None], pixels], axis=1).tobytes()


BATCHES = ("data_batch_4", "test_batch", "data_batch_3", "data_batch_2", "data_batch_5", "data_batch_1")
COUNT = 4  # images in a file of CIFAR-10


def image_files(kind: str = "py") -> Files:
    """Return the six files of a version of CIFAR-10, with random images, and a file that is none."""
    rng = np.random.default_rng(0)
    labels = {name: rng.integers(0, 10, COUNT, np.uint8) for name in sorted(BATCHES)}
    pixels = {name: rng.integers(0, 256, (COUNT, 3072), np.uint8) for name in sorted(BATCHES)}
    write, end = (binary, ".bin") if kind == "bin" else (pickled, "")
    files = {f"cifar-10-batches-{kind}/{name}{end}": write(labels[name], pixels[name]) for name in BATCHES}
    return {f"cifar-10-batches-{kind}/readme.html": b"<html>"} | files


def png(pixels: np.ndarray) -> bytes:
    """Return an image as PNG."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def pathfinder_files(size: int = 32) -> Files:
    """Return two batches of ten images: image k of batch n is all 10 n + k, but for number 13, which is empty."""
    above = f"pathfinder{size}/{HARD}"
    lines, files = {0: "", 1: ""}, {}
    for number in range(20):
        folder, name = number // 10, f"sample_{number % 10}.png"
        content = png(np.full((size, size), number, np.uint8))
        files[f"{above}/imgs/{folder}/{name}"] = b"" if number == 13 else content
        lines[folder] += f"imgs/{folder} {name} {number} {number % 2} 1.0 14 4 2 0.5 1 1\n"
    return files | {f"{above}/metadata/{folder}.npy": text.encode() for folder, text in lines.items()}


FILES = {
    "listops": listops_files(),
    "text": text_files(),
    "retrieval": retrieval_files(),
    "image": image_files(),
    "pathfinder": pathfinder_files(),
}


def packed(folder: Path, task: str, files: Files | None = None) -> Path:
    """Write a task's archive into a folder."""
    files = FILES[task] if files is None else files
    if ARCHIVES[task].startswith("lra_release"):
        files = {f"lra_release/lra_release/{name}": content for name, content in files.items()}
    return pack(folder / ARCHIVES[task], files)
