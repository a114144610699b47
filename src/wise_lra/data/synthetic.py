"""Data that the project makes itself: ListOps and Pathfinder by LRA's definition, stand-ins for the other tasks."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wise_lra.data import listops, pathfinder, synthetic_image, synthetic_retrieval, synthetic_text
from wise_lra.data.download import Progress
from wise_lra.data.task import SPLITS, Example, Task

GENERATORS: dict[str, Any] = {"listops": listops, "pathfinder": pathfinder}
STANDINS: dict[str, Any] = {
    "text": synthetic_text, "retrieval": synthetic_retrieval, "image": synthetic_image,
}  # fmt: skip
_MAKERS = GENERATORS | STANDINS
_CONTOURS = {6: "easy", 9: "intermediate", 14: ""}


def settings(task: Task, asked: Mapping[str, Any], seed: int) -> dict[str, int]:
    """Return all that decides what is made: the defaults, what was asked for, the seed and the maker's version.

    Raises ValueError naming the key where a setting is unknown, not an integer, or does not fit the task's length.
    """
    node = "data.generated" if task.name in GENERATORS else "data.standin"
    defaults = _MAKERS[task.name].DEFAULTS
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
    if task.name in ("text", "retrieval") and not 200 <= chosen["min_length"] <= chosen["max_length"]:
        lengths = f"min_length={chosen['min_length']}, max_length={chosen['max_length']}"
        raise ValueError(f"{node}: {lengths}: expected 200 <= min_length <= max_length")
    most = len(synthetic_retrieval.SUBJECTS)
    if task.name == "retrieval" and not 2 <= chosen["subjects"] <= most:
        raise ValueError(f"{node}.subjects={chosen['subjects']}: expected 2 to {most}")
    if task.name == "pathfinder":
        if task.length not in (known := [size**2 for size in pathfinder.SIZES]):
            raise ValueError(
                f"task.length={task.length}: expected one of {', '.join(map(str, known))} pixels"
            )
        if chosen["size"] ** 2 != task.length:
            raise ValueError(
                f"{node}.size={chosen['size']}: expected the root of task.length={task.length}, or leave it out"
            )
    return chosen | {"seed": seed, "version": _MAKERS[task.name].VERSION}


def variant(task: str, chosen: Mapping[str, int]) -> str:
    """Return what tells these data from LRA's: "" for its own definition, else "short", "easy", "stand-in"."""
    if task in STANDINS:
        return "stand-in"
    usual = {key: value for key, value in _MAKERS[task].DEFAULTS.items() if key not in SPLITS}
    if all(chosen[key] == value for key, value in usual.items()):
        return ""
    if task == "listops":
        return "short"
    size = "" if chosen["size"] == usual["size"] else str(chosen["size"])
    contour = _CONTOURS.get(chosen["contour_length"], f"contour{chosen['contour_length']}")
    return "-".join(filter(None, (size, contour)))


def examples(task: str, chosen: Mapping[str, int], parts: Path, progress: Progress) -> Iterator[Example]:
    """Yield the examples that these settings describe; what takes long saves parts in the folder `parts`.

    Example k of a stand-in depends on k and the settings but for the counts alone.
    """
    options: dict[str, Any] = {key: value for key, value in chosen.items() if key != "version"}
    if task in GENERATORS:
        more: dict[str, Any] = {"parts": parts, "progress": progress} if task == "pathfinder" else {}
        yield from GENERATORS[task].examples(**options, **more)
        return
    splits = np.repeat(SPLITS, [options.pop(split) for split in SPLITS]).tolist()
    for index, split in enumerate(splits):
        yield Example(split, *STANDINS[task].example(index, **options))
