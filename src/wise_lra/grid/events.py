"""What a grid at work tells its screen: what began, what ended, and the whole of it at one moment."""

from dataclasses import dataclass
from typing import Protocol

from wise_lra.grid.cells import Cell
from wise_lra.grid.progress import Progress
from wise_lra.grid.standing import State
from wise_lra.results.record import Record


@dataclass(frozen=True)
class Ended:
    """A cell that left the grid's hands: done, failed or stopped, after so many seconds on the clock here.

    `status` is the exit status of its process, minus the signal that ended it; None where there was none.
    """

    cell: Cell
    state: State
    seconds: float
    record: Record | None = None
    reason: str = ""
    status: int | None = None


@dataclass(frozen=True)
class Running:
    """A cell in work; `elsewhere` says that a process which is not of this grid trains it."""

    cell: Cell
    progress: Progress
    elapsed: float
    seconds_left: float | None
    elsewhere: bool = False


@dataclass(frozen=True)
class Snapshot:
    """The whole grid at one moment. `done` of `total` counts what was done before too; times in seconds."""

    total: int
    done: int
    failed: int
    queued: int
    running: tuple[Running, ...]
    elapsed: float
    seconds_left: float | None
    stopped: int = 0

    @property
    def share(self) -> float:
        """The part of all cells that is done with, a running one counted by its steps, in [0, 1]."""
        whole = self.done + self.failed + sum(view.progress.share for view in self.running)
        return whole / self.total if self.total else 1.0


class Screen(Protocol):
    """What shows a grid at work."""

    def began(self, cell: Cell) -> None:
        """Say that a cell started."""

    def ended(self, end: Ended, now: Snapshot) -> None:
        """Say how a cell ended."""

    def note(self, text: str) -> None:
        """Say one line."""

    def tick(self, now: Snapshot) -> None:
        """Show the present state; called several times a second."""
