"""Submitit's executors as launchers of a sweep: each job with a request of its own, each end its own.

Hydra's own launcher makes the requests of the sweep for all its jobs, raises at the first that fails, and waits for
ever for a cancelled one where Slurm keeps no accounts; what it makes of a job on the other side is taken as it is.
"""

import json
import logging
import math
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from wise_lra.configuration import ConfigurationError
from wise_lra.sweeps.outcome import Outcome

log = logging.getLogger(__name__)

PAUSE = 1.0  # seconds between two looks for results
ASKED_EVERY = 10.0  # seconds between two questions to Slurm
GRACE = 20.0  # seconds for a result to appear on a shared disk after its job has left the queue
_SHARED = {"name", "timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes"}
_SHARED |= {"stderr_to_stdout"}  # what submitit calls the same for all executors
_OURS = {"_target_", "submitit_folder", "max_num_timeout", "at_a_time"}


class Submitted:
    """What the local and the Slurm launcher have in common; mixed into Hydra's, which runs the job over there."""

    _EXECUTOR: str
    config: DictConfig | None
    hydra_context: HydraContext | None
    params: dict[str, Any]

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives. Raises ConfigurationError where Slurm or the partition asked for is not there."""
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)  # type: ignore[misc]
        self._asked, self._gone = 0.0, dict[int, float]()
        if self._EXECUTOR == "slurm":
            expect_partition(self.params.get("partition"))

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Return how each job ended, in order; those of one request are one array.

        Raises ConfigurationError where Slurm takes no job of a kind; what was sent before is cancelled.
        """
        wanted = [self._wanted(overrides) for overrides in job_overrides]
        groups: dict[str, list[int]] = {}
        for index, request in enumerate(wanted):
            groups.setdefault(json.dumps(request, sort_keys=True), []).append(index)
        if local := self._EXECUTOR == "local":
            window: float = self.params.get("at_a_time") or len(os.sched_getaffinity(0))
            pieces = [(request, [index]) for index, request in enumerate(wanted)]
        else:
            window, pieces = math.inf, [(json.loads(text), members) for text, members in groups.items()]
        left: dict[int, Any] = {}
        returned: dict[int, JobReturn] = {}
        try:
            while pieces or left:
                while pieces and len(left) < window:
                    request, members = pieces.pop(0)
                    overrides = [list(job_overrides[index]) for index in members]
                    jobs = self._sent(request, overrides, [initial_job_idx + index for index in members])
                    left |= dict(zip(members, jobs, strict=True))
                for index, end in (_ended_here(left) if local else self._ended(left)).items():
                    returned[index] = end
                    log.info(
                        "job %s ended, %s of %s left",
                        left.pop(index).job_id,
                        len(wanted) - len(returned),
                        len(wanted),
                    )
                time.sleep(PAUSE)
        except KeyboardInterrupt:
            self._leave(left)
            raise
        except Exception:
            for job in left.values():
                job.cancel(check=False)
            raise
        return [returned[index] for index in range(len(wanted))]

    def _wanted(self, overrides: Sequence[str]) -> dict[str, Any]:
        """Return the launcher's parameters as a job's own configuration has them."""
        assert self.hydra_context is not None
        assert self.config is not None
        own = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        return dict(OmegaConf.to_container(own.hydra.launcher, resolve=True))  # type: ignore[arg-type]

    def _sent(
        self, request: dict[str, Any], overrides: Sequence[list[str]], numbers: Sequence[int]
    ) -> list[Any]:
        """Hand jobs to the executor. Raises ConfigurationError where it refuses them."""
        import submitit

        retries = {f"{self._EXECUTOR}_max_num_timeout": request.get("max_num_timeout", 0)}
        executor = submitit.AutoExecutor(request["submitit_folder"], cluster=self._EXECUTOR, **retries)
        given = {key: value for key, value in request.items() if key not in _OURS and value is not None}
        given = {key: value for key, value in given.items() if (key, value) != ("gpus_per_node", 0)}
        executor.update_parameters(
            **{
                key if key in _SHARED else f"{self._EXECUTOR}_{key}": value
                for key, value in given.items()
                if key in _SHARED or self._EXECUTOR == "slurm"
            }
        )
        state, count = Singleton.get_state(), len(overrides)
        ids = [f"job_id_for_{number}" for number in numbers]
        try:
            mine: Any = self
            jobs: list[Any] = executor.map_array(
                mine, overrides, ["hydra.sweep.dir"] * count, list(numbers), ids, [state] * count
            )
        except submitit.core.utils.FailedJobError as error:
            said = [line for line in str(error).splitlines() if "error:" in line]
            what = said[-1].partition("error: ")[2] if said else " ".join(str(error).split())
            raise ConfigurationError(
                f"hydra.launcher: Slurm takes no job of {count} like this ({what}); change cluster.minutes, "
                "cluster.memory_gb, cluster.cpus, cluster.gpus or cluster.partition"
            ) from None
        log.info("%s", _told(self._EXECUTOR, jobs, given))
        return jobs

    def _ended(self, left: dict[int, Any]) -> dict[int, JobReturn]:
        """Return how those Slurm jobs ended that have ended, those too that did so without a result."""
        now = time.monotonic()
        if now - self._asked > ASKED_EVERY:
            self._asked = now
            alive = in_queue(job.job_id for job in left.values())
            if alive is not None:
                self._gone = {i: self._gone.get(i, now) for i, job in left.items() if job.job_id not in alive}
        lost = [index for index, since in self._gone.items() if index in left and now - since > GRACE]
        ended = {index: _return(Outcome(1, _lost(left[index]))) for index in lost}
        return ended | {i: _result(job) for i, job in left.items() if job.paths.result_pickle.exists()}

    def _leave(self, sent: dict[int, Any]) -> None:
        """Say what becomes of the jobs when the sweep is interrupted."""
        if self._EXECUTOR == "local":
            for job in sent.values():
                job.cancel(check=False)
        elif sent:
            arrays = " ".join(sorted({job.job_id.partition("_")[0] for job in sent.values()}))
            log.warning(
                "stopped waiting; the jobs go on in Slurm, and the same command waits for none that runs. "
                "End them with: scancel %s",
                arrays,
            )


def _ended_here(left: dict[int, Any]) -> dict[int, JobReturn]:
    return {index: _result(job) for index, job in left.items() if job.done()}


def expect_partition(partition: str | None) -> None:
    """Raise ConfigurationError where no Slurm is, where it does not answer, or where it has no such partition."""
    missing = [name for name in ("sbatch", "srun", "sinfo", "squeue") if shutil.which(name) is None]
    if missing:
        raise ConfigurationError(
            f"hydra/launcher=submitit_slurm: no {missing[0]} here; expected a machine of a Slurm cluster, "
            "or hydra/launcher=submitit_local"
        )
    asked = subprocess.run(["sinfo", "-h", "-o", "%R"], capture_output=True, text=True, check=False)
    if asked.returncode:
        said = " ".join(asked.stderr.split()) or f"status {asked.returncode}"
        raise ConfigurationError(f"hydra/launcher=submitit_slurm: Slurm does not answer ({said})")
    known = sorted(set(asked.stdout.split()))
    wrong = [name for name in (partition or "").split(",") if name and name not in known]
    if wrong:
        raise ConfigurationError(
            f"cluster.partition={partition}: no such partition; expected one of {', '.join(known)}"
        )


def in_queue(ids: Iterable[str]) -> set[str] | None:
    """Return those of some jobs that Slurm still has waiting or running, None if it does not say."""
    arrays = sorted({name.partition("_")[0] for name in ids})
    found: set[str] = set()
    for array in arrays:  # one by one: an id that Slurm has forgotten makes the question fail
        asked = subprocess.run(
            ["squeue", "-h", "-r", "-o", "%i", "-j", array], capture_output=True, text=True, check=False
        )
        if asked.returncode and "Invalid job id" not in asked.stderr:
            return None
        found |= set(asked.stdout.split())
    return found


def _told(executor: str, jobs: Sequence[Any], given: dict[str, Any]) -> str:
    array = str(jobs[0].job_id).partition("_")[0]
    what = f"{len(jobs)} job{'s' * (len(jobs) > 1)}"
    if executor == "local":
        return f"{what} started in processes of their own; logs: {_shown(jobs[0].paths.folder.parent)}"
    where = f"partition {given['partition']}" if given.get("partition") else "default partition"
    each = f"{given['timeout_min']} min, {given['mem_gb']} GB, {given['cpus_per_task']} cpus"
    gpus = f", {given['gpus_per_node']} gpus" if given.get("gpus_per_node") else ""
    logs = _shown(jobs[0].paths.folder.parent)
    return f"Slurm job {array}: {what}, each {each}{gpus}; {where}; logs: {logs}"


def _result(job: Any) -> JobReturn:
    if not job.paths.result_pickle.exists():
        return _return(Outcome(1, _lost(job)))
    try:
        return job.results()[0]
    except Exception as error:  # submitit's own, with the traceback of the job in its text
        said = [line.strip() for line in str(error).splitlines() if line.strip()]
        return _return(Outcome(1, said[-1] if said else type(error).__name__))


def _return(outcome: Outcome) -> JobReturn:
    returned = JobReturn(status=JobStatus.COMPLETED)
    returned.return_value = outcome
    return returned


def _lost(job: Any) -> str:
    log_file = job.paths.stderr
    return f"job {job.job_id} ended without a result (cancelled, killed or out of memory); log: {_shown(log_file)}"


def _shown(path: Path) -> str:
    return os.path.relpath(path)
