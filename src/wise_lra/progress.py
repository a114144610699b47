"""Progress of data preparation: bars with rate and time left on a terminal, elsewhere a line now and then."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from wise_lra.results.reading import Printable
from wise_lra.runs.estimate import clock

LINE_EVERY = 20.0  # seconds between two lines of the same work where there is no terminal

Tell = Callable[[str, int, int | None], None]


@contextmanager
def bars(console: Console) -> Iterator[Tell]:
    """Yield a function that takes what is being done, how much is done, and of how much (None: not known).

    What the project logs meanwhile goes through the same console.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[done]}"),
        TimeRemainingColumn(),
    )
    logger = logging.getLogger("wise_lra")
    before, printed = (logger.level, logger.propagate), _Printed(console)
    logger.setLevel(logging.INFO)
    logger.addHandler(printed)
    logger.propagate = False  # TFDS' imports give the root a handler, which would say all of it again
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
            yield _on_terminal(shown) if console.is_terminal else _in_lines(console)
    finally:
        logger.removeHandler(printed)
        level, logger.propagate = before
        logger.setLevel(level)


def amount(what: str, number: float) -> str:
    """Return a number of bytes of an archive, or of examples, for people."""
    return f"{number / 1e6:,.1f} MB" if what.startswith(("downloading", "reading")) else f"{number:,.0f}"


class _Printed(logging.Handler):
    """Prints what is logged, so that lines and bars do not overwrite each other."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console
        self.setFormatter(Printable())

    def emit(self, record: logging.LogRecord) -> None:
        self.console.print(Text(self.format(record)), soft_wrap=True)


def _on_terminal(shown: Progress) -> Tell:
    ids: dict[str, TaskID] = {}

    def tell(what: str, done: int, total: int | None) -> None:
        if what not in ids:
            ids[what] = shown.add_task(what, done="")
        text = _so_far(what, done, total, shown.tasks[ids[what]].speed or 0)
        shown.update(ids[what], completed=done, total=total, done=text)

    return tell


def _in_lines(console: Console) -> Tell:
    begun: dict[str, tuple[float, int]] = {}
    last: dict[str, float] = {}

    def tell(what: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        start, before = begun.setdefault(what, (now, done))
        if now - last.setdefault(what, now) < LINE_EVERY or done == total:
            return
        last[what] = now
        rate = (done - before) / (now - start)
        left = f", about {clock((total - done) / rate)} left" if total and rate else ""
        console.print(Text(f"{what}: {_so_far(what, done, total, rate)}{left}"), soft_wrap=True)

    return tell


def _so_far(what: str, done: int, total: int | None, rate: float) -> str:
    whole = f" of {amount(what, total)}" if total else ""
    return f"{amount(what, done)}{whole}, {amount(what, rate)}/s"
