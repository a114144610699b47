"""The status of a run, read from disk, and the table of runs that a terminal shows."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Self

from rich.console import Group
from rich.table import Table
from rich.text import Text

from wise_lra.results.atomic import write_text
from wise_lra.results.reading import one_line, read_json
from wise_lra.results.record import Record, read
from wise_lra.results.text import per_cent
from wise_lra.runs.estimate import clock
from wise_lra.runs.key import RunKey
from wise_lra.runs.lock import holder

FAILED = "failed.json"
LOG = "train.log"
PROGRESS = "progress.json"
PHASES = ("start", "train", "validation", "test")


class Status(StrEnum):
    """A stopped run has begun and has ended without a record or a failure; it goes on from its checkpoint."""

    DONE = "done"
    RUNNING = "running"
    FAILED = "failed"
    STOPPED = "stopped"
    MISSING = "missing"


STYLES = dict(zip(Status, ("green", "cyan", "bold red", "yellow", "dim"), strict=True))


@dataclass(frozen=True)
class Progress:
    """What a run last wrote of itself. Accuracy is the last on validation, in [0, 1]; times in seconds."""

    phase: str = "start"
    step: int = 0
    steps: int = 0
    loss: float | None = None
    accuracy: float | None = None
    seconds: float | None = None
    seconds_left: float | None = None

    @property
    def share(self) -> float:
        """The part of the steps that is done, in [0, 1]."""
        return min(max(self.step / self.steps, 0.0), 1.0) if self.steps > 0 else 0.0

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the progress of a run folder; a value that is absent or cannot be right has its default."""
        try:
            content = read_json(folder / PROGRESS, "progress")
        except (OSError, ValueError):
            return cls()
        valid = {
            name: float(value)
            for name, value in content.items()
            if type(value) in (int, float) and abs(value) < 2**63
        }
        phase = content["phase"] if content.get("phase") in PHASES else "start"
        step, steps = (int(valid.get(name, 0)) for name in ("step", "steps"))
        return cls(phase, step, steps, *map(valid.get, ("loss", "accuracy", "seconds", "seconds_left")))


@dataclass(frozen=True)
class RunStatus:
    """A row of the table of runs: status, record, progress and the reason of a failure.

    `exit_status` is that of its process, minus a signal's number, where one has just ended.
    """

    key: RunKey
    status: Status
    record: Record | None = None
    progress: Progress = field(default_factory=Progress)
    reason: str = ""
    exit_status: int = 0


def status_of(key: RunKey, records: Path, runs: Path) -> RunStatus:
    """Read the status of a run. A complete record decides, then a lock, then a failure, then progress."""
    folder = key.folder(runs)
    try:
        record = complete_record(key, records)
    except ValueError as error:
        return RunStatus(key, Status.FAILED, reason=one_line(f"{error}; move it away to run this cell"))
    if record:
        return RunStatus(key, Status.DONE, record)
    progress = Progress.read(folder)
    if holder(folder) is not None:
        return RunStatus(key, Status.RUNNING, progress=progress)
    if reason := failure(folder):
        return RunStatus(key, Status.FAILED, progress=progress, reason=reason)
    return RunStatus(key, Status.STOPPED if progress.steps else Status.MISSING, progress=progress)


def complete_record(key: RunKey, records: Path) -> Record | None:
    """Return the record of a run; None if there is none or it ended before its budget.

    Raises ValueError naming the file if it cannot be read, is not a record, or is another run's.
    """
    path = key.record(records)
    try:
        record = read(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    if record.path(records) != path:
        raise ValueError(f"{path}: holds the record of {record.path(records)}")
    return record if record.steps >= record.budget["steps"] else None


def failure(folder: Path) -> str | None:
    """Return the reason that `record_failure` wrote into a run folder, None if there is none."""
    try:
        return one_line(str(read_json(folder / FAILED, "the reason of a failure")["reason"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError):
        return one_line(f"{folder / FAILED} cannot be read")


def record_failure(folder: Path, reason: str, status: int | None, command: Sequence[str]) -> None:
    """Write why a run failed: exit status (minus a signal, None if it never began), command and log."""
    facts = {
        "reason": reason,
        "status": status,
        "command": list(command),
        "log": LOG,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_text(folder / FAILED, json.dumps(facts, indent=1) + "\n")


def table(title: str, rows: Sequence[RunStatus], settings: Mapping[RunKey, str] | None = None) -> Group:
    """Return what rich prints: a line a run, the counts, and the reason of each failure.

    `settings` are shown beside the name, where the name alone does not tell what a run changes.
    """
    counts = Counter(row.status for row in rows)
    counted = f"{counts.total()} cells: " + " · ".join(f"{counts[status]} {status}" for status in Status)
    reasons = [
        Text.assemble((f"failed  {row.key}: ", "red"), row.reason)
        for row in rows
        if row.status == Status.FAILED
    ]
    return Group(lines(rows, title, settings), Text(counted), *reasons)


def lines(
    rows: Sequence[RunStatus], title: str | None = None, settings: Mapping[RunKey, str] | None = None
) -> Table:
    """Return a line for each run, without counts and reasons."""
    settings = settings if settings and any(settings.values()) else {}
    shown = Table(title=title, title_justify="left")
    for head in ("cell", *(["setting"] if settings else []), "status"):
        shown.add_column(head)
    for head in ("validation %", "test %", "steps", "time"):
        shown.add_column(head, justify="right")
    for row in rows:
        setting = [Text(settings.get(row.key, ""))] if settings else []
        shown.add_row(Text(str(row.key)), *setting, Text(_state(row), STYLES[row.status]), *_numbers(row))
    return shown


def _state(row: RunStatus) -> str:
    if row.status not in (Status.RUNNING, Status.STOPPED):
        return row.status
    progress, parts = row.progress, [f"{row.status} {100 * row.progress.share:.0f} %"]
    parts += [progress.phase] * (progress.phase in ("validation", "test"))
    parts += [f"loss {progress.loss:.3f}"] if progress.loss is not None else []
    return ", ".join(parts)


def _numbers(row: RunStatus) -> list[str]:
    record, progress = row.record, row.progress
    if record:
        accuracies = [per_cent(record.metrics[f"{split}_accuracy"]) for split in ("validation", "test")]
        return [*accuracies, f"{record.steps:,}", clock(record.seconds["total"])]
    validation = "" if progress.accuracy is None else per_cent(progress.accuracy)
    left = row.status == Status.RUNNING and progress.seconds_left is not None
    steps = f"{progress.step:,}" if progress.steps else ""
    return [validation, "", steps, f"{clock(progress.seconds_left)} left" if left else ""]
