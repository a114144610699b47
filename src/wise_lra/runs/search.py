"""The sweeper of a search: Optuna asks, a launcher runs the trials, validation accuracy answers."""

import logging
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wise_lra.checks import expect_whole
from wise_lra.config import CONFIGS, ConfigurationError, compose
from wise_lra.results.reading import one_line
from wise_lra.results.text import per_cent
from wise_lra.runs.job import Job, planned
from wise_lra.runs.status import Status
from wise_lra.runs.sweeper import EXTRA, LaunchingSweeper

log = logging.getLogger(__name__)

WITHOUT_RESULT = 3  # waves without a single result before a search ends
UNFIT = 100  # draws in a row that cannot be built before the space is called unfit


class Search(LaunchingSweeper):
    """Searches the space of `params` for the best validation accuracy; test data are never read.

    Args:
        study: the name of the study in the storage.
        storage: a SQLite file; several searches may work on it at once, and one that was killed goes on.
        trials: how many the study shall have in all, those given up early counted, failed ones not.
        at_a_time: trials that the launcher is given at once.
        params: the space, in Hydra's sweep syntax.
        first: settings that are tried before any is drawn.
        sampler: "tpe" or "random".
        seed: of the sampler.
        pruner: "median", "hyperband" or "none".
        startup_trials: trials that must have ended before the median gives any up.
        warmup_points: validations of a trial before the median may give it up.
        result: the file for the best configuration.
    """

    def __init__(
        self, study: str, storage: str, result: str, params: DictConfig, first: Any, **settings: Any
    ) -> None:
        self.name, self.storage, self.result = study, Path(storage), Path(result)
        self.params: Any = params or {}
        self.first, self.settings = first or (), settings
        self.rule = {key: settings[key] for key in ("pruner", "startup_trials", "warmup_points")}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra gives. Raises ConfigurationError on a bad setting, and without Optuna."""
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        try:
            from wise_lra.runs.study import PRUNERS, SAMPLERS
        except ImportError:
            raise ConfigurationError(f"hydra/sweeper=optuna: Optuna is not installed; {EXTRA}") from None
        least = {"trials": 1, "at_a_time": 1, "seed": 0, "startup_trials": 0, "warmup_points": 0}
        for key, low in least.items():
            expect_whole(f"hydra.sweeper.{key}", self.settings[key], low, 10**9)
        for key, known in (("pruner", PRUNERS), ("sampler", SAMPLERS)):
            if (value := self.settings[key]) not in known:
                raise ConfigurationError(f"hydra.sweeper.{key}={value}: expected one of {', '.join(known)}")

    def sweep(self, arguments: list[str]) -> None:
        """Search. Raises ConfigurationError before the first trial, SystemExit(1) where no trial was finished."""
        from wise_lra.runs import study as studies
        from wise_lra.runs.space import Space

        space = Space.of(self.params, self.first, arguments)
        space.check()
        studies.expect_own(self.result, self.name)
        pruner = studies.pruner_of(*self.rule.values())
        study = studies.open_study(
            self.name, self.storage, space, self.settings["sampler"], self.settings["seed"], pruner
        )
        (job,) = planned([space.fixed], self.here)  # prepares the data, once for all trials
        if job.problem:
            raise ConfigurationError(job.problem)
        studies.retry_dead_trials(study)
        without_result = 0
        while wave := self._wave(study, space):
            reason = self._run(study, wave)
            without_result = without_result + 1 if reason and not any(t.values for t in study.trials) else 0
            if without_result == WITHOUT_RESULT:
                raise ConfigurationError(
                    f"{WITHOUT_RESULT} times no trial could be run, the last because {reason}"
                )
        self._conclude(study, space)

    def _wave(self, study: Any, space: Any) -> dict[Job, Any]:
        """Ask for the next trials; those that cannot be built end at once and do not count."""
        from optuna.trial import TrialState

        from wise_lra.runs.study import ask

        counting = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        taken = len(study.get_trials(deepcopy=False, states=counting))
        room, unfit = min(self.settings["at_a_time"], self.settings["trials"] - taken), 0
        where = f"storage:'{self.storage.resolve()}',study:'{self.name}'"
        rule = ",".join(f"{key}:{value}" for key, value in self.rule.items())
        wave: dict[Job, Any] = {}
        while len(wave) < room:
            trial = ask(study, space.distributions)
            reference = f"+trial={{{where},id:{trial._trial_id},{rule}}}"
            try:
                (job,) = planned([(*space.overrides(trial.params), reference)], self.here)
            except ConfigurationError as error:
                trial.set_user_attr("reason", str(error))
                study.tell(trial, state=TrialState.FAIL)
                if (unfit := unfit + 1) == UNFIT:
                    raise ConfigurationError(
                        f"hydra.sweeper.params: {UNFIT} draws in a row cannot be built, the last because {error}"
                    ) from None
                continue
            wave[job] = trial
        return wave

    def _run(self, study: Any, wave: dict[Job, Any]) -> str:
        """Let the launcher run trials, tell the study how they ended; return why the last failed, if all did."""
        from optuna.trial import TrialState

        from wise_lra.runs.study import ACCURACY, heartbeat

        with heartbeat(study, wave.values()):
            rows = self.launch(list(wave), min(trial.number for trial in wave.values()))
        reasons = []
        for job, trial in wave.items():
            row, attributes = rows[job], study.trials[trial.number].user_attrs
            if row.status != Status.DONE:
                reasons.append(row.reason)
                trial.set_user_attr("reason", row.reason)
                study.tell(trial, state=TrialState.FAIL)
                log.info("trial %s: %s", trial.number, row.reason)
            elif (accuracy := attributes.get(ACCURACY)) is None:
                study.tell(trial, state=TrialState.PRUNED)
                log.info("trial %s: given up by the pruner", trial.number)
            else:
                study.tell(trial, accuracy)
                log.info("trial %s: validation accuracy %s %%", trial.number, per_cent(accuracy))
        return reasons[-1] if len(reasons) == len(wave) else ""

    def _conclude(self, study: Any, space: Any) -> None:
        """Print the trials, and write the best of them as an experiment."""
        from wise_lra.provenance import commit, dirty
        from wise_lra.runs.study import write_experiment

        trials = study.get_trials(deepcopy=False)
        console = Console(width=None if Console().is_terminal else 200)
        console.print(_table(self.name, trials, list(space.distributions)))
        counts = Counter(trial.state.name.lower() for trial in trials)
        if not counts["complete"]:
            log.warning("no trial came to its end: nothing is written")
            raise SystemExit(1)
        best = study.best_trial
        overrides = space.overrides(best.params)
        found = {
            "study": self.name,
            "trial": best.number,
            "validation_accuracy": best.value,
            "trials": dict(sorted(counts.items())),
            **{key: self.settings[key] for key in ("sampler", "pruner", "seed")},
            "commit": commit(),
            "dirty": dirty(),
        }
        write_experiment(self.result, overrides, compose(overrides), found)
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
        failed = trial.state.name == "FAIL"
        shown.add_row(
            str(trial.number),
            *(_value(trial.params.get(key)) for key in keys),
            per_cent(trial.value if trial.value is not None else last),
            Text(
                trial.state.name.lower() + f": {one_line(trial.user_attrs.get('reason', 'killed'))}" * failed
            ),
            style="bold green" if trial.value is not None and trial.value == best else "",
        )
    return shown


def _value(value: Any) -> Text:
    return Text(f"{value:.3g}" if isinstance(value, float) else one_line(str(value)))
