"""A function called in a process of its own: what it imports (torch, say) is gone again with it."""

import contextlib
import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, TypeVar

PATIENCE = 10.0  # seconds for the process to tidy up when this one is interrupted

T = TypeVar("T")


def aside(function: Callable[..., T], *arguments: Any) -> T:
    """Return `function(*arguments)` of a fresh process; function, arguments and result must pickle.

    An exception is raised here as it was there; ChildProcessError if the process died. When this process is
    interrupted, the other gets a KeyboardInterrupt too.
    """
    context = multiprocessing.get_context("spawn")
    answer, there = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(there, function, arguments))
    # The terminal sends Ctrl-C to both; blocked there, it cannot end in a traceback before `_work` begins.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    there.close()
    try:
        try:
            done, value = answer.recv()
        except EOFError:
            process.join()
            raise ChildProcessError(f"{function.__name__} ended with status {process.exitcode}") from None
    except BaseException:
        process.terminate()
        process.join(PATIENCE)
        process.kill()
        raise
    finally:
        answer.close()
        process.join()
    if not done:
        raise value
    return value


def _work(there: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        try:
            found = True, function(*arguments)
        except Exception as error:
            found = False, error
        there.send(found)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt
