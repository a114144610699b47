"""The one on-disk format of every task: flat token files that are memory-mapped, and a manifest.

A packed folder holds, for every split, `<split>.tokens.npy` (all documents end to end), `<split>.offsets.npy`
(int64, where each document starts, and the end) and `<split>.labels.npy` (uint8), and `manifest.json`. `verify`
opens one, for training and for measuring.
"""

import hashlib
import json
import re
import shutil
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from wise_lra.data.task import SPLITS, Batch, Example, Task, Unfit, checked, complete
from wise_lra.registry import TASKS
from wise_lra.results.reading import one_line, printable, read_json

FORMAT = 2
"""Version of the layout and of the manifest; raise it when either changes, and old folders are prepared anew."""

MANIFEST = "manifest.json"
_PARTS = ("tokens", "offsets", "labels")
_QUANTILES = (0.0, 0.1, 0.5, 0.9, 0.95, 1.0)
_PLAIN = {"source": "", "variant": "", "reason": "", "protocol": "held-out", "settings": {}, "rejected": {}}


class Damaged(ValueError):
    """A packed folder is not as it was packed; the message names the file."""


def pack(
    examples: Iterable[Example],
    folder: Path,
    task: Task,
    facts: Mapping[str, Any],
    began: float | None = None,
) -> dict[str, Any]:
    """Write examples into `folder`, which appears only when it is whole; return its manifest.

    `facts` is taken into the manifest as it stands, read after the last example, so that a reader can still add
    to it (what it rejected, say); but data with other counts than LRA's own have at least the variant "sample".
    One example at a time is held in memory, whatever the size of the data, and two numbers of each. The manifest
    tells the seconds since `began` (of time.perf_counter).
    Raises Unfit on an example that the task does not allow, and where a split stays empty.
    """
    began = time.perf_counter() if began is None else began
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _write(checked(examples, task, facts.get("rejected", {})), partial, task)
        files = {path.name: _digest(path) for path in sorted(partial.iterdir())}
        try:
            splits = _facts(partial, task)
        except ValueError as error:
            raise Unfit(f"{task.name}: {error}") from None
        manifest = {
            "format": FORMAT,
            "task": task.name,
            **(_PLAIN | {**facts}),
            "splits": splits,
            "files": files,
            "bytes": sum(file["bytes"] for file in files.values()),
            "sha256": _joined(files),
            "seconds": round(time.perf_counter() - began, 2),
        }
        if not manifest["variant"] and not complete(task.name, _counts(manifest)):
            manifest["variant"] = "sample"
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        partial.replace(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return manifest


def _write(examples: Iterable[Example], folder: Path, task: Task) -> None:
    """Write the token, offset and label files of all splits."""
    kind = np.dtype(np.uint8 if task.vocabulary <= 256 else np.uint16)
    classes = np.uint8 if task.classes <= 256 else np.int64
    ends = {split: [0] for split in SPLITS}
    labels: dict[str, list[int]] = {split: [] for split in SPLITS}
    with ExitStack() as stack:
        files = {split: stack.enter_context((folder / f"{split}.tokens.npy").open("wb")) for split in SPLITS}
        for file in files.values():
            _header(file, kind, 0)
        for split, documents, label in examples:
            for document in documents:
                files[split].write(document.astype(kind).tobytes())
                ends[split].append(ends[split][-1] + len(document))
            labels[split].append(label)
        for split, file in files.items():
            file.seek(0)
            _header(file, kind, ends[split][-1])
    for split in SPLITS:
        np.save(folder / f"{split}.offsets.npy", np.array(ends[split], np.int64))
        np.save(folder / f"{split}.labels.npy", np.array(labels[split], classes))


def _header(file: IO[bytes], kind: np.dtype, count: int) -> None:
    """Write the header of a .npy file, which NumPy pads so that the count can grow without moving the data."""
    header = {"descr": kind.str, "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(file, header)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a packed folder whose files have the sizes that it states.

    Raises FileNotFoundError where there is none, Damaged where it is of another format or a file differs.
    """
    path = folder / MANIFEST
    try:
        manifest = read_json(path, "a manifest")
        if manifest["format"] != FORMAT:
            raise _damaged(path, f"format {printable(str(manifest['format'])[:9])}, expected {FORMAT}")
        names = sorted(f"{split}.{part}.npy" for split in SPLITS for part in _PARTS)
        sizes = {name: int(manifest["files"][name]["bytes"]) for name in names}
        words = [manifest[key] for key in ("task", "source", "protocol")]
        if not (
            [*manifest["files"]] == names
            and manifest["sha256"] == _joined(manifest["files"])
            and all(map(str.isprintable, words))
            and re.fullmatch("[a-z0-9-]*", manifest["variant"])
            and isinstance(manifest["settings"], dict)
            and isinstance(manifest["rejected"], dict)
        ):
            raise _damaged(path, "it contradicts itself")
        whole = complete(manifest["task"], _counts(manifest))
    except Damaged:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(path, f"no manifest ({type(error).__name__} {one_line(error)[-99:]})") from None
    for name, expected in sizes.items():
        size = (folder / name).stat().st_size if (folder / name).exists() else 0
        if size != expected:
            raise _damaged(folder / name, f"{size} bytes, expected {expected}")
    if not manifest["variant"] and not whole:
        raise _damaged(path, f"{_counts(manifest)} examples, and not named as a sample of LRA's")
    return manifest


def verify(folder: Path, task: Task | None = None) -> dict[str, Any]:
    """Hash every file of a packed folder, compare what it holds with a task, and return its manifest.

    A GB takes about a second. Raises FileNotFoundError where there is no manifest, Damaged naming the first file
    whose SHA-256 is not the manifest's, and ValueError where the data are another task's or do not fit its facts.
    """
    manifest = read_manifest(folder)
    if task is not None and manifest["task"] != task.name:
        raise ValueError(
            f"{folder}: data of task={manifest['task']}, expected task={task.name}; name another data.folder"
        )
    for name, file in manifest["files"].items():
        if (found := _digest(folder / name)["sha256"]) != file["sha256"]:
            raise _damaged(folder / name, f"sha256 {found}, expected {file['sha256']}")
    if task is not None:
        try:
            facts = _facts(folder, task)
        except (ValueError, TypeError, IndexError, EOFError) as error:
            raise ValueError(f"{folder}: {error}") from None
        if facts != manifest["splits"]:
            raise _damaged(folder / MANIFEST, "its counts are not those of the files")
        _check_cut(folder, manifest, task)
    return manifest


def _check_cut(folder: Path, manifest: Mapping[str, Any], task: Task) -> None:
    """Refuse real texts that were cut, when they were packed, shorter than the task reads them."""
    if task.name not in ("text", "retrieval") or manifest["source"] == "stand-in":
        return
    cut = manifest["settings"].get("limit", TASKS[task.name].length)
    if max(split["lengths"]["100%"] for split in manifest["splits"].values()) == cut < task.length:
        raise ValueError(f"{folder}: texts cut at {cut} tokens, expected task.length={task.length} or more")


def _damaged(file: Path, what: str) -> Damaged:
    return Damaged(f"{file}: {what}; remove {file.parent} and prepare it again (make data)")


class PackedSplit:
    """One split of a packed folder, memory-mapped; pickles as its path, so that a worker maps it anew."""

    def __init__(self, folder: Path, split: str, task: Task) -> None:
        self.folder, self.split, self.task = Path(folder), split, task
        self._open()

    def _open(self) -> None:
        paths = (self.folder / f"{self.split}.{part}.npy" for part in _PARTS)
        maps = [np.load(path, mmap_mode="r", allow_pickle=False) for path in paths]
        self.tokens, self.offsets, self.labels = (np.asarray(array) for array in maps)
        widths = np.diff(self.offsets)
        width = int(widths[0]) if len(widths) else 0
        self._table = self.tokens.reshape(-1, width) if width and (widths == width).all() else None

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "split": self.split, "task": self.task}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def __len__(self) -> int:
        return len(self.labels)

    def documents(self, index: int) -> list[np.ndarray]:
        """Return the documents of one example as they were packed: uncut token ids."""
        first = index * self.task.documents
        bounds = self.offsets[first : first + self.task.documents + 1]
        return [self.tokens[start:end] for start, end in pairwise(bounds)]

    def facts(self) -> dict[str, Any]:
        """Return count, labels (examples of every class) and lengths (tokens a document, by quantile).

        Raises ValueError where files do not fit each other, or the task.
        """
        task, lengths = self.task, np.sort(np.diff(self.offsets))
        if len(lengths) != len(self) * task.documents:
            raise ValueError(
                f"{self.split} has {len(lengths)} documents for {len(self)} examples, "
                f"expected task.documents={task.documents} each"
            )
        ends = self.offsets[0], self.offsets[-1]
        if self.tokens.dtype.kind != "u" or lengths[0] < 1 or ends != (0, len(self.tokens)):
            raise ValueError(f"{self.split}: its tokens are not those that its offsets tell")
        low, high = int(lengths[0]), int(lengths[-1])
        if (task.pictures and (low, high) != (task.length, task.length)) or (
            task.name == "listops" and high > task.length  # an expression that is cut has no value
        ):
            raise ValueError(f"{self.split} has {low} to {high} tokens, expected task.length={task.length}")
        for name, values, count in (
            ("token", self.tokens, task.vocabulary),
            ("label", self.labels, task.classes),
        ):
            if (most := int(values.max())) >= count:
                raise ValueError(f"{self.split} has {name} {most}, expected 0 to {count - 1}")
        ranks = np.ceil(np.array(_QUANTILES) * len(lengths)).clip(1).astype(int) - 1
        return {
            "examples": len(self),
            "labels": np.bincount(self.labels, minlength=task.classes).tolist(),
            "lengths": {
                f"{100 * share:g}%": value
                for share, value in zip(_QUANTILES, lengths[ranks].tolist(), strict=True)
            },
        }

    def longest(self, indices: np.ndarray) -> int:
        """Return the tokens of the longest document of these examples, as it was packed."""
        rows = self._rows(indices)
        return int((self.offsets[rows + 1] - self.offsets[rows]).max())

    def _rows(self, indices: np.ndarray) -> np.ndarray:
        """Return the numbers of the documents of the examples at `indices`."""
        documents = self.task.documents
        return (np.asarray(indices, np.int64)[:, None] * documents + np.arange(documents)).ravel()

    def batch(self, indices: np.ndarray, length: int) -> Batch:
        """Return the examples at `indices` as one batch, documents cut to `length` or padded with 0.

        The mask is True where a token is not 0; it is None where 0 is no padding.
        """
        documents, rows = self.task.documents, self._rows(indices)
        lengths = np.minimum(self.offsets[rows + 1] - self.offsets[rows], length)
        if self._table is not None and self._table.shape[1] >= length:
            tokens = self._table[rows, :length].astype(np.int64)
        else:
            tokens = np.zeros((len(rows), length), np.int64)
            for row, start, width in zip(tokens, self.offsets[rows].tolist(), lengths.tolist(), strict=True):
                row[:width] = self.tokens[start : start + width]
        shape = (len(indices), documents, length) if documents > 1 else (len(indices), length)
        mask = torch.from_numpy(tokens != 0).view(shape) if self.task.padded else None
        labels = torch.from_numpy(self.labels[indices].astype(np.int64))
        return Batch(torch.from_numpy(tokens).view(shape), mask, labels)


def _facts(folder: Path, task: Task) -> dict[str, Any]:
    return {split: PackedSplit(folder, split, task).facts() for split in SPLITS}


def _counts(manifest: Mapping[str, Any]) -> list[int]:
    return [manifest["splits"][split]["examples"] for split in SPLITS]


def _joined(files: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the sum of the files' sums."""
    return hashlib.sha256("".join(file["sha256"] for file in files.values()).encode()).hexdigest()


def _digest(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
