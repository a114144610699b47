"""A grid at work on a terminal: finished cells scroll by, below them a line a running cell and the total."""

from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live as Area
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from wise_lra.grid.cells import Cell
from wise_lra.grid.estimate import clock
from wise_lra.grid.events import Ended, Running, Snapshot
from wise_lra.grid.plain import outcome
from wise_lra.grid.standing import State

MARKS = {State.DONE: ("✓", "green"), State.FAILED: ("✗", "red"), State.STOPPED: ("■", "yellow")}
SPARE = 6  # lines of a terminal that are not for running cells
WIDE = 100  # columns from which on loss and accuracy have room


class Live:
    """Redraws the running cells in place; refreshed by the grid's own loop, so that no thread is at work."""

    def __init__(self, console: Console, title: str = "") -> None:
        self.console, self.title = console, title
        self._area = Area(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._area.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._area.stop()

    def began(self, cell: Cell) -> None:
        """A cell that starts appears in the picture by itself."""

    def ended(self, end: Ended, now: Snapshot) -> None:
        """Print how a cell ended, above the picture, where it stays."""
        mark, colour = MARKS[end.state]
        line = Text.assemble((f"{mark} ", colour), f"{end.cell.name}  ")
        line.append(outcome(end), "default" if end.state == State.DONE else colour)
        self.console.print(line, soft_wrap=True)

    def note(self, text: str) -> None:
        """Print one line above the picture."""
        self.console.print(Text(text, "dim"), soft_wrap=True)

    def tick(self, now: Snapshot) -> None:
        """Draw the picture anew."""
        self._area.update(self.drawn(now), refresh=True)

    def drawn(self, now: Snapshot) -> RenderableType:
        """Return the picture: what runs, and under a rule the whole."""
        wide = self.console.width >= WIDE
        room = max(self.console.height - SPARE, 1)
        rows = Table.grid(padding=(0, 2), expand=not wide)
        rows.add_column(no_wrap=True, overflow="ellipsis", ratio=None if wide else 1)
        rows.add_column(width=24 if wide else 12)
        rows.add_column(justify="right", no_wrap=True)
        for _ in range(2 * wide):
            rows.add_column(no_wrap=True)
        rows.add_column(justify="right", no_wrap=True)
        for view in now.running[:room]:
            rows.add_row(*_row(view, wide))
        more = len(now.running) - room
        hidden = [Text(f"and {more} more", "dim")] if more > 0 else []
        return Group(
            Rule(Text(self.title, "dim"), style="dim", align="left"), rows, *hidden, self._total(now)
        )

    def _total(self, now: Snapshot) -> RenderableType:
        counts = Text.assemble(
            (f"{now.done} of {now.total} done", "bold"),
            f" · {len(now.running)} running · ",
            (f"{now.failed} failed", "red" if now.failed else ""),
            (f" · {now.stopped} stopped" if now.stopped else "", "yellow"),
            f" · {now.queued} waiting",
        )
        times = Text(f"{clock(now.elapsed)} so far · ")
        times.append(
            "time left not known yet" if now.seconds_left is None else f"{clock(now.seconds_left)} left"
        )
        if self.console.width < WIDE:
            return Group(counts, times)
        line = Table.grid(expand=True, padding=(0, 2))
        line.add_column(no_wrap=True)
        line.add_column(ratio=1)
        line.add_column(justify="right", no_wrap=True)
        bar = ProgressBar(total=1.0, completed=now.share, complete_style="green", finished_style="green")
        line.add_row(counts, bar, times)
        return line


def _row(view: Running, wide: bool) -> list[RenderableType]:
    progress = view.progress
    bar = ProgressBar(total=1.0, completed=progress.share, complete_style="cyan", finished_style="cyan")
    done: str = f"{100 * progress.share:.0f} %" if progress.phase in ("train", "start") else progress.phase
    if progress.phase == "start" and not progress.steps:
        done = "starting"
    numbers = [
        "" if progress.loss is None else f"loss {progress.loss:.3f}",
        "" if progress.accuracy is None else f"val {100 * progress.accuracy:.1f} %",
    ]
    left = "" if view.seconds_left is None else f"{clock(view.seconds_left)} left"
    name = Text(view.cell.name)
    if view.elsewhere:
        name.append(" (another process)", "dim")
    return [name, bar, done, *(numbers if wide else []), Text(left, "dim")]
