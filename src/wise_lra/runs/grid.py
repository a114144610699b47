"""The sweeper of a grid: the product of what was given, without the runs that are done or that run elsewhere."""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from rich.console import Console
from rich.text import Text

from wise_lra.configuration import CONFIGS
from wise_lra.registry import BACKBONES
from wise_lra.runs.job import OUT_OF_TIME, Job, Outcome, planned
from wise_lra.runs.launcher import shown
from wise_lra.runs.lock import holder
from wise_lra.runs.status import LOG, RunStatus, Status, complete_record, status_of, table
from wise_lra.runs.sweeper import LaunchingSweeper
from wise_lra.stopping import interruptible

LOOK_AGAIN = 1.0  # seconds between two looks at the runs that other processes hold


class Grid(LaunchingSweeper):
    """Runs every combination of the values given, each a job of Hydra's launcher.

    All configurations are checked, and their data prepared, before the first job. A run that is done is left out
    unless `overwrite=true`; one that another process holds is left alone and looked at again when the others have
    ended. The sweep ends with the table of its runs, and with status 1 where a run failed, else 75 where one was
    out of time, else 130 where one was interrupted.
    """

    def sweep(self, arguments: list[str]) -> None:
        """Run the product of `arguments`. Raises ConfigurationError before any job, SystemExit as said above."""
        jobs = planned(combinations(arguments), self.here)
        outcomes = {job: Outcome(1, job.problem) for job in jobs if job.problem}
        interrupted = False
        try:
            with interruptible():
                self._run(jobs, outcomes)
        except KeyboardInterrupt:
            interrupted = True
        rows = [_row(job, outcomes.get(job)) for job in jobs]
        _show(jobs, rows, interrupted and not self.here)
        found = {row.status for row in rows}
        if interrupted:
            raise SystemExit(130)
        if Status.FAILED in found:
            raise SystemExit(1)
        if Status.STOPPED in found:
            raise SystemExit(OUT_OF_TIME if any(o.status == OUT_OF_TIME for o in outcomes.values()) else 130)

    def _run(self, jobs: Sequence[Job], outcomes: dict[Job, Outcome]) -> None:
        """Launch what is to be run until each job has ended, here or elsewhere."""
        seen: set[Job] = set()
        have = sum(map(_settled, jobs))
        print(f"{have} of {len(jobs)} cells have their record; {len(jobs) - have} to run", flush=True)
        while left := [job for job in jobs if job not in outcomes and not _settled(job)]:
            held = {job: pid for job in left if (pid := holder(job.folder)) is not None}
            ready = [job for job in left if job not in held]
            for job in held.keys() - seen:
                print(f"{job.key}: process {held[job] or '?'} is running it; left alone", flush=True)
                seen.add(job)
            for job in ready:
                _set_aside_unfinished(job)
            if ready:
                outcomes |= {job: end for job, end in self.launch(ready).items() if not end.held}
            else:
                time.sleep(LOOK_AGAIN)


def combinations(arguments: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the product of sweeping overrides, each combination once.

    A backbone that holds no attention has one combination, whatever the attentions that are swept.
    Raises HydraException on what cannot be parsed or is no list of values.
    """
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(arguments))
        (batch,) = BasicSweeper.split_arguments(parsed, None)
    swept = {override.key_or_group for override in parsed if override.is_sweep_override()}
    found: dict[tuple[str, ...], None] = {}
    for overrides in batch:
        alone = "attention" in swept and any(
            f"backbone={name}" in overrides
            for name, backbone in BACKBONES.items()
            if not backbone.holds_attention
        )
        found[tuple(text for text in overrides if not (alone and text.startswith("attention=")))] = None
    return list(found)


def _settled(job: Job) -> bool:
    """Tell whether a job needs no run: its record is complete, or unreadable, which only a user can put right."""
    if job.overwrite:
        return False
    try:
        return complete_record(job.key, job.records) is not None
    except ValueError:
        return True


def _set_aside_unfinished(job: Job) -> None:
    """Move a record that ended before its budget into the run folder: the place must be free for a whole one."""
    path, aside = job.key.record(job.records), job.folder / "unfinished.json"
    if path.exists() and not job.overwrite:
        job.folder.mkdir(parents=True, exist_ok=True)
        path.replace(aside)
        print(f"{path}: ended before its budget; moved to {aside}, to be run again", flush=True)


def _row(job: Job, outcome: Outcome | None) -> RunStatus:
    """Return the status of a job after the sweep: what is on disk, and how the job ended."""
    if job.problem:
        return RunStatus(job.key, Status.FAILED, reason=job.problem)
    row = status_of(job.key, job.records, job.runs)
    if outcome is None or row.status == Status.RUNNING or (row.status == Status.DONE and not job.overwrite):
        return row
    if outcome.failed:
        return replace(row, status=Status.FAILED, reason=outcome.reason)
    if outcome.stopped:
        return replace(row, status=Status.STOPPED, reason=outcome.reason)
    if job.recorded and row.record is None:
        return replace(row, status=Status.FAILED, reason=f"no record at {job.key.record(job.records)}")
    return replace(row, status=Status.DONE)


def _show(jobs: Sequence[Job], rows: Sequence[RunStatus], elsewhere: bool) -> None:
    """Print the table of a sweep's runs, and how to run again what did not end well."""
    axes = ("preset=", "task=", "backbone=", "attention=", "seed=")
    settings = {
        job.key: "\n".join(text for text in job.setting.split() if not text.startswith(axes)) for job in jobs
    }
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table("sweep", rows, settings))
    lines = []
    for job, row in zip(jobs, rows, strict=True):
        if row.status == Status.FAILED and not job.problem and (job.folder / LOG).exists():
            lines.append(f"log:    {job.folder / LOG}")
        if row.status == Status.FAILED:
            lines.append(f"again:  {shown(job)}")
    found = [row.status for row in rows]
    if Status.FAILED in found:
        lines.append(
            f"{found.count(Status.FAILED)} failed; the same command runs these again, and only these"
        )
    elif {Status.STOPPED, Status.MISSING} & set(found):
        lines.append("the same command goes on from here")
    if elsewhere:
        lines.append("the jobs that were sent go on in Slurm; scancel --name=wise-lra ends them")
    for line in lines:
        console.print(Text(line), soft_wrap=True)
