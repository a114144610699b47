"""The local launcher: each job is a process of its own, several at a time, one for each GPU or core."""

import contextlib
import os
import shlex
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from wise_lra.results.reading import one_line
from wise_lra.runs.display import Display
from wise_lra.runs.job import STOPPED, Job, JobResult, planned
from wise_lra.runs.status import FAILED, LOG, PROGRESS, RunStatus

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


@dataclass(frozen=True)
class _Process:
    job: Job
    slot: dict[str, str]
    process: subprocess.Popen[bytes]
    log_start: int


class Local(Launcher):
    """Hydra's launcher for this machine: jobs in order, each in a process group of its own with a log.

    SIGINT, SIGTERM, SIGHUP and SIGUSR1 end it: the processes get SIGTERM, `patience` seconds to keep a checkpoint,
    then SIGKILL; a second SIGINT cuts the wait short. An ignored signal stays ignored (nohup, a shell's `&`).

    Args:
        n_jobs: how many run at a time; None for one a GPU, or one a core.
        patience: seconds between SIGTERM and SIGKILL.
        pause: seconds between two looks at the processes.
        display: makes what shows the jobs, of the jobs and the number at a time.
    """

    def __init__(
        self,
        n_jobs: int | None = None,
        patience: float = 30.0,
        pause: float = 0.2,
        display: Callable[[Sequence[Job], int], Display] = Display,
    ) -> None:
        self.n_jobs, self.patience, self.pause, self._display = n_jobs, patience, pause, display

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take nothing: a job is not a call of `task_function` but a process of scripts/train.py."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Run jobs for a sweeper that is not ours; each returns its exit status and the reason."""
        rows = self.run(planned([tuple(overrides) for overrides in job_overrides]))
        returned = [JobReturn(status=JobStatus.COMPLETED) for _ in rows]
        for one, row in zip(returned, rows, strict=True):
            one.return_value = JobResult(row.exit_status, row.reason)
        return returned

    def run(self, jobs: Sequence[Job]) -> list[RunStatus]:
        """Return the row of each job, in order. Raises KeyboardInterrupt when all have ended after a signal."""
        from wise_lra.devices import visible_gpus  # torch takes seconds to import

        self.free, self.waiting = slots(visible_gpus(), self.n_jobs), deque(jobs)
        self.running: list[_Process] = []
        self.rows: dict[Job, RunStatus] = {}
        self.display = self._display(jobs, len(self.free))
        with _signals() as came, self.display.opened():
            try:
                while (self.waiting or self.running) and not came:
                    self._collect()
                    while self.free and self.waiting and not came:
                        self._start(self.waiting.popleft())
                    self.display.show()
                    time.sleep(self.pause)
            finally:  # also where the terminal has closed: no process is left behind
                self._stop(came)
            self._collect(interrupted=True)
        if came:
            raise KeyboardInterrupt
        return [self.rows[job] for job in jobs]

    def _start(self, job: Job) -> None:
        """Start a job in a free slot; one that disk or system refuse has failed."""
        try:
            job.folder.mkdir(parents=True, exist_ok=True)
            for name in (FAILED, PROGRESS):
                (job.folder / name).unlink(missing_ok=True)
            with (job.folder / LOG).open("ab") as log:
                log.write(f"$ {shlex.join(job.command)}\n".encode())
                log.flush()
                start = log.tell()
                process = subprocess.Popen(
                    job.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "PYTHONUNBUFFERED": "1", **self.free[0]},
                    process_group=0,
                )
        except OSError as error:
            self._end(job, 1, f"could not start: {error}, in {job.folder}")
            return
        self.running.append(_Process(job, self.free.pop(0), process, start))
        self.display.started(job)

    def _collect(self, interrupted: bool = False) -> None:
        """Take the processes that ended; those that were `interrupted` have not failed, however they ended."""
        for one in [one for one in self.running if one.process.poll() is not None]:
            self.running.remove(one)
            self.free.append(one.slot)
            status = one.process.returncode
            if status:
                _kill(one)  # a worker that outlives its run holds memory and lock
                status = 128 + signal.SIGINT if interrupted else status
            self._end(one.job, status, reason(one, status))

    def _end(self, job: Job, exit_status: int, reason: str) -> None:
        self.rows[job] = job.ended(exit_status, reason)
        self.display.ended(job, self.rows[job])

    def _stop(self, came: Sequence[tuple[int, float]]) -> None:
        """Ask all processes to end, and kill those that are there when the patience is over."""
        begin, alive = time.monotonic(), self.running
        for one in alive:  # a run ends its own workers
            with contextlib.suppress(ProcessLookupError):
                one.process.terminate()  # SIGINT is ignored below a background job of a shell
        if alive and came:
            with contextlib.suppress(OSError):
                self.display.note(f"stopping: {self.patience:g} s for the running cells to keep a checkpoint")
        while alive and time.monotonic() - begin < self.patience and not _hurried(came):
            time.sleep(min(self.pause, 0.1))
            alive = [one for one in alive if one.process.poll() is None]
        for one in alive:
            _kill(one)
            one.process.wait()


def slots(gpus: Sequence[str], n_jobs: int | None) -> list[dict[str, str]]:
    """Return the environment of each job at a time: a GPU each, or a core each. A single one sees all GPUs."""
    count = n_jobs or len(gpus) or len(os.sched_getaffinity(0))
    if count == 1 or not gpus:
        return [{} for _ in range(count)]
    return [{"CUDA_VISIBLE_DEVICES": gpus[slot % len(gpus)]} for slot in range(count)]


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
        text = (ended.job.folder / LOG).read_bytes()[ended.log_start :].decode("utf-8", "replace")
    except OSError:
        text = ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    last = lines[-1] if lines else "nothing in its log"
    return one_line(errors[-1] if errors else f"exit status {status}: {last}")


@contextlib.contextmanager
def _signals() -> Iterator[list[tuple[int, float]]]:
    """Yield a list to which each signal of STOPS is added with its time, instead of ending this process."""
    came: list[tuple[int, float]] = []
    heard = [number for number in STOPS if signal.getsignal(number) != signal.SIG_IGN]
    before = {
        number: signal.signal(number, lambda number, _: came.append((number, time.monotonic())))
        for number in heard
    }
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _hurried(came: Sequence[tuple[int, float]]) -> bool:
    """Tell whether a second SIGINT came; make sends a signal on, so two within a second count as one."""
    return any(number == signal.SIGINT and moment - came[0][1] > 1 for number, moment in came)


def _kill(one: _Process) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(one.process.pid, signal.SIGKILL)
