"""A pool of processes: each job is one, several at a time; each writes a log, and its end is explained."""

import contextlib
import os
import shlex
import signal
import subprocess
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import FrameType

from wise_lra.results.reading import one_line
from wise_lra.runs.display import Display, Snapshot
from wise_lra.runs.estimate import duration, makespan
from wise_lra.runs.job import STOPPED, STOPS, Job, Outcome
from wise_lra.runs.key import RunKey, on_disk
from wise_lra.runs.lock import holder
from wise_lra.runs.status import (
    FAILED,
    LOG,
    PROGRESS,
    Progress,
    RunStatus,
    Status,
    complete_record,
    record_failure,
)

TAIL = 1 << 16  # bytes at the end of a log in which the reason of a failure is looked for


@dataclass(frozen=True)
class _Process:
    job: Job
    place: int
    process: subprocess.Popen[bytes]
    log_start: int
    began: float


class Pool:
    """Runs jobs in order, one in each place at a time, each in a process group of its own with a log.

    SIGINT, SIGTERM, SIGHUP and SIGUSR1 end the pool: its processes get SIGINT, `patience` seconds to keep a
    checkpoint, then SIGKILL; a second SIGINT cuts the wait short. An ignored signal stays ignored (nohup).

    Args:
        jobs: what to run.
        places: environment of each place, on top of this process's own.
        command: returns the command line of a job.
        display: what shows the pool.
        patience: seconds between SIGINT and SIGKILL.
        pause: seconds between two looks at the processes.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        places: Sequence[Mapping[str, str]],
        command: Callable[[Job], list[str]],
        display: Display | None = None,
        patience: float = 30.0,
        pause: float = 0.2,
    ) -> None:
        self.jobs, self.places, self.command = list(jobs), list(places), command
        self.display, self.patience, self.pause = display or Display(), patience, pause
        self.outcomes: dict[Job, Outcome] = {}
        self.counts: Counter[Status] = Counter()
        self._waiting = deque(self.jobs)
        self._running: list[_Process] = []
        self._began = time.monotonic()
        self._stopped: float | None = None  # when the first signal came
        self._deadline: float | None = None
        self._seconds: dict[RunKey, float] = {}  # that runs took, of these presets
        for records, preset in {(job.records, job.key.preset) for job in self.jobs}:
            for key in on_disk(preset, records, records):
                with contextlib.suppress(ValueError):
                    if record := complete_record(key, records):
                        self._seconds[key] = record.seconds["total"]

    def run(self) -> list[Outcome]:
        """Return the outcome of each job, in order. Raises KeyboardInterrupt when all have ended after a signal."""
        with self._signals(), self.display:
            try:
                while self._running or (self._waiting and self._stopped is None):
                    self._collect()
                    if self._stopped is None:
                        self._start()
                    else:
                        self._stop_processes()
                    self.display.show(self.snapshot())
                    time.sleep(self.pause)
            finally:
                self._end_processes()
        if self._stopped is not None:
            raise KeyboardInterrupt
        return [self.outcomes[job] for job in self.jobs]

    def snapshot(self) -> Snapshot:
        """Return the state of the pool."""
        running, known = [], dict(self._seconds)
        for one in self._running:
            key, progress = one.job.key, Progress.read(one.job.folder)
            elapsed = progress.seconds or time.monotonic() - one.began
            left, whole = progress.seconds_left, duration(key, self._seconds)
            if left is None and whole is not None:
                left = max(whole - elapsed, 0.0)
            if left is not None:
                known[key] = elapsed + left
            running.append((RunStatus(key, Status.RUNNING, progress=progress), left))
        here = [left for _, left in running]
        queued = [duration(job.key, known) for job in self._waiting]
        seconds = None
        if None not in (*here, *queued):
            seconds = makespan(
                [s for s in here if s is not None], [s for s in queued if s is not None], len(self.places)
            )
        return Snapshot(running, self.counts, len(self.jobs), time.monotonic() - self._began, seconds)

    def _start(self) -> None:
        """Fill the free places."""
        taken = {one.place for one in self._running}
        free = [place for place in range(len(self.places)) if place not in taken]
        while free and self._waiting:
            job = self._waiting.popleft()
            try:
                self._running.append(self._process(job, free[0]))
            except OSError as error:
                self._end(job, Outcome(1, f"could not start: {error}, in {job.folder}"), 0.0)
                continue
            free.pop(0)
            self.display.started(str(job.key))

    def _process(self, job: Job, place: int) -> _Process:
        """Start a job. Raises OSError where disk or system refuse."""
        job.folder.mkdir(parents=True, exist_ok=True)
        for name in (FAILED, PROGRESS):
            (job.folder / name).unlink(missing_ok=True)
        command = self.command(job)
        with (job.folder / LOG).open("ab") as log:
            log.write(f"$ {shlex.join(command)}\n".encode())
            log.flush()
            start = log.tell()
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self.places[place]},
                process_group=0,
            )
            return _Process(job, place, process, start, time.monotonic())

    def _collect(self) -> None:
        """Take the processes that ended."""
        for one in list(self._running):
            status = one.process.poll()
            if status is None:
                continue
            self._running.remove(one)
            if status:
                _kill(one)  # a worker that outlived its run would go on holding memory and lock
            outcome = Outcome(status, reason(one, status))
            if outcome.failed and holder(one.job.folder) not in (None, one.process.pid):
                outcome = replace(outcome, held=True)
            self._end(one.job, outcome, time.monotonic() - one.began)

    def _end(self, job: Job, outcome: Outcome, seconds: float) -> None:
        record = None
        if outcome.status == 0 and job.recorded:
            with contextlib.suppress(ValueError):
                record = complete_record(job.key, job.records)
            if record is None:
                outcome = Outcome(1, f"ended well but left no record at {job.key.record(job.records)}")
            else:
                self._seconds[job.key] = record.seconds["total"]
        stopped = outcome.stopped or (self._stopped is not None and outcome.status != 0)
        status = Status.STOPPED if stopped else Status.FAILED if outcome.status else Status.DONE
        status = Status.RUNNING if outcome.held else status
        if status == Status.FAILED:
            with contextlib.suppress(OSError):  # a full disk; the reason is still shown
                record_failure(job.folder, outcome.reason, outcome.status, self.command(job))
        self.outcomes[job] = outcome
        self.counts[status] += 1
        self.display.ended(
            RunStatus(job.key, status, record, reason=outcome.reason), seconds, self.snapshot()
        )

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        before = {number: signal.getsignal(number) for number in STOPS}
        handled = [number for number in STOPS if before[number] != signal.SIG_IGN]
        for number in handled:
            signal.signal(number, self._stop)
        try:
            yield
        finally:
            for number in handled:
                signal.signal(number, before[number])

    def _stop(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if self._stopped is None:
            self._stopped = now
        elif (
            number == signal.SIGINT and now - self._stopped > 1
        ):  # make sends a signal on: one may come twice
            self._deadline = now

    def _stop_processes(self) -> None:
        """Send SIGINT once, SIGKILL when the patience is over."""
        if self._deadline is None:
            self._deadline = time.monotonic() + self.patience
            for one in self._running:
                _interrupt(one)
            if self._running:
                self.display.note(f"stopping: {self.patience:g} s for the running cells to keep a checkpoint")
        elif time.monotonic() >= self._deadline:
            for one in self._running:
                _kill(one)

    def _end_processes(self) -> None:
        """Leave no process behind where the loop broke (a terminal that closed)."""
        for one in self._running:
            _interrupt(one)
        deadline = time.monotonic() + self.patience
        for one in self._running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.process.wait(max(0.0, deadline - time.monotonic()))
            if one.process.poll() is None:
                _kill(one)
                one.process.wait()


def reason(ended: _Process, status: int) -> str:
    """Return why a process ended: its signal, or the last line of its log, if possible one with "error:"."""
    if status == 0:
        return ""
    if status in STOPPED:
        return f"{STOPPED[status]}; the next start goes on from its checkpoint"
    if status < 0:
        name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
        return f"killed by {name}" + " (out of memory?)" * (status == -signal.SIGKILL)
    try:
        with (ended.job.folder / LOG).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(ended.log_start, size - TAIL))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    lines = [line.strip() for line in lines if line.strip()]
    errors = [text for line in lines if line.startswith("error:") and (text := line[6:].strip())]
    if errors:
        return one_line(errors[-1])
    return one_line(f"exit status {status}{f': {lines[-1]}' if lines else ', and nothing in its log'}")


def _interrupt(one: _Process) -> None:
    """Ask the run to keep a checkpoint and end; it ends its own workers."""
    with contextlib.suppress(ProcessLookupError):
        one.process.send_signal(signal.SIGINT)


def _kill(one: _Process) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(one.process.pid, signal.SIGKILL)
