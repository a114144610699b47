"""The process of one cell: a process group of its own, its words in a log, its end explained."""

import contextlib
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from wise_lra.grid.cells import Cell
from wise_lra.grid.standing import LOG
from wise_lra.results.reading import one_line

OUT_OF_TIME = 75  # exit status of a run whose trainer.max_time is over
INTERRUPTED = (
    128 + signal.SIGINT,
    128 + signal.SIGTERM,
    128 + signal.SIGUSR1,
    -signal.SIGTERM,
    -signal.SIGUSR1,
)
"""Exit statuses of a run that something outside the grid asked to end, the last two before it could answer."""

STOPPED = {OUT_OF_TIME: "out of time"} | dict.fromkeys(INTERRUPTED, "interrupted from outside the grid")
"""Exit statuses that are no failure: the run goes on from its last checkpoint at the next start."""

TAIL = 1 << 16  # bytes at the end of a log in which the reason is looked for


class Child:
    """A cell in work at one place of the grid. Starting it raises OSError where disk or system refuse."""

    def __init__(
        self, cell: Cell, place: int, command: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        self.cell, self.place, self.began = cell, place, time.monotonic()
        self._log = folder / LOG
        with self._log.open("ab") as log:
            log.write(f"$ {shlex.join(command)}\n".encode())
            log.flush()
            self._start = log.tell()
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
                process_group=0,
            )

    @property
    def elapsed(self) -> float:
        """Seconds since its start."""
        return time.monotonic() - self.began

    def interrupt(self) -> None:
        """Ask it to keep a checkpoint and end; its helpers are its own to end."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End it with all of its process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def reason(self, status: int) -> str:
        """Return why it ended with `status`: the signal that ended it, or what its log says last.

        The last line that begins with "error:" is the reason, else the last line of all.
        """
        if status in STOPPED:
            return f"{STOPPED[status]}; the next start goes on from its checkpoint"
        if status < 0:
            return f"killed by {_signal(-status)}" + " (out of memory?)" * (status == -signal.SIGKILL)
        said = [line for line in map(str.strip, self._tail().splitlines()) if line]
        errors = [line.removeprefix("error:").strip() for line in said if line.startswith("error:")]
        if errors and errors[-1]:
            return one_line(errors[-1])
        return one_line(f"exit status {status}{f': {said[-1]}' if said else ', and nothing in its log'}")

    def _tail(self) -> str:
        try:
            with self._log.open("rb") as file:
                file.seek(max(self._start, self._log.stat().st_size - TAIL))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
