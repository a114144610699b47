"""How a process is stopped by a signal or its time limit, so that it can go on later. Imports nothing large."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class OutOfTime(RuntimeError):
    """The run's time limit came before its last step."""


class GivenUp(RuntimeError):
    """The search that began the run sees that it comes to nothing."""


def end_quietly() -> None:
    """Let Ctrl-C, SIGTERM and SIGUSR1 end this script with status 128 + signal, without a traceback.

    Called before the imports that take seconds. While the script imports a module the process ends at once, for a
    library may make anything of an exception there; else KeyboardInterrupt is raised. Ignored signals stay ignored.
    """
    came: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        came.append(number)
        inner = ""
        while frame is not None:
            name = frame.f_globals.get("__name__", "")
            if (inner, name) == ("importlib._bootstrap", "__main__"):
                os._exit(128 + number)
            inner, frame = name, frame.f_back
        raise KeyboardInterrupt

    def show(*error: Any) -> None:
        if came:
            raise SystemExit(128 + came[0])
        sys.__excepthook__(*error)

    _handle(interrupt)
    sys.excepthook = show


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Make SIGTERM and SIGUSR1 end this block as Ctrl-C does; yield the list of the signals that came."""
    came: list[int] = []

    def interrupt(number: int, _: FrameType | None) -> None:
        came.append(number)
        raise KeyboardInterrupt

    before = _handle(interrupt)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _handle(handler: Callable[[int, FrameType | None], None]) -> dict[signal.Signals, Any]:
    """Set the handler of the signals that are not ignored; return those from before."""
    heard = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heard}
