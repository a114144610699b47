"""Oracle: products written out by hand, splits as they are opened, and what a mistake's one line must name."""

import shutil
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import torch
import yaml
from conftest import Script
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution
from test_training import command, folder

from wise_lra import config
from wise_lra.config import ConfigurationError, compose, options
from wise_lra.data import datamodule
from wise_lra.data.packed import PackedSplit
from wise_lra.data.task import Task
from wise_lra.identity import preset_label
from wise_lra.results.record import read_all
from wise_lra.runs import study as studies
from wise_lra.runs.job import planned
from wise_lra.runs.selection import combinations
from wise_lra.runs.space import Space, corners, holds
from wise_lra.runs.study import PRUNERS, Reported, open_study, retry_dead_trials, storage_of
from wise_lra.runs.sweeper import Grid
from wise_lra.stopping import GivenUp
from wise_lra.train import train, validate

__all__ = ["folder"]

ROOT = Path(__file__).parents[1]
SEARCHES = [name for name in options("sweep") if name != "product"]
TINY = {"recipe.lr": "tag(log, interval(0.001, 0.1))", "heads.number": "choice(1, 2)"}


def swept(folder: Path, place: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    interpreter, script, *settings = command(folder, place, "backbone=fnet", "trainer.progress=none")
    sweep = [interpreter, script, "-m", *settings, f"hydra.sweep.dir={place / 'multirun'}", *overrides]
    return subprocess.run(sweep, capture_output=True, text=True, check=False)


def test_the_product_has_each_cell_once() -> None:
    assert combinations(["task=image", "backbone=vanilla,wise_fixed", "seed=range(0,2)"]) == [
        ("task=image", "backbone=vanilla", "seed=0"),
        ("task=image", "backbone=vanilla", "seed=1"),
        ("task=image", "backbone=wise_fixed", "seed=0"),
        ("task=image", "backbone=wise_fixed", "seed=1"),
    ]
    globbed = {one[0] for one in combinations(["backbone=glob(wise_*)"])}
    assert globbed == {f"backbone={name}" for name in options("backbone") if name.startswith("wise_")}


def test_a_backbone_without_attention_has_one_cell() -> None:
    found = combinations(["backbone=vanilla,fnet", "attention=softmax,linear"])
    assert found == [
        ("backbone=vanilla", "attention=softmax"),
        ("backbone=vanilla", "attention=linear"),
        ("backbone=fnet",),
    ]
    alone = combinations(["backbone=vanilla,fnet", "attention=choice(linear)"])
    assert alone == [("backbone=vanilla", "attention=linear"), ("backbone=fnet",)]


def test_a_bad_cell_of_a_product_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"heads.number=3.*the cell heads.number=3"):
        planned([("task=image", f"heads.number={number}") for number in (2, 3)])


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about a machine without GPUs")
def test_devices_that_are_not_here_are_named_before_any_job(tmp_path: Path) -> None:
    cells = [("trainer=gpu", f"data.root={tmp_path}", f"seed={seed}") for seed in (0, 1)]
    with pytest.raises(ConfigurationError, match=r"trainer.*the cell seed=0"):
        planned(cells)
    assert not list(tmp_path.iterdir())


def test_a_launcher_that_is_not_installed_is_named() -> None:
    node = {
        "launcher": {"_target_": "hydra_plugins.none.X"},
        "runtime": {"choices": {"hydra/launcher": "joblib"}},
    }
    with pytest.raises(ConfigurationError, match=r"hydra/launcher=joblib: .*\[sweeps\]"):
        Grid().setup(hydra_context=None, task_function=None, config=OmegaConf.create({"hydra": node}))


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["local", "joblib", "submitit_local"])
def test_launchers_end_in_the_same_table_and_what_is_done_is_left_alone(
    folder: Path, tmp_path: Path, launcher: str
) -> None:
    settings = (f"hydra/launcher={launcher}", "recipe.steps=20", "seed=0,1")
    done = swept(folder, tmp_path, *settings, "recipe.lr=1e30,0.01")
    assert done.returncode == 1, done.stderr
    assert "4 cells: 2 done · 0 running · 2 failed" in done.stdout
    assert "recipe.lr=1e+30" in done.stdout
    assert len(list(tmp_path.rglob("failed.json"))) == 2
    records = read_all(tmp_path / "records")
    assert [(record.seed, record.config["recipe"]["lr"]) for record in records] == [(0, 0.01), (1, 0.01)]
    again = swept(folder, tmp_path, *settings, "recipe.lr=0.01")
    assert again.returncode == 0, again.stderr
    assert "2 of 2 cells have their record; 0 to run" in again.stdout
    assert read_all(tmp_path / "records") == records


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("hydra/launcher=slurm", "submitit_slurm"),
        ("hydra.launcher.n_jobs=-1", "hydra.launcher.n_jobs=-1"),
        ("tusk=image,text", "tusk=image"),
    ],
)
def test_a_mistake_ends_a_sweep_in_one_line(tmp_path: Path, override: str, named: str) -> None:
    done = swept(tmp_path, tmp_path, override)
    assert done.returncode == 2
    assert named in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert list(tmp_path.iterdir()) == []


def searched(name: str, *arguments: str) -> Space:
    """Return a search as its file has it."""
    node = yaml.safe_load((ROOT / f"configs/sweep/{name}.yaml").read_text(encoding="utf-8"))["hydra"][
        "sweeper"
    ]
    return Space.of(node["params"], node["first"], [f"sweep={name}", *arguments])


@pytest.mark.parametrize("name", SEARCHES)
def test_the_first_trials_are_lras_and_the_authors(name: str) -> None:
    space = searched(name)
    for preset, values in zip(("lra", "paper"), space.first, strict=True):
        cfg = compose([f"task={name}", f"preset={preset}"])
        assert {key: OmegaConf.select(cfg, key) for key in values} == values
        assert all(holds(space.distributions[key], value) for key, value in values.items())


@pytest.mark.slow
@pytest.mark.parametrize("name", SEARCHES)
def test_every_value_of_every_search_composes(name: str) -> None:
    for preset in ("quick", "paper"):
        searched(name, f"preset={preset}").check()


def test_a_space_is_read_in_hydras_words() -> None:
    space = Space.of(
        TINY, [{"recipe.lr": 0.01, "heads.number": 2}], ["task=image", "heads.number=1", "model.depth=1,2"]
    )
    assert space.distributions == {
        "recipe.lr": FloatDistribution(0.001, 0.1, log=True),
        "model.depth": CategoricalDistribution((1, 2)),
    }
    assert [corners(one) for one in space.distributions.values()] == [(0.001, 0.1), (1, 2)]
    assert space.fixed == ("task=image", "heads.number=1")
    assert space.first == ({"recipe.lr": 0.01},)


@pytest.mark.parametrize(
    ("params", "first", "named"),
    [
        ({"recipe.lrr": "choice(1, 2)"}, [], r"recipe.lrr=1: .*recipe.lr\b"),
        ({"wavelet.name": "choice(db2, bd4)", "backbone": "choice(wise_fixed)"}, [], "backbone"),
        ({"recipe.lr": "interval(0.1, 0.01)"}, [], r"recipe.lr=interval\(0.1, 0.01\)"),
        ({"recipe.lr": "tag(log, interval(0, 1))"}, [], r"recipe.lr=tag.*: .* 0 "),
        ({"recipe.lr": "0.1"}, [], r"recipe.lr=0.1: .*choice"),
        ({"heads.number": "choice(1, 3)"}, [], r"heads.number=3.*heads.qkv_dim"),
        (TINY, [{"recipe.lr": 0.5}], r"first\[0\].recipe.lr=0.5: .*0.001"),
        (TINY, [{"recipe.steps": 5}], r"first\[0\].recipe.steps=5: .*recipe.lr"),
        ({}, [], "hydra.sweeper.params"),
    ],
)
def test_a_space_that_cannot_be_searched_is_named(params: Any, first: Any, named: str) -> None:
    if named == "backbone":  # a wavelet matters only where the backbone has it
        params, named = {"wavelet.name": "choice(db2, bd4)"}, "bd4"
    with pytest.raises(ConfigurationError, match=named):
        Space.of(params, first, ["backbone=wise_fixed"]).check()


def opened_study(storage: Path, name: str = "tiny", params: Any = TINY) -> Any:
    space = Space.of(params, [{"recipe.lr": 0.01, "heads.number": 2}], [])
    return open_study(name, storage, space, "tpe", 0, PRUNERS["median"](1, 0))


def test_a_storage_of_another_study_is_named(tmp_path: Path) -> None:
    storage = tmp_path / "study.db"
    study = opened_study(storage)
    assert opened_study(storage).study_name == study.study_name
    (first,) = study.trials
    assert first.system_attrs["fixed_params"] == {"recipe.lr": 0.01, "heads.number": 2}
    with pytest.raises(ConfigurationError, match=r"study.db: .*tiny.*other"):
        opened_study(storage, "other")
    with pytest.raises(ConfigurationError, match=r"study.db: .*heads.number"):
        opened_study(storage, params=TINY | {"heads.number": "choice(1, 2, 4)"})
    (tmp_path / "text.db").write_text("no database\n" * 100)
    with pytest.raises(ConfigurationError, match=r"text\.db: "):
        opened_study(tmp_path / "text.db")


def test_the_trials_of_a_killed_search_are_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studies, "BEAT", 1)
    monkeypatch.setattr(studies, "GRACE", 2)
    study, space = opened_study(tmp_path / "study.db"), Space.of(TINY, [], [])
    with ExitStack() as alive:
        with ExitStack() as dying:
            dead = studies.ask(study, space, dying)
        studies.ask(study, space, alive)
        retry_dead_trials(study)
        states = [trial.state.name for trial in study.trials]
        assert states == ["FAIL", "RUNNING", "WAITING"]
        assert studies.ask(study, space, alive).params == dead.params


def test_a_trial_below_the_median_is_given_up(tmp_path: Path) -> None:
    storage = tmp_path / "study.db"
    study = opened_study(storage)
    rule = {"pruner": "median", "startup_trials": 1, "warmup_points": 0}
    module: Any = None
    for accuracy, given_up in ((0.5, False), (0.6, False), (0.1, True)):
        with ExitStack() as alive:
            trial = studies.ask(study, Space({}), alive)
        told = Reported({"storage": str(storage), "study": "tiny", "id": trial._trial_id, **rule})
        trainer: Any = SimpleNamespace(
            callback_metrics={"validation/accuracy": torch.tensor(accuracy)}, current_epoch=0, global_step=10
        )
        told.on_train_start(trainer, module)
        if given_up:
            with pytest.raises(GivenUp, match="step 10"):
                told.on_validation_end(trainer, module)
        else:
            told.on_validation_end(trainer, module)
            study.tell(trial, accuracy)
        assert study.trials[trial.number].intermediate_values == {1: pytest.approx(accuracy)}


def search(folder: Path, place: Path, trials: int, *more: str) -> subprocess.CompletedProcess[str]:
    settings = (
        *("hydra/sweeper=optuna", f"hydra.sweeper.trials={trials}", "hydra.sweeper.study=tiny"),
        *(f"hydra.sweeper.storage={place / 'tiny.db'}", f"hydra.sweeper.result={place / 'tiny.yaml'}"),
        *("recipe.lr=tag(log,interval(0.001,0.1))", "model.dropout=0.0,0.1", "recipe.steps=20", *more),
    )
    return swept(folder, place, *settings)


@pytest.mark.parametrize(
    ("work", "opened"), [(validate, {"train", "validation"}), (train, {"train", "validation", "test"})]
)
def test_a_trial_never_opens_the_test_split_and_a_run_does(
    work: Callable[[DictConfig], Any],
    opened: set[str],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The data module opens splits; that all files are hashed before it reads no example."""
    splits = []

    class Noted(PackedSplit):
        def __init__(self, folder: Path, split: str, task: Task) -> None:
            splits.append(split)
            super().__init__(folder, split, task)

    monkeypatch.setattr(datamodule, "PackedSplit", Noted)
    work(compose(command(folder, tmp_path, "backbone=fnet", "trainer.progress=none")[2:]))
    assert set(splits) == opened


@pytest.mark.slow
def test_a_search_writes_no_record_and_its_best_is_an_experiment(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = search(folder, tmp_path, 2)
    assert done.returncode == 0, done.stderr
    assert "the test set was not read" in done.stdout
    assert read_all(tmp_path / "records") == []
    study = optuna.load_study(study_name="tiny", storage=storage_of(tmp_path / "tiny.db"))
    assert len(study.trials) == 2

    configs = Path(shutil.copytree(config.CONFIGS, tmp_path / "configs"))
    shutil.copy(tmp_path / "tiny.yaml", configs / "experiment" / "tiny.yaml")
    monkeypatch.setattr(config, "CONFIGS", configs)
    cfg = compose(["experiment=tiny"])
    assert cfg.recipe.lr == study.best_params["recipe.lr"]
    assert cfg.found.trial == study.best_trial.number
    assert cfg.found.validation_accuracy == pytest.approx(study.best_value)
    assert cfg.backbone.name == "fnet"
    assert preset_label(cfg).startswith("quick-")


@pytest.mark.slow
def test_a_search_goes_on_where_it_was_and_workers_share_it(folder: Path, tmp_path: Path) -> None:
    assert search(folder, tmp_path, 2).returncode == 0
    parallel = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.at_a_time=2")
    done = search(folder, tmp_path, 6, *parallel)
    assert done.returncode == 0, done.stderr
    study = optuna.load_study(study_name="tiny", storage=storage_of(tmp_path / "tiny.db"))
    ended = [trial for trial in study.trials if trial.state.is_finished()]
    assert len(ended) == len(study.trials) == 6
    other = search(folder, tmp_path, 7, "recipe.batch_size=4")
    assert other.returncode == 2
    assert "recipe.batch_size" in other.stderr


def test_a_sweep_of_wandb_has_the_same_space(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "sweep.yaml"
    fixed = [f"{key}=1" for key in ("heads.number", "model.depth", "wavelet.level")]
    fixed += ["wavelet.name=db2", "wavelet.taps=4", "recipe.schedule=cosine"]
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_PROJECT", "lab")
    done = script("wandb_sweep", "image", *fixed, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "wandb sweep --project lab" in done.stdout
    sweep = yaml.safe_load(out.read_text(encoding="utf-8"))
    assert sweep["metric"] == {"name": "validation/accuracy", "goal": "maximize"}
    assert sweep["parameters"] == {
        "recipe.lr": {"min": 0.0001, "max": 0.01, "distribution": "log_uniform_values"},
        "recipe.warmup_steps": {"min": 10, "max": 20000, "distribution": "q_log_uniform_values", "q": 1},
        "model.dropout": {"values": [0.0, 0.1, 0.2, 0.3]},
    }
    assert sweep["command"][-2:] == ["test=false", "${args_no_hyphens}"]
    assert "heads.number=1" in sweep["command"]
