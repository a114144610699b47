"""What a terminal shows of running jobs: the table of runs, live; lines where there is no terminal."""

import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from wise_lra.results.text import per_cent
from wise_lra.runs.status import STYLES, RunStatus, Status, lines


class Display:
    """Shows jobs on a console. It has no thread: `show` is to be called several times a second.

    Args:
        console: where to; by default standard output.
        heartbeat: seconds without a line where there is no terminal.
    """

    def __init__(self, console: Console | None = None, heartbeat: float = 60.0) -> None:
        self.console = console or Console(file=sys.stdout)
        terminal = self.console.is_terminal and not self.console.is_dumb_terminal
        self.live = Live(console=self.console, auto_refresh=False, transient=True) if terminal else None
        self.heartbeat, self._last = heartbeat, time.monotonic()

    def opened(self) -> AbstractContextManager[object]:
        """Return the context in which a terminal shows the table."""
        return self.live or nullcontext()

    def note(self, text: str | Text) -> None:
        """Print one line, above the table."""
        self.console.print(text, soft_wrap=True, highlight=False)
        self._last = time.monotonic()

    def started(self, name: str) -> None:
        """Print that a job starts; on a terminal the table shows it."""
        if not self.live:
            self.note(Text(f"start   {name}"))

    def ended(self, row: RunStatus, seconds: float, counts: str) -> None:
        """Print how a job ended, after so many seconds; `counts` tells of the others."""
        text = row.reason or "its checkpoint is kept"
        if row.status == Status.DONE:
            test = f"test accuracy {per_cent(row.record.metrics['test_accuracy'])} %, " if row.record else ""
            text = f"{test}{seconds:.0f} s"
        line = Text.assemble((f"{row.status:<7}", STYLES[row.status]), f" {row.key}: {text}")
        self.note(line if self.live else line.append(f"; {counts}"))

    def show(self, running: Sequence[RunStatus], counts: str) -> None:
        """Draw the table again; without a terminal print a line when none was for `heartbeat` seconds."""
        if self.live:
            self.live.update(Group(lines(running), Text(counts)), refresh=True)
        elif time.monotonic() - self._last >= self.heartbeat:
            names = [f"{row.key} {100 * row.progress.share:.0f} %" for row in running]
            self.note(Text(f"running {', '.join(names) or 'nothing'}; {counts}"))
