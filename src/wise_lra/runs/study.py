"""An Optuna study in a SQLite file: opened, checked, reported to by trials; its best becomes an experiment."""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import optuna
import yaml
from omegaconf import DictConfig, OmegaConf
from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import RandomSampler, TPESampler
from optuna.storages._heartbeat import get_heartbeat_thread
from optuna.trial import TrialState
from pytorch_lightning import Callback, LightningModule, Trainer
from sqlalchemy.exc import DatabaseError

from wise_lra.config import CONFIGS, ConfigurationError
from wise_lra.results.atomic import write_text
from wise_lra.runs.space import Space, is_science
from wise_lra.stopping import GivenUp

optuna.logging.set_verbosity(optuna.logging.WARNING)

SAMPLERS: dict[str, Callable[[int], Any]] = {
    "tpe": lambda seed: TPESampler(seed=seed, n_startup_trials=5, constant_liar=True),
    "random": RandomSampler,
}
PRUNERS: dict[
    str, Callable[[int, int], Any]
] = {  # of trials that have ended, and validations before the first
    "median": MedianPruner,
    "hyperband": lambda startup_trials, warmup_points: HyperbandPruner(),
    "none": lambda startup_trials, warmup_points: NopPruner(),
}
ACCURACY = "accuracy"  # what a trial that has come to its end sets
BEAT, GRACE = 3, 10  # seconds between two signs of life of a trial, and without one until it counts as dead


def open_study(name: str, path: Path, space: Space, sampler: str, seed: int, pruner: Any) -> optuna.Study:
    """Return the study of that name in the file `path`, created with its first trials if it is not there.

    Raises ConfigurationError on a file that is no storage, one that holds another study, and a study of another
    space.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    where = f"hydra.sweeper.storage={path}"
    try:
        storage = storage_of(path)
        names = optuna.get_all_study_names(storage)
    except DatabaseError as error:
        raise ConfigurationError(f"{where}: no storage of Optuna ({error.orig}); name another file") from None
    if names and name not in names:
        raise ConfigurationError(
            f"{where}: holds the study {', '.join(names)}, not {name}; "
            "name another file, or that study in hydra.sweeper.study"
        )
    study = optuna.create_study(
        study_name=name, storage=storage, direction="maximize", pruner=pruner, load_if_exists=True
    )
    # No start of a search repeats the draws of an earlier one.
    study.sampler = SAMPLERS[sampler](seed + len(study.get_trials(deepcopy=False)))
    mine, theirs = space.facts(), study.user_attrs.get("facts")
    if theirs is None:
        for values in space.first:
            study.enqueue_trial(dict(values), skip_if_exists=True)
        study.set_user_attr("facts", mine)
        return study
    for key in {**theirs, **mine}:
        there, here = (facts.get(key, "not there") for facts in (theirs, mine))
        if there != here:
            raise ConfigurationError(
                f"{where}: its study {name} is another search ({key}: {there} in it, {here} now); name another file"
            )
    return study


def storage_of(path: Path) -> optuna.storages.RDBStorage:
    """Return the storage in a file; a trial without a sign of life is begun again."""
    with _without_warnings():
        return optuna.storages.RDBStorage(
            f"sqlite:///{path.resolve()}",
            heartbeat_interval=BEAT,
            grace_period=GRACE,
            heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(),
        )


def ask(study: Any, space: Space, alive: ExitStack) -> optuna.Trial:
    """Return the next trial; it gives signs of life until `alive` ends, as in `Study.optimize`."""
    with _without_warnings():
        trial = study.ask(space.distributions)
    alive.enter_context(cast(Any, get_heartbeat_thread(trial._trial_id, study._storage)))
    return trial


def retry_dead_trials(study: optuna.Study) -> None:
    """Queue the trials of killed searches again; wait for a sign of life of those that may still run."""
    deadline = time.monotonic() + GRACE + BEAT
    while True:
        with _without_warnings():
            optuna.storages.fail_stale_trials(study)
        if not study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)) or time.monotonic() > deadline:
            return
        time.sleep(0.5)


class Reported(Callback):
    """Reports each validation's accuracy to the study of a trial, counted in validations from 1.

    Args:
        trial: storage, study and id of the trial; pruner, startup_trials and warmup_points of its search.
    """

    def __init__(self, trial: Mapping[str, Any]) -> None:
        pruner = PRUNERS[trial["pruner"]](trial["startup_trials"], trial["warmup_points"])
        storage = storage_of(Path(trial["storage"]))
        study = optuna.load_study(study_name=trial["study"], storage=storage, pruner=pruner)
        self._trial = optuna.trial.Trial(study, trial["id"])
        self._told = len(study.trials[self._trial.number].intermediate_values)
        self._points = 0

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Count the validations before a resume."""
        self._points = trainer.current_epoch

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Report, and raise GivenUp where the study says so."""
        self._points += 1
        if self._points <= self._told:
            return
        accuracy = float(trainer.callback_metrics["validation/accuracy"])
        self._trial.report(accuracy, self._points)
        if self._trial.should_prune():
            raise GivenUp(
                f"given up at step {trainer.global_step}: validation accuracy {100 * accuracy:.2f} %"
            )

    def finish(self, accuracy: float) -> None:
        """Keep the accuracy that the trial came to, for the search to read."""
        self._trial.set_user_attr(ACCURACY, accuracy)


def expect_own(path: Path, study: str) -> None:
    """Raise ConfigurationError where `path` is a file that the study did not write."""
    if not path.exists():
        return
    try:
        content = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("found", {})
    except (yaml.YAMLError, AttributeError):
        content = {}
    if content.get("study") != study:
        raise ConfigurationError(
            f"hydra.sweeper.result={path}: expected a file of the study {study}, or none; name another file"
        )


def write_experiment(path: Path, overrides: Sequence[str], cfg: DictConfig, facts: dict[str, Any]) -> None:
    """Write overrides as a file of configs/experiment, which `experiment=` loads; its record will hold `facts`."""
    choices = {axis: cfg[axis].name for axis in ("preset", "task", "backbone", "attention")}
    if choices["attention"] == "none":  # the backbone's own choice
        del choices["attention"]
    settings = OmegaConf.create()
    for override in filter(is_science, overrides):
        key = override.lstrip("+~").partition("=")[0]
        if key != "seed" and not ("." not in key and (CONFIGS / key).is_dir()):
            OmegaConf.update(settings, key, OmegaConf.select(cfg, key), force_add=True)
    content = {
        "defaults": [{f"override /{group}": choice} for group, choice in choices.items()],
        **OmegaConf.to_container(settings),  # type: ignore[dict-item]
        "found": facts,
    }
    head = (
        "# @package _global_\n"
        f"# The best of a search by validation accuracy. To train and test it: train.py experiment={path.stem}\n"
    )
    write_text(path, head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Optuna warns that retrying is experimental, and that `Study.optimize` is what gives signs of life."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", "Heartbeat of storage", UserWarning)
        yield
