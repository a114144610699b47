"""How long the rest of a grid takes, from what is finished and from what the running cells say."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from wise_lra.grid.cells import Cell


def duration(cell: Cell, known: Mapping[Cell, float]) -> float | None:
    """Return the seconds that `cell` takes as a whole, None if nothing is known.

    The mean of the nearest kin among `known`: the cell itself, else its other seeds, else its task, else all.
    """
    if cell in known:
        return known[cell]
    seeds = [s for other, s in known.items() if _model(other) == _model(cell)]
    task = [s for other, s in known.items() if (other.task, other.variant) == (cell.task, cell.variant)]
    kin = seeds or task or list(known.values())
    return fmean(kin) if kin else None


def makespan(running: Sequence[float], queued: Iterable[float], slots: int) -> float:
    """Return the seconds until all is done: each queued cell, in order, takes the place that is free first.

    `running` are the seconds left of the cells that hold a place each; `queued` the whole durations.
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


def _model(cell: Cell) -> tuple[str, str, str, str]:
    return cell.task, cell.variant, cell.backbone, cell.attention
