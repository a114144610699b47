"""A grid at work where there is no terminal: a line when a cell starts, one when it ends, one a minute between."""

import sys
import time
from types import TracebackType
from typing import Self

from wise_lra.grid.cells import Cell
from wise_lra.grid.estimate import clock
from wise_lra.grid.events import Ended, Snapshot
from wise_lra.grid.standing import State

HEARTBEAT = 60.0  # seconds without a line


class Plain:
    """Prints lines to standard output, each at once, so that a log that is followed is never behind."""

    def __init__(self, heartbeat: float = HEARTBEAT) -> None:
        self.heartbeat, self._last = heartbeat, time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.stdout.flush()

    def began(self, cell: Cell) -> None:
        """Say that a cell started."""
        self.note(f"start   {cell.name}")

    def ended(self, end: Ended, now: Snapshot) -> None:
        """Say how a cell ended, and how far the grid is."""
        self.note(f"{end.state:<7} {end.cell.name}: {outcome(end)}; {totals(now)}")

    def note(self, text: str) -> None:
        """Say one line."""
        print(text, flush=True)
        self._last = time.monotonic()

    def tick(self, now: Snapshot) -> None:
        """Say once a minute what is running, if nothing else was said."""
        if time.monotonic() - self._last >= self.heartbeat:
            views = [f"{view.cell.name} {100 * view.progress.share:.0f} %" for view in now.running]
            self.note(f"running {', '.join(views) or 'nothing'}; {totals(now)}")


def outcome(end: Ended) -> str:
    """Return what came of a cell: its test accuracy and seconds, or why there is none."""
    if end.state == State.DONE and end.record:
        seconds = f", {end.seconds:.0f} s" if end.seconds else ", trained elsewhere"
        return f"test accuracy {100 * end.record.metrics['test_accuracy']:.2f} %{seconds}"
    return end.reason or "its checkpoint is kept"


def totals(now: Snapshot) -> str:
    """Return how far the grid is: "3 of 20 done, 1 failed, about 25:00 left"."""
    counts = {"failed": now.failed, "stopped": now.stopped}
    others = "".join(f", {count} {state}" for state, count in counts.items() if count)
    known = now.seconds_left is not None and (now.running or now.queued)
    left = f", about {clock(now.seconds_left)} left" if known else ""
    return f"{now.done} of {now.total} done{others}{left}"
