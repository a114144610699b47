"""The sweeper of a search: Optuna asks, a launcher runs the trials, validation accuracy answers."""

import logging
import shlex
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import optuna
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from optuna.trial import TrialState
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wise_lra.checks import expect_whole
from wise_lra.config import CONFIGS, ConfigurationError, compose
from wise_lra.provenance import commit, dirty
from wise_lra.results.reading import one_line
from wise_lra.results.text import per_cent
from wise_lra.runs import study as studies
from wise_lra.runs.job import Job, planned
from wise_lra.runs.space import Space
from wise_lra.runs.status import Status
from wise_lra.runs.sweeper import LaunchingSweeper

log = logging.getLogger(__name__)

MOST_FAILURES = 20  # trials in a row that may fail before a search ends


class Search(LaunchingSweeper):
    """Searches the space of `params` for the best validation accuracy; test data are never read.

    Its settings are those of configs/hydra/sweeper/optuna.yaml, which tells what each means.
    """

    def __init__(
        self, study: str, storage: str, result: str, params: DictConfig, first: Any, **settings: Any
    ) -> None:
        self.name, self.storage, self.result = study, Path(storage), Path(result)
        self.params: Any = params or {}
        self.first, self.settings, self.failures = first or (), settings, 0

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives. Raises ConfigurationError on a bad setting."""
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        least = {"trials": 1, "at_a_time": 1, "seed": 0, "startup_trials": 0, "warmup_points": 0}
        for key, low in least.items():
            expect_whole(f"hydra.sweeper.{key}", self.settings[key], low, 10**9)
        for key, known in (("pruner", studies.PRUNERS), ("sampler", studies.SAMPLERS)):
            if (value := self.settings[key]) not in known:
                raise ConfigurationError(f"hydra.sweeper.{key}={value}: expected one of {', '.join(known)}")

    def sweep(self, arguments: list[str]) -> None:
        """Search. Raises ConfigurationError before the first trial, SystemExit(1) where no trial was finished."""
        space = Space.of(self.params, self.first, arguments)
        space.check()
        studies.expect_own(self.result, self.name)
        rule = {key: self.settings[key] for key in ("pruner", "startup_trials", "warmup_points")}
        pruner = studies.PRUNERS[rule["pruner"]](rule["startup_trials"], rule["warmup_points"])
        sampler, seed = self.settings["sampler"], self.settings["seed"]
        study = studies.open_study(self.name, self.storage, space, sampler, seed, pruner)
        self.trial = {"storage": f"'{self.storage.resolve()}'", "study": f"'{self.name}'", **rule}
        (job,) = planned([space.fixed], self.here)  # prepares the data, once for all trials
        if job.problem:
            raise ConfigurationError(job.problem)
        studies.retry_dead_trials(study)
        while room := self._room(study):
            self._run(study, space, room)
        self._conclude(study, space)

    def _room(self, study: optuna.Study) -> int:
        """Return how many trials come next, 0 where the study has all; those of other searches count."""
        counting = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        taken = len(study.get_trials(deepcopy=False, states=counting))
        return max(0, min(self.settings["at_a_time"], self.settings["trials"] - taken))

    def _run(self, study: optuna.Study, space: Space, room: int) -> None:
        """Ask for trials, let the launcher run them, and tell the study how they ended.

        Values that cannot be built together fail at once and do not count.
        Raises ConfigurationError where MOST_FAILURES trials in a row failed.
        """
        jobs: dict[Job, optuna.Trial] = {}
        with ExitStack() as alive:
            while len(jobs) < room:
                trial = studies.ask(study, space, alive)
                settings = ",".join(f"{k}:{v}" for k, v in {**self.trial, "id": trial._trial_id}.items())
                try:
                    (job,) = planned([(*space.overrides(trial.params), f"+trial={{{settings}}}")], self.here)
                    jobs[job] = trial
                except ConfigurationError as error:
                    self._fail(study, trial, str(error))
            rows = self.launch(list(jobs), min(trial.number for trial in jobs.values()))
        for job, trial in jobs.items():
            row, accuracy = rows[job], study.trials[trial.number].user_attrs.get(studies.ACCURACY)
            if row.status != Status.DONE:
                self._fail(study, trial, row.reason)
                continue
            self.failures = 0
            told = {"state": TrialState.PRUNED} if accuracy is None else {"values": accuracy}
            ended = study.tell(trial, **told)
            log.info("trial %s: %s, %s %%", trial.number, ended.state.name.lower(), per_cent(ended.value))

    def _fail(self, study: optuna.Study, trial: optuna.Trial, reason: str) -> None:
        trial.set_user_attr("reason", reason)
        study.tell(trial, state=TrialState.FAIL)
        log.info("trial %s: %s", trial.number, reason)
        self.failures += 1
        if self.failures == MOST_FAILURES:
            raise ConfigurationError(
                f"study {self.name}: {self.failures} trials in a row failed, the last because {reason}; "
                "expected a smaller space in hydra.sweeper.params, or other settings"
            )

    def _conclude(self, study: optuna.Study, space: Space) -> None:
        """Print the trials, and write the best of them as an experiment."""
        trials = study.get_trials(deepcopy=False)
        console = Console(width=None if Console().is_terminal else 200)
        console.print(_table(self.name, trials, list(space.distributions)))
        counts = Counter(trial.state.name.lower() for trial in trials)
        if not counts["complete"]:
            log.warning("no trial came to its end: nothing is written")
            raise SystemExit(1)
        best = study.best_trial
        overrides = space.overrides(best.params)
        facts = {
            "study": self.name,
            "trial": best.number,
            "validation_accuracy": best.value,
            "trials": dict(sorted(counts.items())),
            **{key: self.settings[key] for key in ("sampler", "pruner", "seed")},
            "commit": commit(),
            "dirty": dirty(),
        }
        studies.write_experiment(self.result, overrides, compose(overrides), facts)
        hint = f"; train and test it with: scripts/train.py {shlex.quote(f'experiment={self.result.stem}')}"
        print(
            f"best: trial {best.number}, validation accuracy {per_cent(best.value)} %; the test set was not read\n"
            f"written to {self.result}" + hint * (self.result.parent.resolve() == CONFIGS / "experiment")
        )


def _table(name: str, trials: list[Any], keys: list[str]) -> Table:
    """Return the trials, a column for each setting that was searched, as rich prints them."""
    shown = Table(title=f"study {name}", title_justify="left")
    for head in ("trial", *(key.rpartition(".")[2] for key in keys), "validation %"):
        shown.add_column(head, justify="right")
    shown.add_column("state")
    best = max((trial.value for trial in trials if trial.value is not None), default=None)
    for trial in trials:
        last = max(trial.intermediate_values.items(), default=(0, None))[1]
        state = trial.state.name.lower()
        if trial.state == TrialState.FAIL:
            state += f": {one_line(trial.user_attrs.get('reason', 'killed'))}"
        values = [trial.params.get(key) for key in keys]
        shown.add_row(
            str(trial.number),
            *(Text(f"{one:.3g}" if isinstance(one, float) else one_line(str(one))) for one in values),
            per_cent(trial.value if trial.value is not None else last),
            Text(state),
            style="bold green" if trial.value is not None and trial.value == best else "",
        )
    return shown
