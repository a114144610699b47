"""Hydra's sweeper of a grid, and what it shares with a search: jobs go to a launcher, rows of a table come back."""

import json
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.text import Text

from wise_lra.checks import expect_whole
from wise_lra.config import ConfigurationError, options
from wise_lra.results.reading import one_line
from wise_lra.runs.job import OUT_OF_TIME, Job, JobResult, planned
from wise_lra.runs.launcher import Local
from wise_lra.runs.lock import holder
from wise_lra.runs.selection import combinations
from wise_lra.runs.status import FAILED, LOG, RunStatus, Status, table
from wise_lra.stopping import interruptible

EXTRA = "pip install -c constraints.txt -e '.[sweeps]' (make sweeps does it)"
LOOK_AGAIN = 1.0  # seconds between two looks at the runs that other processes train


class LaunchingSweeper(Sweeper):
    """A sweeper that gives jobs to Hydra's launchers."""

    config: DictConfig

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives. Raises ConfigurationError where the launcher cannot be used as it is set."""
        target = str(config.hydra.launcher.get("_target_"))
        if target.endswith(".Local"):
            expect_whole("hydra.launcher.n_jobs", config.hydra.launcher.get("n_jobs"), 1, 10_000, null=True)
        if target not in Plugins.instance().class_name_to_class:
            name = config.hydra.runtime.choices.get("hydra/launcher")
            raise ConfigurationError(f"hydra/launcher={name}: not installed; {EXTRA}")
        self.config, self.context, self.function = config, hydra_context, task_function

    @property
    def here(self) -> bool:
        """Whether the jobs run on this machine."""
        return not str(self.config.hydra.launcher["_target_"]).endswith("SlurmLauncher")

    def launch(self, jobs: Sequence[Job], first: int = 0) -> dict[Job, RunStatus]:
        """Run jobs and return the row of each in the table of runs; `first` is the number of the first one.

        A launcher has one request (time, memory, GPUs) for all its jobs. So the jobs of each request have a
        launcher of their own, on Slurm an array, and all launchers work at the same time.
        """
        groups: dict[str, list[Job]] = {}
        for job in jobs:
            (job.folder / FAILED).unlink(missing_ok=True)
            request = (
                {} if self.here else OmegaConf.to_container(self._config(job).hydra.launcher, resolve=True)
            )
            groups.setdefault(json.dumps(request, sort_keys=True), []).append(job)
        rows: dict[Job, RunStatus] = {}
        if len(groups) == 1:  # in the main thread, which gets the signals
            self._launch(jobs, first, rows)
            return rows
        threads = [
            threading.Thread(target=self._launch, args=(group, first, rows), daemon=True)
            for group in groups.values()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return rows

    def _config(self, job: Job) -> DictConfig:
        return self.context.config_loader.load_sweep_config(self.config, list(job.overrides))

    def _launch(self, jobs: Sequence[Job], first: int, rows: dict[Job, RunStatus]) -> None:
        """Run jobs of one request. A launcher that raises has failed all of them that it did not finish."""
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self.context, task_function=self.function, config=self._config(jobs[0])
        )
        if isinstance(launcher, Local):
            rows.update(zip(jobs, launcher.run(jobs), strict=True))
            return
        try:
            returned = launcher.launch([list(job.overrides) for job in jobs], initial_job_idx=first)
            results = [_result(one) for one in returned]
        except Exception as error:  # a job that was killed ends joblib's pool, and submitit's wait
            results = [JobResult(1, _line(error))] * len(jobs)
        for job, result in zip(jobs, results, strict=True):
            rows[job] = job.ended(result.status, result.reason)


class Grid(LaunchingSweeper):
    """Runs every combination of the values given, each a job of Hydra's launcher.

    All configurations are checked, and their data prepared, before the first job. A run that is done is left out
    unless `overwrite=true`; one that another process trains is left alone and looked at again when the others have
    ended. The sweep ends with the table of its runs, and with status 1 where a run failed, else 75 where one was
    out of time, else 130 where one was interrupted.
    """

    def sweep(self, arguments: list[str]) -> None:
        """Run the product of `arguments`. Raises ConfigurationError before any job, SystemExit as said above."""
        jobs = planned(combinations(arguments), self.here)
        rows = {job: job.status() for job in jobs if job.problem}
        interrupted = False
        try:
            with interruptible():
                self._run(jobs, rows)
        except KeyboardInterrupt:
            interrupted = True
        rows = {job: rows.get(job) or job.status() for job in jobs}
        _show(rows, interrupted and not self.here)
        states = {row.status for row in rows.values()}
        if interrupted:
            raise SystemExit(130)
        if Status.FAILED in states:
            raise SystemExit(1)
        if Status.STOPPED in states:
            out_of_time = any(row.exit_status == OUT_OF_TIME for row in rows.values())
            raise SystemExit(OUT_OF_TIME if out_of_time else 130)

    def _run(self, jobs: Sequence[Job], rows: dict[Job, RunStatus]) -> None:
        """Launch what is to be run until each job has ended, here or elsewhere. This alone leaves jobs out."""
        seen: set[Job] = set()
        have = sum(job.settled() for job in jobs)
        print(f"{have} of {len(jobs)} cells have their record; {len(jobs) - have} to run", flush=True)
        while left := [job for job in jobs if job not in rows and not job.settled()]:
            others = {job: pid for job in left if (pid := holder(job.folder)) is not None}
            ready = [job for job in left if job not in others]
            for job in others.keys() - seen:
                print(f"{job.key}: process {others[job] or '?'} is running it; left alone", flush=True)
            seen |= others.keys()
            for job in ready:
                _set_unfinished_apart(job)
            if ready:
                ended = self.launch(ready)
                rows |= {job: row for job, row in ended.items() if row.status != Status.RUNNING}
            else:
                time.sleep(LOOK_AGAIN)


def own_files() -> None:
    """Let the files of configs/hydra stand alone: plug-ins' schemas of the same names would be merged into them."""
    for group in ("launcher", "sweeper"):
        stored = ConfigStore.instance().repo.get("hydra", {}).get(group, {})
        for name in options(f"hydra/{group}"):
            stored.pop(f"{name}.yaml", None)


def _set_unfinished_apart(job: Job) -> None:
    """Move a record that ended before its budget into the run folder, for a whole record takes its path."""
    path, apart = job.key.record(job.records), job.folder / "unfinished.json"
    if path.exists() and not job.overwrite:
        job.folder.mkdir(parents=True, exist_ok=True)
        path.replace(apart)
        print(f"{path}: ended before its budget; moved to {apart}, to be run again", flush=True)


def _show(rows: dict[Job, RunStatus], elsewhere: bool) -> None:
    """Print the table of a sweep's runs, and how to run again what did not end well."""
    axes = ("preset=", "task=", "backbone=", "attention=", "seed=")
    settings = {
        job.key: "\n".join(text for text in job.setting.split() if not text.startswith(axes)) for job in rows
    }
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table("sweep", list(rows.values()), settings))
    failed = [job for job, row in rows.items() if row.status == Status.FAILED]
    lines = []
    for job in failed:
        if not job.problem and (job.folder / LOG).exists():
            lines.append(f"log:    {job.folder / LOG}")
        lines.append(f"again:  {job.typed()}")
    if failed:
        lines.append(f"{len(failed)} failed; the same command runs these again, and only these")
    elif any(row.status in (Status.STOPPED, Status.MISSING) for row in rows.values()):
        lines.append("the same command goes on from here")
    if elsewhere:
        lines.append("the jobs that were sent go on in Slurm; scancel --name=wise-lra ends them")
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def _result(returned: Any) -> JobResult:
    """Return how the job of a launcher's `JobReturn` ended; an exception of the job is a failure."""
    try:
        value = returned.return_value
    except Exception as error:  # whatever the job raised
        return JobResult(1, _line(error))
    return value if isinstance(value, JobResult) else JobResult(0)


def _line(error: Exception) -> str:
    """Return an error in one line: of a text with a traceback or a log, the first line and the last."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return one_line(f"{type(error).__name__}: {' ... '.join(dict.fromkeys([*lines[:1], *lines[-1:]]))}")
