"""Data that the project makes itself: ListOps and Pathfinder by LRA's definition, stand-ins for the other tasks."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from wise_lra.data import listops, pathfinder, synthetic_image, synthetic_retrieval, synthetic_text
from wise_lra.data.download import Progress
from wise_lra.data.task import SPLITS, Example, Task

GENERATED: dict[str, dict[str, int]] = {
    "listops": {
        "train": 96_000, "validation": 2_000, "test": 2_000,
        "min_length": 500, "max_length": 2_000, "max_depth": 10, "max_args": 10,
    },
    "pathfinder": {
        "train": 160_000, "validation": 20_000, "test": 20_000, "size": 32, "contour_length": 14,
    },
}  # fmt: skip
"""LRA's settings of the two generators."""

TASKS = ("listops", "text", "retrieval", "image", "pathfinder")

_STANDINS = {"text": synthetic_text, "retrieval": synthetic_retrieval, "image": synthetic_image}
_VERSIONS = {"listops": 1, "pathfinder": 1} | {task: module.VERSION for task, module in _STANDINS.items()}
_CONTOURS = {6: "easy", 9: "intermediate", 14: ""}


def kind(task: str) -> str:
    """Return "generated" for the tasks that have a definition to generate by, else "standin"."""
    return "generated" if task in GENERATED else "standin"


def settings(task: Task, asked: Mapping[str, Any], seed: int) -> dict[str, int]:
    """Return all that decides what is made: the defaults, what was asked for, the seed and the maker's version.

    Raises ValueError naming the key where a setting is unknown, not an integer, or does not fit the task's length.
    """
    node = f"data.{kind(task.name)}"
    defaults = GENERATED[task.name] if task.name in GENERATED else _STANDINS[task.name].DEFAULTS
    for key, value in asked.items():
        if key not in defaults:
            raise ValueError(
                f"{node}.{key}={value!r}: unknown for {task.name}, expected {', '.join(defaults)}"
            )
        least = 1 if key in SPLITS else 0
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{node}.{key}={value!r}: expected an integer of at least {least}")
    if seed < 0:
        raise ValueError(f"data.seed={seed}: expected 0 or more")
    derived = {"size": round(task.length**0.5)} if task.name == "pathfinder" else {}
    chosen = {**defaults, **derived, **asked}
    if task.name == "listops" and chosen["max_length"] > task.length:
        raise ValueError(
            f"{node}.max_length={chosen['max_length']}: expected at most task.length={task.length}, "
            "for an expression that is cut has no value"
        )
    if task.name == "pathfinder":
        if task.length not in (known := [size**2 for size in pathfinder.SIZES]):
            raise ValueError(
                f"task.length={task.length}: expected one of {', '.join(map(str, known))} pixels"
            )
        if chosen["size"] ** 2 != task.length:
            raise ValueError(
                f"{node}.size={chosen['size']}: expected the root of task.length={task.length}, or leave it out"
            )
    return chosen | {"seed": seed, "version": _VERSIONS[task.name]}


def variant(task: str, chosen: Mapping[str, int]) -> str:
    """Return what tells these data from LRA's: "" for its own definition, else "short", "easy", "stand-in"."""
    if task in _STANDINS:
        return "stand-in"
    counts = dict.fromkeys(SPLITS)
    usual = {key: value for key, value in GENERATED[task].items() if key not in counts}
    if all(chosen[key] == value for key, value in usual.items()):
        return ""
    if task == "listops":
        return "short"
    size = "" if chosen["size"] == usual["size"] else str(chosen["size"])
    contour = _CONTOURS.get(chosen["contour_length"], f"contour{chosen['contour_length']}")
    return "-".join(filter(None, (size, contour)))


def make(task: str, chosen: Mapping[str, int], parts: Path, progress: Progress | None) -> Iterable[Example]:
    """Yield the examples that these settings describe; what takes long keeps parts in the folder `parts`."""
    options = {key: value for key, value in chosen.items() if key != "version"}
    if task in _STANDINS:
        return _STANDINS[task].examples(**options)
    counts = {split: options.pop(split) for split in SPLITS}
    if task == "listops":
        return listops.generated(counts, **options)
    report = partial(progress, "drawing pathfinder") if progress is not None else None
    return pathfinder.generated(counts, **options, parts=parts, progress=report)
