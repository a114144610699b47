"""What a terminal shows of a sweep at work: a bar for each running cell; lines where there is no terminal."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from wise_lra.results.lines import per_cent
from wise_lra.runs.estimate import clock
from wise_lra.runs.status import STYLES, RunStatus, Status

HEARTBEAT = 60.0  # seconds without a line where there is no terminal


@dataclass(frozen=True)
class Snapshot:
    """A sweep at one moment: running cells and their seconds left, the count of each status, times in seconds."""

    running: Sequence[tuple[RunStatus, float | None]]
    counts: Mapping[Status, int]
    total: int
    elapsed: float
    seconds_left: float | None

    @property
    def share(self) -> float:
        """The part of the cells that has ended, running ones counted by their steps, in [0, 1]."""
        ended = sum(self.counts.values()) + sum(row.progress.share for row, _ in self.running)
        return ended / max(1, self.total)

    def text(self) -> str:
        """Return "3 of 20 done, 1 failed, 2 running, 14 waiting, 12:05 so far, 25:00 left"."""
        ended = [f"{n} {status}" for status, n in self.counts.items() if n and status != Status.DONE]
        waiting = self.total - sum(self.counts.values()) - len(self.running)
        busy = [f"{n} {what}" for n, what in ((len(self.running), "running"), (waiting, "waiting")) if n]
        left = [f"{clock(self.seconds_left)} left"] if self.seconds_left is not None and busy else []
        done = f"{self.counts.get(Status.DONE, 0)} of {self.total} done"
        return ", ".join([done, *ended, *busy, f"{clock(self.elapsed)} so far", *left])


class Display:
    """Shows a sweep on a console. It has no thread: `show` is to be called several times a second."""

    def __init__(self, console: Console | None = None, heartbeat: float = HEARTBEAT) -> None:
        self.console = console or Console(file=sys.stdout)
        self.live = self.console.is_terminal and not self.console.is_dumb_terminal
        self.heartbeat, self._last = heartbeat, time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(24), TextColumn("{task.fields[text]}"))
        self._bars = Progress(*columns, console=self.console, auto_refresh=False, transient=True)
        self._ids = {"": self._bars.add_task("all", total=1.0, text="")}

    def __enter__(self) -> Self:
        if self.live:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self._bars.stop()

    def note(self, text: str | Text) -> None:
        """Print one line, above the bars."""
        self.console.print(text, soft_wrap=True, highlight=False)
        self._last = time.monotonic()

    def started(self, name: str) -> None:
        """Print that a cell starts; on a terminal its bar shows it."""
        if not self.live:
            self.note(Text(f"start   {name}"))

    def ended(self, row: RunStatus, seconds: float, now: Snapshot) -> None:
        """Print how a cell ended."""
        text = row.reason or "its checkpoint is kept"
        if row.status == Status.DONE:
            accuracy = (
                f"test accuracy {per_cent(row.record.metrics['test_accuracy'])} %, " if row.record else ""
            )
            text = f"{accuracy}{seconds:.0f} s"
        line = Text.assemble((f"{row.status:<7}", STYLES[row.status]), f" {row.key}: {text}")
        self.note(line if self.live else line.append(f"; {now.text()}"))

    def show(self, now: Snapshot) -> None:
        """Draw the bars again; without a terminal print a line when nothing was printed for `heartbeat` seconds."""
        if self.live:
            self._draw(now)
        elif time.monotonic() - self._last >= self.heartbeat:
            names = [f"{row.key} {100 * row.progress.share:.0f} %" for row, _ in now.running]
            self.note(Text(f"running {', '.join(names) or 'nothing'}; {now.text()}"))

    def _draw(self, now: Snapshot) -> None:
        names = {str(row.key) for row, _ in now.running}
        for name in [name for name in self._ids if name and name not in names]:
            self._bars.remove_task(self._ids.pop(name))
        for row, left in now.running:
            name, progress = str(row.key), row.progress
            if name not in self._ids:
                self._ids[name] = self._bars.add_task(name, total=1.0, text="")
            parts = ["starting" if not progress.steps else f"{100 * progress.share:.0f} %"]
            parts += [progress.phase] * (progress.phase in ("validation", "test"))
            parts += [f"loss {progress.loss:.3f}"] if progress.loss is not None else []
            parts += [f"val {100 * progress.accuracy:.1f} %"] if progress.accuracy is not None else []
            parts += [f"{clock(left)} left"] if left is not None else []
            self._bars.update(self._ids[name], completed=progress.share, text=" · ".join(parts))
        self._bars.update(self._ids[""], completed=now.share, text=now.text())
        self._bars.refresh()
