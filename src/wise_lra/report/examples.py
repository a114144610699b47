"""Test examples as people see them, from prepared data: pictures as PNG, documents as text."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from wise_lra.configuration import plain_dict, stored
from wise_lra.data.look import class_names, example, find
from wise_lra.data.packed import PackedSplit
from wise_lra.data.task import Task
from wise_lra.results.record import Record

LONGEST = 700  # characters of a document that are shown


@dataclass(frozen=True)
class Shown:
    """An example: a data: address of its picture, "" for a task of texts, and its documents."""

    picture: str
    documents: tuple[str, ...]


def task_of(record: Record) -> Task:
    """Return the facts of a run's task, as its configuration has them. Raises ValueError where it has none."""
    facts = plain_dict(stored(record.config, record.path(""), "task"))["task"]
    return Task(**{key: value for key, value in facts.items() if key != "_target_"})


def classes_of(record: Record) -> tuple[str, ...]:
    """Return the names of the classes of a run's task."""
    return class_names(task_of(record), record.variant)


class Examples:
    """The test examples of a record's data under `root`. Raises FileNotFoundError where they are not prepared."""

    def __init__(self, record: Record, root: Path) -> None:
        folder = find(root, record.data["sha256"])
        if folder is None:
            raise FileNotFoundError(f"no prepared data with sha256 {record.data['sha256'][:12]}")
        self._split = PackedSplit(folder, "test", task_of(record))

    def __getitem__(self, index: int) -> Shown:
        """Return an example; of what the model reads of a document, the first LONGEST characters.

        Raises IndexError where the data have fewer.
        """
        if index >= len(self._split):
            raise IndexError(f"example {index}: the data have {len(self._split)}")
        found = example(self._split, index)
        if isinstance(found, list):
            return Shown("", tuple(map(_short, found)))
        content = io.BytesIO()
        found.save(content, "PNG", optimize=True)
        return Shown(f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}", ())


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST].rstrip()} …"
