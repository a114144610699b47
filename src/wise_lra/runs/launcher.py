"""The local launcher: each job is a process of its own, several at a time, one for each GPU or core."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from wise_lra.configuration import CONFIGS
from wise_lra.runs.job import Job, Outcome, planned
from wise_lra.runs.pool import Pool

TRAIN = CONFIGS.parent / "scripts" / "train.py"


class Local(Launcher):
    """Hydra's launcher for this machine; `n_jobs` runs at a time, None for one a GPU, or one a core."""

    def __init__(self, n_jobs: int | None = None) -> None:
        self.n_jobs = n_jobs

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives; a job is not a call of `task_function` but a process of scripts/train.py."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Run jobs and return their outcomes as Hydra wants them."""
        outcomes = self.run(planned([tuple(overrides) for overrides in job_overrides]))
        returned = [JobReturn(status=JobStatus.COMPLETED) for _ in outcomes]
        for one, outcome in zip(returned, outcomes, strict=True):
            one.return_value = outcome
        return returned

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Run jobs and return their outcomes, in order. Raises KeyboardInterrupt where a signal ended them."""
        from wise_lra.devices import visible_gpus

        return Pool(jobs, places(visible_gpus(), self.n_jobs), train_command).run()


def places(gpus: Sequence[str], n_jobs: int | None) -> list[dict[str, str]]:
    """Return the environment of each place for a run: a GPU each, or a core each. A single run sees all GPUs."""
    count = n_jobs or len(gpus) or len(os.sched_getaffinity(0))
    if count == 1 or not gpus:
        return [{} for _ in range(count)]
    return [{"CUDA_VISIBLE_DEVICES": gpus[place % len(gpus)]} for place in range(count)]


def train_command(job: Job) -> list[str]:
    """Return the command line of a job; it ends with status 0 when its record is written."""
    return [sys.executable, os.path.relpath(TRAIN), *job.overrides]


def shown(job: Job) -> str:
    """Return the command line of a job as one types it, the interpreter from this folder where it lies below."""
    python, here = Path(sys.executable), Path.cwd()
    python = python.relative_to(here) if python.is_relative_to(here) else python
    return shlex.join([str(python), *train_command(job)[1:]])
