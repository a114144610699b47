"""How a cell stands, read from disk: done, running, failed, stopped or missing."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from wise_lra.grid.cells import Cell
from wise_lra.grid.lock import holder
from wise_lra.grid.progress import Progress
from wise_lra.results.atomic import write_text
from wise_lra.results.reading import one_line, read_json

FAILED = "failed.json"
LOG = "train.log"


class State(StrEnum):
    """Where a cell is; "stopped" has begun, then ended without record or failure."""

    DONE = "done"
    RUNNING = "running"
    FAILED = "failed"
    STOPPED = "stopped"
    MISSING = "missing"


@dataclass(frozen=True)
class Standing:
    """A cell's state, with what belongs to it: test accuracy, progress, the reason of a failure."""

    cell: Cell
    state: State
    accuracy: float | None = None
    progress: Progress = field(default_factory=Progress)
    reason: str = ""


def standing(cell: Cell, records: Path, runs: Path) -> Standing:
    """Look at the record, lock, failure and progress of a cell; a record decides over all else."""
    folder = cell.folder(runs)
    try:
        record = cell.finished(records)
    except ValueError as error:
        return Standing(cell, State.FAILED, reason=one_line(error))
    if record:
        return Standing(cell, State.DONE, record.metrics["test_accuracy"])
    progress = Progress.read(folder)
    if holder(folder) is not None:
        return Standing(cell, State.RUNNING, progress=progress)
    if reason := failure(folder):
        return Standing(cell, State.FAILED, progress=progress, reason=reason)
    return Standing(cell, State.STOPPED if progress.steps else State.MISSING, progress=progress)


def failure(folder: Path) -> str | None:
    """Return the reason that `record_failure` left in a run folder, None if it left none."""
    try:
        return one_line(str(read_json(folder / FAILED, "the reason of a failure")["reason"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError):
        return one_line(f"{folder / FAILED} cannot be read")


def record_failure(folder: Path, reason: str, status: int | None, command: Sequence[str]) -> None:
    """Leave the reason why a run failed in its folder: exit status (minus a signal, None if it never began)."""
    facts = {
        "reason": reason,
        "status": status,
        "command": list(command),
        "log": LOG,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_text(folder / FAILED, json.dumps(facts, indent=1) + "\n")
