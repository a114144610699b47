"""How a run is stopped from outside, by a signal or by its time limit, so that it can go on later."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class OutOfTime(RuntimeError):
    """The run's time limit came before its last step."""


class GivenUp(RuntimeError):
    """The search that began the run sees that it comes to nothing."""


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Make SIGTERM and SIGUSR1 end this block as Ctrl-C does; yield the list of those that came."""
    came: list[int] = []

    def interrupt(number: int, _: FrameType | None) -> None:
        came.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
