"""What a terminal shows of running jobs: the table of runs, live; lines where there is no terminal."""

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from wise_lra.results.text import per_cent
from wise_lra.runs.estimate import clock, duration, makespan
from wise_lra.runs.job import Job
from wise_lra.runs.key import RunKey, on_disk
from wise_lra.runs.status import STYLES, Progress, RunStatus, Status, complete_record, lines


class Display:
    """Shows jobs on a console. It has no thread: `show` is to be called several times a second.

    Args:
        jobs: all that will run, in their order.
        slots: how many run at a time.
        console: where to; by default standard output.
        heartbeat: seconds without a line where there is no terminal.
    """

    def __init__(
        self, jobs: Sequence[Job], slots: int, console: Console | None = None, heartbeat: float = 60.0
    ) -> None:
        self.waiting, self.slots, self.began = list(jobs), slots, time.monotonic()
        self.running: dict[Job, float] = {}  # when each started
        self.counts: Counter[Status] = Counter()  # of those that have ended
        self.seconds: dict[RunKey, float] = {}  # that runs of these presets took
        for records, preset in {(job.records, job.key.preset) for job in jobs}:
            for key in on_disk(preset, records, records):
                with contextlib.suppress(ValueError):
                    if record := complete_record(key, records):
                        self.seconds[key] = record.seconds["total"]
        self.console = console or Console(file=sys.stdout)
        terminal = self.console.is_terminal and not self.console.is_dumb_terminal
        self.live = Live(console=self.console, auto_refresh=False, transient=True) if terminal else None
        self.heartbeat, self._last = heartbeat, time.monotonic()

    def opened(self) -> contextlib.AbstractContextManager[object]:
        """Return the context in which a terminal shows the table."""
        return self.live or contextlib.nullcontext()

    def note(self, text: str | Text) -> None:
        """Print one line, above the table."""
        self.console.print(text, soft_wrap=True, highlight=False)
        self._last = time.monotonic()

    def started(self, job: Job) -> None:
        """Count a job as running; without a terminal print that it starts."""
        self.waiting.remove(job)
        self.running[job] = time.monotonic()
        if not self.live:
            self.note(Text(f"start   {job.key}"))

    def ended(self, job: Job, row: RunStatus) -> None:
        """Count a job that has ended, and print how; one that could not start has not been running."""
        now = time.monotonic()
        if job in self.waiting:
            self.waiting.remove(job)
        seconds = now - self.running.pop(job, now)
        self.counts[row.status] += 1
        text = row.reason or "its checkpoint is kept"
        if row.status == Status.DONE:
            test = f"test accuracy {per_cent(row.record.metrics['test_accuracy'])} %, " if row.record else ""
            text = f"{test}{seconds:.0f} s"
        if row.record:
            self.seconds[job.key] = row.record.seconds["total"]
        line = Text.assemble((f"{row.status:<7}", STYLES[row.status]), f" {row.key}: {text}")
        self.note(line if self.live else line.append(f"; {self.state()[1]}"))

    def show(self) -> None:
        """Draw the table again; without a terminal print a line when none was for `heartbeat` seconds."""
        if self.live:
            rows, counts = self.state()
            self.live.update(Group(lines(rows), Text(counts)), refresh=True)
        elif time.monotonic() - self._last >= self.heartbeat:
            rows, counts = self.state()
            names = [f"{row.key} {100 * row.progress.share:.0f} %" for row in rows]
            self.note(Text(f"running {', '.join(names) or 'nothing'}; {counts}"))

    def state(self) -> tuple[list[RunStatus], str]:
        """Return the rows of running jobs, with the seconds left of each, and the counts of all in a line.

        The line is like "3 of 20 done, 1 failed, 2 running, 14 waiting, 12:05 so far, 25:00 left".
        """
        rows, known = [], dict(self.seconds)
        for job, began in self.running.items():
            progress = Progress.read(job.folder)
            elapsed = progress.seconds or time.monotonic() - began
            if progress.seconds_left is None and (whole := duration(job.key, known)) is not None:
                progress = replace(progress, seconds_left=max(whole - elapsed, 0.0))
            if progress.seconds_left is not None:
                known[job.key] = elapsed + progress.seconds_left
            rows.append(RunStatus(job.key, Status.RUNNING, progress=progress))
        total = self.counts.total() + len(rows) + len(self.waiting)
        counts = [(status, n) for status, n in self.counts.items() if status != Status.DONE]
        counts += [(Status.RUNNING, len(rows))]
        parts = [f"{self.counts[Status.DONE]} of {total} done"]
        parts += [f"{number} {status}" for status, number in counts if number]
        parts += [f"{len(self.waiting)} waiting"] if self.waiting else []
        parts += [f"{clock(time.monotonic() - self.began)} so far"]
        here = [row.progress.seconds_left for row in rows]
        queued = [duration(job.key, known) for job in self.waiting]
        if (rows or queued) and None not in (*here, *queued):
            parts += [f"{clock(makespan(here, queued, self.slots))} left"]  # type: ignore[arg-type]
        return rows, ", ".join(parts)
