"""The real data of every task: where they may lie, in which forms, and how each is read."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wise_lra.data import image, listops, pathfinder_release, retrieval, text, tfds_directory
from wise_lra.data.download import CIFAR10, IMDB, LRA_RELEASE, Progress, Upstream
from wise_lra.data.task import COUNTS, Example, Task
from wise_lra.registry import TASKS

FORMS = ("release", "tfds", "sample")
"""As upstream publishes them; as TFDS keeps them; a sample of such data. In this order they are preferred."""

SMALL = ("text", "image")
"""Tasks whose archives are small enough to be fetched unasked."""

_READERS = {
    "listops": listops, "text": text, "retrieval": retrieval, "image": image, "pathfinder": pathfinder_release,
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """Real data that lie at a path; name is for people."""

    form: str
    path: Path
    name: str


def upstream(task: Task) -> Upstream:
    """Return the archive that a task's data are published in."""
    return {"text": IMDB, "image": CIFAR10}.get(task.name, LRA_RELEASE)


def expected(task: Task) -> str:
    """Return what `find` looks for."""
    return f"{_READERS[task.name].EXPECTED}, or TFDS' {tfds_directory.name(task)}/"


def find(place: Path, task: Task) -> list[Found]:
    """Return what lies in a folder, or is itself this folder or archive, by its own name or that of a link to it.

    Raises ValueError on a name with control characters, which would reach logs.
    """
    found = _found(place, task) or _found(place.resolve(), task)
    for data in found:
        if not data.name.isprintable():
            raise ValueError(f"{data.path.parent}: {data.name!r} has control characters, rename it")
    return found


def _found(place: Path, task: Task) -> list[Found]:
    if task.name == "pathfinder":
        path = pathfinder_release.find(place, side(task))
    else:
        path = _READERS[task.name].find(place)
    found = []
    if path is not None:
        sampled = task.name == "retrieval" and retrieval.sampled(path)
        found.append(Found("sample" if sampled else "release", path, path.name))
    if (directory := tfds_directory.find(place, task)) is not None:
        found.append(Found("tfds", directory, f"TFDS {tfds_directory.name(task)} {directory.name}"))
    return found


def count(task: Task, form: str, protocol: str) -> int | None:
    """Return how many examples a task's data have, which is not known of a sample."""
    lra = task.name == "text" and protocol == "lra"
    return None if form == "sample" else sum(COUNTS[task.name][lra])


def longest(task: Task) -> int:
    """Return how many tokens a document has at most when it is packed."""
    return max(TASKS[task.name].length, task.length)


def settings(task: Task, protocol: str) -> dict[str, Any]:
    """Return what is not LRA's own way of reading a task's data, and so decides what is packed.

    Raises ValueError where the task is shorter than data that cannot be cut.
    """
    usual = TASKS[task.name].length
    if task.name == "listops" and task.length < usual:
        raise ValueError(
            f"task.length={task.length}: LRA's ListOps has up to {usual:,} tokens, and an expression that is cut "
            "has no value; take data.source=generated with data.generated.max_length"
        )
    chosen: dict[str, Any] = {}
    if task.name == "text" and protocol != "held-out":
        chosen["protocol"] = protocol
    if task.name in ("text", "retrieval") and task.length > usual:
        chosen["limit"] = task.length
    if task.name == "pathfinder" and task.length != usual:
        chosen["size"] = side(task)
    return chosen


def read(
    form: str,
    path: Path,
    task: Task,
    protocol: str,
    rejected: Counter[str] | None = None,
    progress: Progress | None = None,
) -> Iterator[Example]:
    """Yield the examples that lie at a path; what is wrong with them is said as their reader says it."""
    limit = longest(task)
    if form == "tfds":
        return tfds_directory.read(path, task, limit, protocol, rejected, progress)
    if task.name == "text":
        return text.read(path, limit, protocol, rejected, progress)
    if task.name == "retrieval":
        return retrieval.read(path, limit, rejected, progress)
    if task.name == "pathfinder":
        return pathfinder_release.read(path, side(task), rejected, progress)
    return image.read(path, progress) if task.name == "image" else listops.read(path, progress)


def side(task: Task) -> int:
    """Return the side of a task's images, in pixels."""
    return round(task.length**0.5)
