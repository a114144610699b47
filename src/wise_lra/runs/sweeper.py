"""What the sweepers of a grid and of a search share: jobs are given to a launcher, and their ends are collected."""

import json
import threading
from collections.abc import Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from wise_lra.configuration import ConfigurationError, options
from wise_lra.results.reading import one_line
from wise_lra.runs.job import Job, Outcome
from wise_lra.runs.launcher import Local, train_command
from wise_lra.runs.lock import holder
from wise_lra.runs.status import FAILED, record_failure

EXTRA = "pip install -c constraints.txt -e '.[sweeps]' (make sweeps does it)"


class LaunchingSweeper(Sweeper):
    """A sweeper that gives jobs to Hydra's launchers."""

    config: DictConfig

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives. Raises ConfigurationError where the launcher's package is not installed."""
        expect_launcher(config)
        self.config, self.context, self.function = config, hydra_context, task_function

    @property
    def here(self) -> bool:
        """Whether the jobs run on this machine."""
        return not str(self.config.hydra.launcher["_target_"]).endswith("SlurmLauncher")

    def launch(self, jobs: Sequence[Job], first: int = 0) -> dict[Job, Outcome]:
        """Run jobs and return how they ended; `first` is the number of the first one.

        A launcher has one request (time, memory, GPUs) for all its jobs. So the jobs of each request have a
        launcher of their own, on Slurm an array, and all launchers work at the same time.
        """
        groups: dict[str, list[Job]] = {}
        for job in jobs:
            groups.setdefault("" if self.here else self._request(job), []).append(job)
        outcomes: dict[Job, Outcome] = {}
        if len(groups) == 1:  # in the main thread, which gets the signals
            self._launch(jobs, first, outcomes)
            return outcomes
        threads = [
            threading.Thread(target=self._launch, args=(group, first, outcomes), daemon=True)
            for group in groups.values()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return outcomes

    def _request(self, job: Job) -> str:
        """Return the launcher's settings as the job's own configuration has them."""
        return json.dumps(
            OmegaConf.to_container(self._config(job).hydra.launcher, resolve=True), sort_keys=True
        )

    def _config(self, job: Job) -> DictConfig:
        return self.context.config_loader.load_sweep_config(self.config, list(job.overrides))

    def _launch(self, jobs: Sequence[Job], first: int, outcomes: dict[Job, Outcome]) -> None:
        """Run jobs of one request. A launcher that raises has failed all of them that it did not finish."""
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self.context, task_function=self.function, config=self._config(jobs[0])
        )
        if isinstance(launcher, Local):
            outcomes.update(zip(jobs, launcher.run(jobs), strict=True))
            return
        for job in jobs:
            (job.folder / FAILED).unlink(missing_ok=True)
        try:
            returned = launcher.launch([list(job.overrides) for job in jobs], initial_job_idx=first)
            ends = [_outcome(one) for one in returned]
        except Exception as error:  # a job that was killed ends joblib's pool, and submitit's wait
            ends = [Outcome(1, _line(error))] * len(jobs)
        for job, end in zip(jobs, ends, strict=True):
            held = end.failed and holder(job.folder) is not None
            outcomes[job] = Outcome(end.status, end.reason, held)
            if end.failed and not held and not job.key.record(job.records).exists():
                record_failure(job.folder, end.reason, end.status, train_command(job))


def own_files() -> None:
    """Let the files of configs/hydra stand alone: plug-ins' schemas of the same names would be merged into them."""
    for group in ("launcher", "sweeper"):
        stored = ConfigStore.instance().repo.get("hydra", {}).get(group, {})
        for name in options(f"hydra/{group}"):
            stored.pop(f"{name}.yaml", None)


def expect_launcher(config: DictConfig) -> None:
    """Raise ConfigurationError where the launcher of `config` is of a package that is not installed."""
    target = str(config.hydra.launcher.get("_target_"))
    if target not in Plugins.instance().class_name_to_class:
        name = config.hydra.runtime.choices.get("hydra/launcher")
        raise ConfigurationError(f"hydra/launcher={name}: not installed; {EXTRA}")


def _outcome(returned: Any) -> Outcome:
    """Return the outcome in a launcher's `JobReturn`; an exception of the job is one too."""
    try:
        value = returned.return_value
    except Exception as error:  # whatever the job raised
        return Outcome(1, _line(error))
    return value if isinstance(value, Outcome) else Outcome(1, f"ended without an outcome but with {value!r}")


def _line(error: Exception) -> str:
    """Return an error in one line: of a text with a traceback or a log, the first line and the last."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return one_line(f"{type(error).__name__}: {' ... '.join(dict.fromkeys([*lines[:1], *lines[-1:]]))}")
