"""The sweeper of a search: Optuna asks, Hydra's launcher runs the trials, validation accuracy answers.

hydra-optuna-sweeper is not used: it holds Optuna 2.10, whose storages fail with SQLAlchemy 2, and it knows neither
first trials nor pruning nor several workers on one study. This is Optuna's ask and tell between Hydra's interfaces.
"""

import logging
import shlex
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wise_lra.configuration import CONFIGS, ConfigurationError, compose
from wise_lra.results.lines import per_cent
from wise_lra.results.reading import one_line
from wise_lra.sweeps.found import expect_own, write_found
from wise_lra.sweeps.outcome import Outcome, outcome_of
from wise_lra.sweeps.product import EXTRA, expect_launcher, planned
from wise_lra.sweeps.space import Space

log = logging.getLogger(__name__)

IN_VAIN = 3  # waves without a single result before a search ends
UNFIT = 100  # draws in a row that cannot be built before the space is called unfit


class Search(Sweeper):
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
        self,
        study: str,
        storage: str,
        trials: int,
        at_a_time: int,
        params: DictConfig,
        first: Any,
        sampler: str,
        seed: int,
        pruner: str,
        startup_trials: int,
        warmup_points: int,
        result: str,
    ) -> None:
        self.name, self.storage, self.result = study, Path(storage), Path(result)
        self.trials, self.at_a_time, self.seed = trials, at_a_time, seed
        self._vain = 0
        self.params, self.first, self.sampler = params, first, sampler
        self.rule: dict[str, Any] = {
            "pruner": pruner,
            "startup_trials": startup_trials,
            "warmup_points": warmup_points,
        }

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher. Raises ConfigurationError on a bad setting and where a package is not installed."""
        try:
            import optuna  # noqa: F401
        except ImportError:
            raise ConfigurationError(f"hydra/sweeper=optuna: Optuna is not installed; {EXTRA}") from None
        from wise_lra.sweeps.study import PRUNERS, SAMPLERS

        expect_launcher(config)
        for key, value, least in (
            ("trials", self.trials, 1),
            ("at_a_time", self.at_a_time, 1),
            ("startup_trials", self.rule["startup_trials"], 0),
            ("warmup_points", self.rule["warmup_points"], 0),
        ):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigurationError(
                    f"hydra.sweeper.{key}={value}: expected a whole number, {least} or more"
                )
        for key, value, known in (
            ("pruner", self.rule["pruner"], PRUNERS),
            ("sampler", self.sampler, SAMPLERS),
        ):
            if value not in known:
                raise ConfigurationError(f"hydra.sweeper.{key}={value}: expected one of {', '.join(known)}")
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        self.config = config

    def sweep(self, arguments: list[str]) -> None:
        """Search. Raises ConfigurationError before the first trial, SystemExit(1) where no trial was finished."""
        from wise_lra.sweeps import study as studies

        space = Space.of(self.params or {}, self.first or (), arguments)
        space.check()
        expect_own(self.result, self.name)
        pruner = studies.make_pruner(**self.rule)
        study = studies.open_study(self.name, self.storage, space, self.sampler, self.seed, pruner)
        planned([space.fixed])  # the data, once, before jobs that would all want to make them
        with studies.worker(self.storage) as worker:
            if again := studies.revive(study, self.storage):
                log.info("%s trials of a search that was killed are begun again", again)
            while wave := self._wave(study, space, worker):
                self._run(study, space, wave)
        self._conclude(study, space)

    def _wave(self, study: Any, space: Space, worker: str) -> list[Any]:
        """Ask for the next trials; those that could not even be built end at once and do not count."""
        from optuna.trial import TrialState

        from wise_lra.sweeps import study as studies

        states = studies.counts(study)
        taken = sum(states[state] for state in (*studies.DONE, TrialState.RUNNING))
        room, unfit = min(self.at_a_time, self.trials - taken), 0
        wave: list[Any] = []
        distributions = {key: dimension.distribution() for key, dimension in space.dimensions.items()}
        while len(wave) < room:
            trial = study.ask(distributions)
            trial.set_user_attr("worker", worker)
            try:
                compose(space.overrides(trial.params))
            except ConfigurationError as error:
                trial.set_user_attr("reason", str(error))
                study.tell(trial, state=TrialState.FAIL)
                if (unfit := unfit + 1) == UNFIT:
                    raise ConfigurationError(
                        f"hydra.sweeper.params: {UNFIT} draws in a row cannot be built, the last because {error}"
                    ) from None
                continue
            wave.append(trial)
        return wave

    def _run(self, study: Any, space: Space, wave: list[Any]) -> None:
        """Let the launcher run trials, and tell the study how they ended."""
        from optuna.trial import TrialState

        where = f"storage:'{self.storage.resolve()}',study:'{self.name}'"
        rule = ",".join(f"{key}:{value}" for key, value in self.rule.items())
        jobs = [
            [*space.overrides(trial.params), f"+trial={{{where},id:{trial._trial_id},{rule}}}"]
            for trial in wave
        ]
        try:
            returned = self.launcher.launch(jobs, initial_job_idx=wave[0].number)
            outcomes = [outcome_of(one) for one in returned]
        except ConfigurationError:
            for trial in wave:
                study.tell(trial, state=TrialState.FAIL)
            raise
        except Exception as error:  # a worker that the system kills takes joblib's whole pool with it
            outcomes = [Outcome(1, f"{type(error).__name__}: {error}")] * len(wave)
        for trial, outcome in zip(wave, outcomes, strict=True):
            if outcome.reason:
                trial.set_user_attr("reason", outcome.reason)
            if outcome.status == 0 and not outcome.reason:
                study.tell(trial, outcome.value)
                log.info("trial %s: validation accuracy %s %%", trial.number, per_cent(outcome.value))
            else:
                state = TrialState.FAIL if outcome.status else TrialState.PRUNED
                study.tell(trial, state=state)
                log.info("trial %s: %s", trial.number, outcome.reason)
        failed = [outcome for outcome in outcomes if outcome.status]
        if len(failed) == len(wave) and not any(trial.values for trial in study.trials):
            self._vain += 1
            if self._vain == IN_VAIN:
                raise ConfigurationError(
                    f"{IN_VAIN} times no trial could be run, the last because {failed[-1].reason}"
                )

    def _conclude(self, study: Any, space: Space) -> None:
        """Print the trials, and write the best of them as an experiment."""
        from optuna.trial import TrialState

        from wise_lra.provenance import commit, dirty
        from wise_lra.sweeps import study as studies

        trials = studies.trials(study)
        Console(width=None if Console().is_terminal else 200).print(
            _table(self.name, trials, list(space.dimensions))
        )
        if not any(trial.state == TrialState.COMPLETE for trial in trials):
            log.warning("no trial came to its end: nothing is written")
            raise SystemExit(1)
        best, states = study.best_trial, studies.counts(study)
        overrides = space.overrides(best.params)
        found = {
            "study": self.name,
            "trial": best.number,
            "validation_accuracy": best.value,
            "trials": {str(state.name).lower(): count for state, count in sorted(states.items())},
            "sampler": self.sampler,
            "pruner": self.rule["pruner"],
            "seed": self.seed,
            "commit": commit(),
            "dirty": dirty(),
        }
        write_found(self.result, overrides, compose(overrides), found)
        hint = f"train and test it with: scripts/train.py {shlex.quote(f'experiment={self.result.stem}')}"
        print(
            f"best: trial {best.number}, validation accuracy {per_cent(best.value)} %; the test set was not read\n"
            f"written to {self.result}"
            + f"; {hint}"
            * (self.result.parent.resolve() == CONFIGS / "experiment")
        )


def _table(name: str, trials: list[Any], keys: list[str]) -> Table:
    """Return the trials, the settings searched a column each, as rich prints them."""
    grid = Table(title=f"study {name}", title_justify="left")
    grid.add_column("trial", justify="right")
    for key in keys:
        grid.add_column(key.rpartition(".")[2], justify="right")
    grid.add_column("validation %", justify="right")
    grid.add_column("state")
    values = [trial.value for trial in trials if trial.value is not None]
    for trial in trials:
        best = trial.value is not None and trial.value == max(values)
        last = max(trial.intermediate_values.items(), default=(0, None))[1]
        shown = per_cent(trial.value if trial.value is not None else last)
        reason = trial.user_attrs.get("reason", "") if trial.state.name == "FAIL" else ""
        grid.add_row(
            str(trial.number),
            *(_value(trial.params.get(key)) for key in keys),
            shown,
            Text(trial.state.name.lower() + f": {one_line(reason)}" * bool(reason)),
            style="bold green" if best else "",
        )
    return grid


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
