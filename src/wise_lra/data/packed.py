"""The one on-disk format of every task: flat token files that are memory-mapped, and a manifest.

A packed folder holds, for every split, `<split>.tokens.npy` (all documents end to end), `<split>.offsets.npy`
(int64, where each document starts, and the end) and `<split>.labels.npy` (uint8), and `manifest.json`.
"""

import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch

from wise_lra.data.batch import Batch
from wise_lra.data.task import SPLITS, Example, Task

FORMAT = 2
"""Version of the layout and of the manifest; raise it when either changes, and old folders are prepared anew."""

MANIFEST = "manifest.json"
_PARTS = ("tokens", "offsets", "labels")
_QUANTILES = (0.0, 0.1, 0.5, 0.9, 0.95, 1.0)
_BUFFER = 1 << 20  # elements held before they are written


def pack(examples: Iterable[Example], folder: Path, task: Task, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write examples into `folder`, which appears only when it is whole; return its manifest.

    `facts` is taken into the manifest as it stands, read after the last example, so that a reader can still add
    to it (what it rejected, say). One example at a time is held in memory, whatever the size of the data.
    Raises ValueError on an example that the task does not allow, and where a split stays empty.
    """
    start = time.perf_counter()
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        splits = _write(examples, partial, task)
        files = {path.name: _digest(path) for path in sorted(partial.iterdir())}
        manifest = {
            "format": FORMAT,
            "task": task.name,
            **facts,
            "splits": splits,
            "files": files,
            "bytes": sum(file["bytes"] for file in files.values()),
            "sha256": hashlib.sha256("".join(file["sha256"] for file in files.values()).encode()).hexdigest(),
            "seconds": round(time.perf_counter() - start, 2),
        }
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        partial.replace(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a packed folder whose files have the sizes that it states.

    Raises FileNotFoundError where there is none, ValueError where it is of another format or a file differs.
    """
    manifest = json.loads((folder / MANIFEST).read_text())
    if manifest.get("format") != FORMAT:
        raise ValueError(f"{folder}: format {manifest.get('format')}, expected {FORMAT}; prepare it again")
    for name, file in manifest["files"].items():
        path = folder / name
        size = path.stat().st_size if path.exists() else 0
        if size != file["bytes"]:
            raise ValueError(f"{path}: {size} bytes, expected {file['bytes']}; prepare it again")
    return manifest


def verify(folder: Path) -> dict[str, Any]:
    """Hash every file of a packed folder again and return its manifest.

    Raises ValueError naming the first file whose SHA-256 is not the manifest's.
    """
    manifest = read_manifest(folder)
    for name, file in manifest["files"].items():
        found = _digest(folder / name)["sha256"]
        if found != file["sha256"]:
            raise ValueError(f"{folder / name}: sha256 {found}, expected {file['sha256']}; prepare it again")
    return manifest


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


class _Appended:
    """A one-dimensional .npy file that grows; its header is written again with the final count on leaving."""

    def __init__(self, path: Path, dtype: type[np.unsignedinteger] | type[np.int64]) -> None:
        self.dtype, self.count = np.dtype(dtype), 0
        self._held: list[np.ndarray] = []
        self._waiting = 0
        self._file = path.open("wb")
        self._header()

    def _header(self) -> None:
        # NumPy pads a header so that the first axis can grow without moving the data.
        header = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.count,)}
        np.lib.format.write_array_header_1_0(self._file, header)

    def append(self, values: np.ndarray) -> None:
        self._held.append(values.astype(self.dtype))
        self.count += len(values)
        self._waiting += len(values)
        if self._waiting >= _BUFFER:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            self._file.write(np.concatenate(self._held).tobytes())
        self._held, self._waiting = [], 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                self._flush()
                self._file.seek(0)
                self._header()


class _SplitWriter:
    """Appends the examples of one split and counts what its part of the manifest states."""

    def __init__(self, folder: Path, split: str, task: Task) -> None:
        self.task, self.labels_seen, self.lengths_seen = task, Counter[int](), Counter[int]()
        kinds = {
            "tokens": np.uint8 if task.vocabulary <= 256 else np.uint16,
            "offsets": np.int64,
            "labels": np.uint8 if task.classes <= 256 else np.int64,
        }
        self.files = {part: _Appended(folder / f"{split}.{part}.npy", kinds[part]) for part in _PARTS}
        self.files["offsets"].append(np.zeros(1, np.int64))

    def append(self, example: Example) -> None:
        """Write one example. Raises ValueError if the task does not allow it."""
        _, documents, label = example
        if len(documents) != self.task.documents:
            raise ValueError(f"{self.task.name}: {len(documents)} documents, expected {self.task.documents}")
        if not 0 <= label < self.task.classes:
            raise ValueError(f"{self.task.name}: label {label}, expected 0 to {self.task.classes - 1}")
        for document in documents:
            if not len(document):
                raise ValueError(f"{self.task.name}: an empty document, expected at least one token")
            if (high := int(document.max())) >= self.task.vocabulary:
                raise ValueError(f"{self.task.name}: token {high}, expected below {self.task.vocabulary}")
            self.files["tokens"].append(document)
            self.files["offsets"].append(np.array([self.files["tokens"].count]))
            self.lengths_seen[len(document)] += 1
        self.files["labels"].append(np.array([label]))
        self.labels_seen[int(label)] += 1

    def facts(self) -> dict[str, Any]:
        """Return count, labels (examples of every class) and lengths (tokens a document, by quantile)."""
        values = np.array(sorted(self.lengths_seen))
        below = np.cumsum([self.lengths_seen[value] for value in values.tolist()])
        ranks = np.ceil(np.array(_QUANTILES) * below[-1]).clip(1)
        lengths = values[np.searchsorted(below, ranks)].tolist()
        return {
            "examples": self.files["labels"].count,
            "labels": [self.labels_seen[label] for label in range(self.task.classes)],
            "lengths": {f"{100 * share:g}%": value for share, value in zip(_QUANTILES, lengths, strict=True)},
        }


def _write(examples: Iterable[Example], folder: Path, task: Task) -> dict[str, Any]:
    """Write the token, offset and label files of all splits; return the facts of each."""
    with ExitStack() as files:
        writers = {split: _SplitWriter(folder, split, task) for split in SPLITS}
        for writer in writers.values():
            for file in writer.files.values():
                files.enter_context(file)
        for example in examples:
            writers[example.split].append(example)
    if empty := [split for split in SPLITS if not writers[split].files["labels"].count]:
        raise ValueError(f"{task.name}: no examples for {', '.join(empty)}; every split needs at least one")
    return {split: writer.facts() for split, writer in writers.items()}


def _digest(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
