"""Runs the cells of a grid, each in a process of its own, so that one's end is never another's."""

import contextlib
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from wise_lra.grid.cells import Cell
from wise_lra.grid.child import STOPPED, Child
from wise_lra.grid.estimate import duration, makespan
from wise_lra.grid.events import Ended, Running, Screen, Snapshot
from wise_lra.grid.lock import holder
from wise_lra.grid.progress import PROGRESS, Progress
from wise_lra.grid.standing import FAILED, State, record_failure
from wise_lra.results.record import Record

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


class Runner:
    """Trains the cells that have no record, in order, one in each place at a time.

    A cell that another process holds is left alone and looked at again: if that one ends without a record, the
    cell is taken up here. SIGINT, SIGTERM, SIGHUP and SIGUSR1 end the grid: children get SIGINT, `patience` seconds
    to keep a checkpoint, then SIGKILL; a second SIGINT cuts the wait short.

    Args:
        cells: the whole grid; those that have a record are counted (`already`) and left out.
        command: the command line that trains a cell; it ends with status 0 once its record is written.
        places: environment of each place, on top of this process's own; their number is that of cells at a time.
        records: folder of records.
        runs: folder of run folders.
        screen: what shows it.
        patience: seconds between SIGINT and SIGKILL.
        pause: seconds between two looks at the children.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        command: Callable[[Cell], list[str]],
        places: Sequence[Mapping[str, str]],
        records: Path,
        runs: Path,
        screen: Screen,
        patience: float = 30.0,
        pause: float = 0.2,
    ) -> None:
        self.command, self.places, self.records, self.runs = command, list(places), records, runs
        self.screen, self.patience, self.pause = screen, patience, pause
        self.total, self.already, self.stopped = len(cells), 0, False
        self.ends: dict[Cell, Ended] = {}
        self._known: dict[Cell, float] = {}  # seconds that a cell took as a whole
        self._queue: deque[Cell] = deque()
        self._children: list[Child] = []
        self._elsewhere: list[Cell] = []
        self._began, self._asked = time.monotonic(), 0.0
        self._deadline: float | None = None
        for cell in cells:
            self._enter(cell)

    @property
    def left(self) -> int:
        """The number of cells that wait for their turn."""
        return len(self._queue)

    def run(self) -> list[Ended]:
        """Run until nothing is left or a signal says stop (`stopped` is then true); return the ends in order."""
        self._began = time.monotonic()
        with self._listening():
            try:
                while self._children or (not self.stopped and (self._queue or self._elsewhere)):
                    self._reap()
                    if self.stopped:
                        self._hurry()
                    else:
                        self._revisit()
                        self._start()
                    self.screen.tick(self.snapshot())
                    time.sleep(self.pause)
            finally:
                self._abandon()
        return list(self.ends.values())

    def snapshot(self) -> Snapshot:
        """Return the state of the whole grid now."""
        ours = [self._view(child.cell, child.elapsed, False) for child in self._children]
        theirs = [self._view(cell, 0.0, True) for cell in self._elsewhere]
        states = [end.state for end in self.ends.values()]
        return Snapshot(
            total=self.total,
            done=self.already + states.count(State.DONE),
            failed=states.count(State.FAILED),
            queued=len(self._queue),
            running=(*ours, *theirs),
            elapsed=time.monotonic() - self._began,
            seconds_left=self._seconds_left(ours, theirs),
            stopped=states.count(State.STOPPED),
        )

    def _enter(self, cell: Cell) -> None:
        """Count a cell as done, as failed because its record is unfit to read, or as to be run."""
        try:
            record = cell.finished(self.records)
        except ValueError as error:
            self.ends[cell] = Ended(cell, State.FAILED, 0.0, reason=_unfit(error))
            return
        if record:
            self.already += 1
            self._known[cell] = record.seconds["total"]
        else:
            self._queue.append(cell)

    def _view(self, cell: Cell, elapsed: float, elsewhere: bool) -> Running:
        progress = Progress.read(cell.folder(self.runs))
        whole, left = duration(cell, self._known), progress.seconds_left
        if left is None and whole is not None:
            left = max(whole - (progress.seconds or elapsed), 0.0)
        return Running(cell, progress, elapsed, left, elsewhere)

    def _seconds_left(self, ours: Sequence[Running], theirs: Sequence[Running]) -> float | None:
        known = dict(self._known)
        for view in ours:
            if view.seconds_left is not None:
                known[view.cell] = (view.progress.seconds or view.elapsed) + view.seconds_left
        here, there = [view.seconds_left for view in ours], [view.seconds_left for view in theirs]
        queued = [duration(cell, known) for cell in self._queue]
        if None in (*here, *there, *queued):
            return None
        alone = makespan(
            [s for s in here if s is not None], [s for s in queued if s is not None], len(self.places)
        )
        return max([alone, *(s for s in there if s is not None)])

    def _start(self) -> None:
        """Fill the free places from the queue."""
        taken = {child.place for child in self._children}
        free = [place for place in range(len(self.places)) if place not in taken]
        while free and self._queue:
            cell = self._queue.popleft()
            try:
                if self._settled(cell, 0.0) or self._is_held(cell):
                    continue
                self._children.append(self._spawn(cell, free[0]))
            except OSError as error:
                self._fail(cell, 0.0, f"could not start: {error}", None)
                continue
            free.pop(0)
            self.screen.began(cell)

    def _settled(self, cell: Cell, seconds: float) -> bool:
        """End the cell if a record is there, whoever wrote it; one that is unfit to read ends it too."""
        try:
            record = cell.finished(self.records)
        except ValueError as error:
            self._end(cell, State.FAILED, seconds, _unfit(error))
            return True
        if record:
            self._known[cell] = max(seconds, record.seconds["total"])
            self._end(cell, State.DONE, seconds, record=record)
        return record is not None

    def _is_held(self, cell: Cell, but: int | None = None) -> bool:
        """Set the cell apart if a process other than `but` holds it."""
        pid = holder(cell.folder(self.runs))
        if pid is None or pid == but:
            return False
        who = f"process {pid}" if pid else "another process"
        self.screen.note(f"{cell.name}: {who} is running it; left alone")
        self._elsewhere.append(cell)
        return True

    def _revisit(self) -> None:
        """Look again at the cells that other processes held."""
        for cell in list(self._elsewhere):
            free = (
                holder(cell.folder(self.runs)) is None
            )  # before the record, which is written before it is free
            if self._settled(cell, 0.0):
                self._elsewhere.remove(cell)
            elif free:
                self._elsewhere.remove(cell)
                self._queue.appendleft(cell)

    def _spawn(self, cell: Cell, place: int) -> Child:
        folder = cell.folder(self.runs)
        folder.mkdir(parents=True, exist_ok=True)
        path, aside = cell.record(self.records), folder / "unfinished.json"
        if path.exists():  # its place must be free for the whole one
            path.replace(aside)
            self.screen.note(f"{path}: ended before its budget; moved to {aside}, to be run again")
        for name in (FAILED, PROGRESS):
            (folder / name).unlink(missing_ok=True)
        return Child(cell, place, self.command(cell), folder, self.places[place])

    def _reap(self) -> None:
        """Take note of the children that ended."""
        for child in list(self._children):
            status = child.process.poll()
            if status is None:
                continue
            self._children.remove(child)
            if status:
                child.kill()  # a helper that outlived its run would go on holding memory and lock
            cell, seconds = child.cell, child.elapsed
            if self._settled(cell, seconds):
                continue
            if self.stopped:
                self._end(cell, State.STOPPED, seconds, status=status)
            elif status in STOPPED:
                self._end(cell, State.STOPPED, seconds, child.reason(status), status=status)
            elif status == 0:
                self._fail(
                    cell, seconds, f"ended well but left no record at {cell.record(self.records)}", status
                )
            elif not self._is_held(cell, but=child.process.pid):
                self._fail(cell, seconds, child.reason(status), status)

    def _fail(self, cell: Cell, seconds: float, reason: str, status: int | None) -> None:
        with contextlib.suppress(OSError):  # a full disk; the reason is still shown
            record_failure(cell.folder(self.runs), reason, status, self.command(cell))
        self._end(cell, State.FAILED, seconds, reason, status=status)

    def _end(
        self,
        cell: Cell,
        state: State,
        seconds: float,
        reason: str = "",
        record: Record | None = None,
        status: int | None = None,
    ) -> None:
        self.ends[cell] = Ended(cell, state, seconds, record, reason, status)
        self.screen.ended(self.ends[cell], self.snapshot())

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        """Handle the signals that stop a grid, but for those that were ignored from the start (nohup)."""
        before = {number: signal.getsignal(number) for number in STOPS}
        heard = [number for number in STOPS if before[number] != signal.SIG_IGN]
        for number in heard:
            signal.signal(number, self._stop)
        try:
            yield
        finally:
            for number in heard:
                signal.signal(number, before[number])

    def _stop(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if not self.stopped:
            self.stopped, self._asked = True, now
        elif (
            number == signal.SIGINT and now - self._asked > 1
        ):  # make sends a signal on, so one may come twice
            self._deadline = now

    def _hurry(self) -> None:
        """Ask the children to stop, once; end them when their time is over."""
        if self._deadline is None:
            self._deadline = time.monotonic() + self.patience
            for child in self._children:
                child.interrupt()
            if self._children:
                self.screen.note(f"stopping: {self.patience:g} s for the running cells to keep a checkpoint")
        elif time.monotonic() >= self._deadline:
            for child in self._children:
                child.kill()

    def _abandon(self) -> None:
        """Leave no child behind where the loop broke (a terminal that closed, say)."""
        for child in self._children:
            child.interrupt()
        deadline = time.monotonic() + self.patience
        for child in self._children:
            while child.process.poll() is None and time.monotonic() < deadline:
                time.sleep(self.pause)
            if child.process.poll() is None:
                child.kill()
                child.process.wait()


def _unfit(error: ValueError) -> str:
    return f"{error}; move it away to run this cell"
