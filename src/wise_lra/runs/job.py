"""A job of a sweep: one run, the command that trains it, and how it ends."""

import contextlib
import json
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from wise_lra.config import CONFIGS, ConfigurationError, compose, plain_dict, preparation
from wise_lra.identity import Run
from wise_lra.progress import bars
from wise_lra.runs.key import RunKey
from wise_lra.runs.lock import holder
from wise_lra.runs.status import RunStatus, Status, complete_record, record_failure, status_of

TRAIN = CONFIGS.parent / "scripts" / "train.py"
OUT_OF_TIME = 75  # exit status of a run whose trainer.max_time is over
STOPPED = {OUT_OF_TIME: "out of time"} | {
    status: "interrupted"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    for status in (128 + number, -number)
}
"""Exit statuses that are no failure: the run goes on from its last checkpoint at the next start."""


@dataclass(frozen=True)
class JobResult:
    """What a job returns to a launcher: its exit status, and the reason where that is not 0."""

    status: int
    reason: str = ""


@dataclass(frozen=True)
class Job:
    """One run of a sweep. `setting` is the part of `overrides` that not all jobs of the sweep share.

    `problem` says why its data cannot be prepared, "" where they are. `recorded` is false where the run leaves no
    record: test=false, and a trial of a search.
    """

    key: RunKey
    overrides: tuple[str, ...]
    setting: str
    records: Path
    runs: Path
    overwrite: bool = False
    recorded: bool = True
    problem: str = ""

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.key.folder(self.runs)

    @property
    def command(self) -> list[str]:
        """The command line of its process, which ends with status 0 when the record is written."""
        return [sys.executable, os.path.relpath(TRAIN), *self.overrides]

    def typed(self) -> str:
        """Return the command line as a user types it: the interpreter relative to this folder, words quoted."""
        python, here = Path(sys.executable), Path.cwd()
        python = python.relative_to(here) if python.is_relative_to(here) else python
        return shlex.join([str(python), *self.command[1:]])

    def settled(self) -> bool:
        """Tell whether it needs no process: its record is complete, or unreadable, which only a user can mend."""
        try:
            return not self.overwrite and complete_record(self.key, self.records) is not None
        except ValueError:
            return True

    def status(self) -> RunStatus:
        """Return its row in the table of runs, read from disk."""
        if self.problem:
            return RunStatus(self.key, Status.FAILED, reason=self.problem)
        return status_of(self.key, self.records, self.runs)

    def ended(self, exit_status: int, reason: str = "") -> RunStatus:
        """Return its row after its process has ended; a failure is written into the run folder.

        A process that could not start because another one trains the same run is no failure: the row says running.
        """
        row = replace(self.status(), exit_status=exit_status)
        if exit_status and holder(self.folder) is not None:
            return replace(row, status=Status.RUNNING, reason=reason)
        if not self.recorded:  # a record that is there is of another run
            row = replace(row, status=Status.MISSING if exit_status else Status.DONE, record=None)
        if row.status == Status.DONE and not (exit_status and self.overwrite):
            return row
        if exit_status in STOPPED:
            return replace(row, status=Status.STOPPED, reason=reason)
        reason = reason or f"ended well but left no record at {self.key.record(self.records)}"
        with contextlib.suppress(OSError):  # a full disk; the reason is still shown
            record_failure(self.folder, reason, exit_status, self.command)
        return replace(row, status=Status.FAILED, reason=reason)


def planned(combinations: Sequence[tuple[str, ...]], here: bool = True) -> list[Job]:
    """Return the job of each combination of overrides; `here` says that this machine runs them.

    All are composed and checked before any data are prepared.
    Raises ConfigurationError naming the first job whose configuration is wrong or whose devices are not here.
    """
    shared = set.intersection(*map(set, combinations)) if len(combinations) > 1 else set(combinations[0])
    settings = [" ".join(text for text in overrides if text not in shared) for overrides in combinations]
    configurations = []
    for overrides, setting in zip(combinations, settings, strict=True):
        try:
            configurations.append(_checked(overrides, here))
        except ConfigurationError as error:
            where = f" (the cell {setting}; no job was started)" if setting else ""
            raise ConfigurationError(f"{error}{where}") from None
    jobs = []
    for overrides, setting, cfg in zip(combinations, settings, configurations, strict=True):
        plain = plain_dict(cfg)
        data = _prepared(json.dumps({"task": plain["task"], "data": plain["data"]}, sort_keys=True))
        problem = data if isinstance(data, str) else ""
        run = Run(cfg, Path(), {"variant": ""}) if isinstance(data, str) else Run(cfg, *data)
        folders = (Path(cfg.records), Path(cfg.runs))
        recorded = bool(cfg.test) and "trial" not in cfg
        jobs.append(Job(run.key, overrides, setting, *folders, bool(cfg.overwrite), recorded, problem))
    return jobs


def _checked(overrides: Sequence[str], here: bool) -> DictConfig:
    """Return the configuration of a job. Raises ConfigurationError, also for devices that are not here."""
    cfg = compose(overrides)
    if here and (cfg.trainer.devices != 1 or cfg.trainer.accelerator == "gpu"):
        from wise_lra.devices import on_devices  # torch takes a second to import

        on_devices(cfg)
    return cfg


@cache
def _prepared(facts: str) -> tuple[Path, dict[str, Any]] | str:
    """Return the folder of the data of a task and their manifest, or why there are none; once for all jobs.

    `facts` is what a configuration says of task and data, as JSON.
    """
    from wise_lra.data.packed import read_manifest  # torch takes seconds to import
    from wise_lra.data.prepare import prepare

    cfg = OmegaConf.create(json.loads(facts))
    try:
        if cfg.data.folder:
            return Path(cfg.data.folder), read_manifest(Path(cfg.data.folder))
        with bars(Console(stderr=True)) as progress:
            prepared = prepare(**preparation(cfg), progress=progress)
        return prepared.folder, prepared.manifest
    except (ValueError, OSError) as error:
        return f"its data cannot be prepared: {error}"
