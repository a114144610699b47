"""Preparing few examples of each task in a folder of the test's own, and damaging what came out."""

import os
from pathlib import Path

from upstream import TASKS

from wise_lra.data.prepare import Prepared, prepare

FEW = {"train": 30, "validation": 10, "test": 10}
MADE = {
    "listops": {"generated": FEW | {"min_length": 10, "max_length": 100}},
    "text": {"standin": FEW},
    "retrieval": {"standin": FEW},
    "image": {"standin": FEW},
    "pathfinder": {"generated": FEW | {"contour_length": 6}},
}
"""Of each task, what makes its own data few."""


def prepared(task: str, root: Path, **options) -> Prepared:
    return prepare(TASKS[task], root=root, **(MADE[task] | options))


def counts(made: Prepared) -> list[int]:
    return [facts["examples"] for facts in made.manifest["splits"].values()]


def folders(root: Path, task: str) -> list[Path]:
    """Return the packed folders of a task, and what is left of such."""
    return [path for path in (root / task).iterdir() if path.is_dir()] if (root / task).exists() else []


def flipped(path: Path) -> None:
    """Turn one bit of a file over and leave the times as they were."""
    times, whole = path.stat(), bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
