"""How long runs take, from the seconds of finished ones."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from wise_lra.runs.key import RunKey


def duration(key: RunKey, known: Mapping[RunKey, float]) -> float | None:
    """Return the seconds of a whole run, None if nothing is known.

    The run itself if it is in `known`, else the mean of its other seeds, else of its task, else of all.
    """
    if key in known:
        return known[key]
    seeds = [s for other, s in known.items() if (other.model, other.variant) == (key.model, key.variant)]
    task = [s for other, s in known.items() if (other.task, other.variant) == (key.task, key.variant)]
    near = seeds or task or list(known.values())
    return fmean(near) if near else None


def makespan(running: Sequence[float], queued: Iterable[float], slots: int) -> float:
    """Return the seconds until all is done: each queued run, in order, takes the slot that is free first.

    `running` are the seconds left of the runs that hold a slot each, `queued` the durations of the others.
    """
    free = [*running, *[0.0] * (slots - len(running))]
    heapq.heapify(free)
    for seconds in queued:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free, default=0.0)


def clock(seconds: float | None) -> str:
    """Return 65 as "1:05", 3725 as "1:02:05", None as "?"."""
    if seconds is None:
        return "?"
    minutes, second = divmod(round(max(seconds, 0.0)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
