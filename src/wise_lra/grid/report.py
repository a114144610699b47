"""The last words of a grid: what failed and why, and how to run it again."""

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from wise_lra.grid.cells import Cell
from wise_lra.grid.estimate import clock
from wise_lra.grid.events import Ended, Snapshot
from wise_lra.grid.standing import LOG, State


def report(
    ends: Sequence[Ended], now: Snapshot, command: Callable[[Cell], list[str]], runs: Path
) -> list[str]:
    """Return the lines that close a grid that ran to its end; failures last, each with its log and its command."""
    failed = [end for end in ends if end.state == State.FAILED]
    stopped = [end for end in ends if end.state == State.STOPPED]
    lines = [f"{now.done} of {now.total} cells have their record; {clock(now.elapsed)} this time"]
    lines += [f"stopped {end.cell.name}: {end.reason}" for end in stopped]
    for end in failed:
        lines += [
            f"failed  {end.cell.name}: {end.reason}",
            f"        log: {end.cell.folder(runs) / LOG}",
            f"        again: {shown(command(end.cell))}",
        ]
    if stopped and not failed:
        lines.append(f"{len(stopped)} stopped; the same command goes on from their checkpoints")
    if failed:
        lines.append(f"{len(failed)} failed; the same command runs these again, and only these")
    return lines


def farewell(ends: Sequence[Ended], now: Snapshot) -> list[str]:
    """Return the lines that close a grid that was interrupted."""
    kept = [end.cell.name for end in ends if end.state == State.STOPPED]
    lines = [f"stopped: {now.done} of {now.total} cells have their record, which is kept"]
    if kept:
        lines.append(f"         begun, and kept up to the last checkpoint: {', '.join(kept)}")
    return [*lines, "         the same command goes on from here"]


def shown(command: Sequence[str]) -> str:
    """Return a command as one types it, the interpreter named from the present folder where it lies below."""
    first, here = Path(command[0]), Path.cwd()
    short = first.relative_to(here) if first.is_relative_to(here) else first
    python = str(short) if str(first) == sys.executable else command[0]
    return shlex.join([python, *command[1:]])
