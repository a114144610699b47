"""What a task is, and what one example and one batch of it are: facts that everything else is built from."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from wise_lra.registry import TASKS

if TYPE_CHECKING:  # torch takes seconds to import, and facts of a task need none of it
    from torch import Tensor

SPLITS = ("train", "validation", "test")
_REASONS = 5  # for examples left out that are told; the others are in the manifest


def module(name: str) -> Any:
    """Return a module of `wise_lra.data` that the registry names: a reader, a generator or a stand-in."""
    return import_module(f"wise_lra.data.{name}")


def reader(task: str) -> Any:
    """Return the module that reads the published files of a task; its generator where none are published."""
    return module(TASKS[task].reader or TASKS[task].generator)


def complete(task: str, counts: Sequence[int]) -> bool:
    """Tell whether so many examples of each split are LRA's own data, not a sample of them or other data."""
    known = TASKS.get(task)
    return known is not None and any(
        all(abs(count - own) <= known.slack * own for count, own in zip(counts, published, strict=True))
        for published in known.counts
    )


@dataclass(frozen=True)
class Task:
    """Facts of a task; a model is built from these, never from the data.

    vocabulary counts token ids, padding included; length is that of one document, in tokens, padding included.
    padded tells whether id 0 is padding, and masked. In images 0 is a black pixel, which LRA's code masks too.
    Source: reference of the benchmark, "Tasks" (Tay et al., arXiv 2011.04006, section 2).
    """

    name: str
    vocabulary: int
    length: int
    classes: int
    documents: int = 1
    padded: bool = True

    def __post_init__(self) -> None:
        """Refuse facts that no model can be built from."""
        for field in ("vocabulary", "length", "classes"):
            if getattr(self, field) < 1:
                raise ValueError(f"task.{field}={getattr(self, field)}: expected a positive integer")
        if self.documents not in (1, 2):
            raise ValueError(f"task.documents={self.documents}: expected 1, or 2 for a pair")

    @property
    def pictures(self) -> bool:
        """Tell whether a document is the pixels of an image, neither cut nor padded to the task's length."""
        return self.name in TASKS and TASKS[self.name].unit == "pixels"

    @property
    def side(self) -> int:
        """Side of the images, in pixels."""
        return round(self.length**0.5)


Documents = tuple[np.ndarray, ...]
"""Token ids, uint8 or uint16 (length,), unpadded, of each document of an example."""


class Example(NamedTuple):
    """One example before packing: its split, documents and class."""

    split: str
    documents: Documents
    label: int


class Directory(Protocol):
    """A data set of TFDS' users: where it lies, and the rows of a split and how many they are."""

    path: Path

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of a split: texts and images as bytes."""

    def count(self, split: str) -> int:
        """Return the number of rows of a split."""


class Batch(NamedTuple):
    """What the data module yields and the training step consumes.

    tokens: int64 (batch, length), or (batch, 2, length) for pairs; mask: bool of that shape, True = real token, or
    None where nothing is padded; labels: int64 (batch,).
    """

    tokens: "Tensor"
    mask: "Tensor | None"
    labels: "Tensor"


class Unfit(ValueError):
    """Examples that the task does not allow, or that are too few."""


def checked(
    examples: Iterable[Example], task: Task, rejected: Mapping[str, int] | None = None
) -> Iterator[Example]:
    """Yield examples. Raises Unfit on one that the task does not allow, and at the end if a split has none."""
    seen = dict.fromkeys(SPLITS, 0)
    for example in examples:
        split, documents, label = example
        seen[split] += 1
        where = f"{task.name}: example {seen[split]} of {split} has"
        if len(documents) != task.documents:
            raise Unfit(f"{where} {len(documents)} documents, expected {task.documents}")
        if not 0 <= label < task.classes:
            raise Unfit(f"{where} label {label}, expected 0 to {task.classes - 1}")
        for document in documents:
            if not len(document):
                raise Unfit(f"{where} an empty document, expected at least one token")
            for token in (int(document.min()), int(document.max())):
                if not 0 <= token < task.vocabulary:
                    raise Unfit(f"{where} token {token}, expected below {task.vocabulary}")
        yield example
    if empty := [split for split in SPLITS if not seen[split]]:
        why = f"; {told}" if (told := left_out(rejected or {})) else ""
        raise Unfit(f"{task.name}: no examples for {', '.join(empty)}; every split needs at least one{why}")


def left_out(rejected: Mapping[str, int]) -> str:
    """Return how many lines or files were left out, and why, for people; "" where none were."""
    reasons = [
        f"{count} {reason if reason.isprintable() else ascii(reason)}" for reason, count in rejected.items()
    ]
    more = [f"and {len(reasons) - _REASONS} reasons more"] if len(reasons) > _REASONS else []
    return f"{sum(rejected.values())} left out: {', '.join(reasons[:_REASONS] + more)}" if rejected else ""
