"""An Optuna study in a SQLite file: shared by workers, found again after a kill, never mistaken for another one."""

import json
import sqlite3
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from wise_lra.configuration import ConfigurationError
from wise_lra.grid.lock import claim, holder
from wise_lra.sweeps.space import Space

DONE = (TrialState.COMPLETE, TrialState.PRUNED)
PRUNERS = ("median", "hyperband", "none")
SAMPLERS = ("tpe", "random")


def address(storage: Path) -> str:
    """Return the URL of a storage file."""
    return f"sqlite:///{storage.resolve()}"


def open_study(name: str, storage: Path, space: Space, sampler: str, seed: int, pruner: Any) -> Any:
    """Return the study of that name in `storage`, made with its first trials if the file is not there.

    Raises ConfigurationError on a file that is no storage, one that holds another study, and a study of another
    space.
    """
    quiet()
    storage.parent.mkdir(parents=True, exist_ok=True)
    known = _studies(storage)
    if known and name not in known:
        raise ConfigurationError(
            f"hydra.sweeper.storage={storage}: holds the study {', '.join(known)}, not {name}; "
            "name another file, or that study in hydra.sweeper.study"
        )
    study = optuna.create_study(
        study_name=name,
        storage=address(storage),
        direction=StudyDirection.MAXIMIZE,
        sampler=_sampler(sampler, seed + (_asked(storage) if known else 0)),
        pruner=pruner,
        load_if_exists=True,
    )
    mine, theirs = space.fingerprint(), study.user_attrs.get("space")
    if theirs is None:
        for values in space.first:
            study.enqueue_trial(dict(values), skip_if_exists=True)
        study.set_user_attr("space", mine)
    elif theirs != mine:
        raise ConfigurationError(
            f"hydra.sweeper.storage={storage}: its study {name} is another search ({_difference(theirs, mine)}); "
            "name another file in hydra.sweeper.storage"
        )
    return study


def make_pruner(pruner: str, startup_trials: int, warmup_points: int) -> Any:
    """Return the rule by which a trial is given up, from its accuracies at the validations."""
    if pruner == "none":
        return optuna.pruners.NopPruner()
    if pruner == "hyperband":
        return optuna.pruners.HyperbandPruner()
    return optuna.pruners.MedianPruner(n_startup_trials=startup_trials, n_warmup_steps=warmup_points)


@contextmanager
def worker(storage: Path) -> Iterator[str]:
    """Yield a name for this process, which others can tell from a dead one's as long as this block lasts."""
    folder = _workers(storage) / uuid.uuid4().hex[:12]
    with claim(folder):
        yield folder.name


def revive(study: Any, storage: Path) -> int:
    """Put the trials of workers that died back into the queue; return how many."""
    stale = [
        trial
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if holder(_workers(storage) / str(trial.user_attrs.get("worker", "none"))) is None
    ]
    for trial in stale:
        study.tell(trial.number, state=TrialState.FAIL)
        if trial.params:
            study.enqueue_trial(trial.params)
    return len(stale)


def counts(study: Any) -> Counter[TrialState]:
    """Return how many trials are in each state."""
    return Counter(trial.state for trial in study.get_trials(deepcopy=False))


def trials(study: Any) -> list[FrozenTrial]:
    """Return all trials in order."""
    return list(study.get_trials(deepcopy=False))


def quiet() -> None:
    """Leave the telling to the search."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def _workers(storage: Path) -> Path:
    return storage.with_suffix(".workers")


def _studies(storage: Path) -> list[str]:
    """Return the names of the studies in a file, none if it is not there."""
    if not storage.exists():
        return []
    try:
        with sqlite3.connect(f"file:{storage.resolve()}?mode=ro", uri=True) as database:
            return [name for (name,) in database.execute("select study_name from studies order by study_id")]
    except sqlite3.Error as error:
        raise ConfigurationError(
            f"hydra.sweeper.storage={storage}: no storage of Optuna ({error}); name another file"
        ) from None


def _asked(storage: Path) -> int:
    """Return a number that grows from one start of a search to the next, so that none repeats another's draws."""
    with sqlite3.connect(f"file:{storage.resolve()}?mode=ro", uri=True) as database:
        return int(database.execute("select count(*) from trials").fetchone()[0])


def _sampler(name: str, seed: int) -> Any:
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=5, constant_liar=True)


def _difference(theirs: str, mine: str) -> str:
    old, new = json.loads(theirs), json.loads(mine)
    keys = sorted({*old["space"], *new["space"]})
    for key in keys:
        there, here = (one["space"].get(key, "not searched") for one in (old, new))
        if there != here:
            return f"there {key} is {there}, here {here}"
    apart = sorted(set(old["fixed"]) ^ set(new["fixed"]))
    return f"only one of them has {' '.join(apart)}"
