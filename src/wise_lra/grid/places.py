"""What a machine has to give: which preset it is fit for, and how many cells it runs at a time."""

import os
from collections.abc import Sequence


def preset_for(wish: str, gpus: Sequence[str]) -> tuple[str, str]:
    """Return the preset, and why: the one wished for, else `paper` where a GPU is, `quick` elsewhere."""
    if wish:
        return wish, "as asked"
    if gpus:
        count = "a CUDA device is" if len(gpus) == 1 else f"{len(gpus)} CUDA devices are"
        return "paper", f"{count} visible here (preset=quick takes minutes; say PRESET=quick for it)"
    return "quick", "no CUDA device is visible here (preset=paper needs one; say PRESET=paper to insist)"


def places(gpus: Sequence[str], jobs: int | None, cores: int | None = None) -> list[dict[str, str]]:
    """Return the environment of each place for a cell: a GPU each, or a core each; `jobs` is how many, if given."""
    if gpus:
        return [{"CUDA_VISIBLE_DEVICES": gpus[place % len(gpus)]} for place in range(jobs or len(gpus))]
    return [{} for _ in range(jobs or cores or _cores())]


def jobs(text: str) -> int | None:
    """Return the number that JOBS says, None if it says nothing; ValueError if it is not one."""
    if not text.strip():
        return None
    if not text.strip().isdecimal() or not 1 <= int(text) <= 10_000:
        raise ValueError(f"jobs={text!r}: expected how many cells to run at a time, 1 or more")
    return int(text)


def _cores() -> int:
    """Return the cores that this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
