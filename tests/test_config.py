"""Oracle: the hand-written list of choices and mistakes; a mistake must end in one line that names its key."""

import itertools
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from wise_lra import config, registry
from wise_lra.config import (
    CONFIGS,
    ConfigurationError,
    check,
    compose,
    opened,
    options,
    plain_dict,
    wandb_mode,
    wandb_project,
)
from wise_lra.registry import TASKS

ROOT = Path(__file__).parents[1]
ATTENTIONS = [name for name in options("attention") if name != "none"]
BACKBONES = options("backbone")


def composed(preset: str, task: str, backbone: str, attention: str = "softmax") -> DictConfig:
    choice = attention if registry.BACKBONES[backbone].holds_attention else "none"
    cfg = compose([f"preset={preset}", f"task={task}", f"backbone={backbone}", f"attention={choice}"])
    assert (cfg.preset.name, cfg.task.name, cfg.backbone.name) == (preset, task, backbone)
    assert cfg.attention.name == choice
    return cfg


@pytest.mark.parametrize("preset", options("preset"))
@pytest.mark.parametrize("task", TASKS)
def test_backbones_of_a_task_share_recipe_and_sizes(preset: str, task: str) -> None:
    cells = [composed(preset, task, backbone) for backbone in BACKBONES]
    assert all(cell.recipe == cells[0].recipe for cell in cells)
    sizes = [{k: v for k, v in cell.model.items() if k not in ("mixer", "block")} for cell in cells]
    assert all(size == sizes[0] for size in sizes)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_attention_of_every_backbone_composes(backbone: str) -> None:
    for attention in ATTENTIONS:
        composed("quick", "image", backbone, attention)


@pytest.mark.slow
@pytest.mark.parametrize("preset", options("preset"))
@pytest.mark.parametrize("task", TASKS)
def test_every_cell_with_every_attention_composes(preset: str, task: str) -> None:
    for backbone, attention in itertools.product(BACKBONES, ATTENTIONS):
        composed(preset, task, backbone, attention)


def test_every_option_of_every_group_composes() -> None:
    for group in ("trainer", "logger", "callbacks"):
        for option in options(group):
            assert compose([f"{group}={option}"])


def test_lra_is_the_base_transformer_of_the_reference() -> None:
    """LRA's table: d_model, heads, depth, qkv, mlp, batch, steps, lr, warm-up, schedule, dropout, pool."""
    rows = {
        "listops": (512, 8, 4, 512, 1024, 32, 5000, 0.05, 1000, "rsqrt", 0.1, "cls"),
        "text": (256, 4, 4, 256, 1024, 32, 20000, 0.05, 8000, "rsqrt", 0.1, "cls"),
        "retrieval": (128, 4, 4, 128, 512, 32, 5000, 0.05, 8000, "rsqrt", 0.1, "cls"),
        "image": (128, 8, 1, 64, 128, 256, 35000, 0.0005, 175, "cosine", 0.3, "cls"),
        "pathfinder": (32, 4, 4, 16, 32, 512, 62400, 0.001, 312, "cosine", 0.2, "mean"),
    }
    for task, row in rows.items():
        cfg = compose([f"task={task}", "preset=lra", "backbone=vanilla"])
        model, heads, recipe = cfg.model, cfg.heads, cfg.recipe
        found = (
            *(model.d_model, heads.number, model.depth, heads.qkv_dim, model.mlp_dim, recipe.batch_size),
            *(recipe.steps, recipe.lr, recipe.warmup_steps, recipe.schedule, model.dropout, model.pool),
        )
        assert found == row


@pytest.mark.parametrize(
    ("preset", "qkv_norm", "rank"),
    [("lra", False, 16), ("paper", True, 128), ("quick", False, 128), ("small", False, 128)],
)
def test_a_preset_chooses_the_form_of_performer_and_linformer(preset: str, qkv_norm: bool, rank: int) -> None:
    def mixer(attention: str) -> DictConfig:
        return compose([f"preset={preset}", "backbone=vanilla", f"attention={attention}"]).attention.mixer

    assert mixer("linformer").rank == rank
    assert mixer("performer").qkv_norm is qkv_norm
    assert mixer("performer_wise") == {**mixer("performer"), "qkv_norm": True}
    assert mixer("longformer").symmetric is False


MISTAKES = [
    (["recipe.stepz=5"], "recipe.stepz=5", "recipe.steps"),
    (["tusk=listops"], "tusk=listops", "task"),
    (["backbone=wise"], "backbone=wise", "wise_fixed"),
    (["task=path"], "task=path", "pathfinder"),
    (["preset=lra2"], "preset=lra2", "quick"),
    (["recipe.lr=fast"], "recipe.lr=fast", "float"),
    (["recipe.schedule=linear"], "recipe.schedule=linear", "cosine"),
    (["+recipe.momentum=0.9"], "recipe.momentum=0.9", "Recipe"),
    (["~recipe.lr"], "recipe.lr", "missing"),
    (["~model.depth"], "model.depth", "missing"),
    (["wavelet.level=9"], "wavelet.level=9", "expected 1 to"),
    (["wavelet.taps=7"], "wavelet.taps=7", "even"),
    (["backbone=wise_fixed", "wavelet.name=bd4"], "wavelet.name=bd4", "db4"),
    (["heads.number=3"], "heads.number=3", "heads.qkv_dim=64"),
    (["preset=lra", "heads.number=512"], "heads.number=512", "256"),
    (["heads.dropout=1.5"], "heads.dropout=1.5", "[0, 1)"),
    (["attention=linformer", "attention.mixer.rank=0"], "attention.mixer.rank=0", "positive integer"),
    (
        ["attention=performer_favor", "attention.mixer.features=0"],
        "attention.mixer.features=0",
        "positive integer",
    ),
    (["attention=longformer", "attention.mixer.window=7"], "attention.mixer.window=7", "even"),
    (["backbone=wise_lifting", "backbone.mixer.bank.taps=0"], "backbone.mixer.bank.taps=0", "at least 1"),
    (["backbone=wise_lifting", "task.length=16", "wavelet.level=5"], "data.buckets=4", "expected 1 to 3"),
    (
        ["data.buckets=1", "backbone=wise_lifting", "task.length=8", "wavelet.level=5"],
        "wavelet.level=5",
        "1 to 4",
    ),
    (["data.buckets=0"], "data.buckets=0", "1 to "),
    (["task=text", "data.buckets=513"], "data.buckets=513", "task.length=512"),
    (["model.pool=max"], "model.pool=max", "mean"),
    (["model.dropout=1.5"], "model.dropout=1.5", "[0, 1)"),
    (["backbone=fnet", "attention=softmax"], "attention=softmax", "holds no attention"),
    (["backbone=vanilla", "attention=none"], "attention=none", "softmax"),
    (["attention=none"], "attention=none", "softmax"),
    (["data.source=magic"], "data.source=magic", "standin"),
    (["data.standin=5"], "data.standin=5", "data.standin.train=2000"),
    (["data.stadin.train=5"], "data.stadin.train=5", "data.standin"),
    (["trainer.accelerator=tpu"], "trainer.accelerator=tpu", "gpu"),
    (["seed=x"], "seed=x", "whole number"),
    (["recipe.steps=0"], "recipe.steps=0", "at least 1"),
    (["cluster.minutes=0"], "cluster.minutes=0", "1 to "),
    (["recipe.lr=0"], "recipe.lr=0", "above 0"),
    (["recipe.lr=1e400"], "recipe.lr=inf", "1e38"),
    (["recipe.clip=-1"], "recipe.clip=-1", "0 to "),
    (["recipe.weight_decay=-0.1"], "recipe.weight_decay=-0.1", "0 to "),
    (["seed=9223372036854775808"], "seed=9223372036854775808", "0 to 4294967295"),
    (["data.seed=4294967296"], "data.seed=4294967296", "0 to 4294967295"),
    (["task.length=1000000000"], "task.length=1000000000", "weights"),
    (["model.d_model=65536", "heads.qkv_dim=65536"], "model.d_model=65536", "weights"),
    (["model.depth=1024", "model.d_model=8192"], "model.depth=1024", "weights"),
    (['trainer.max_time="99999999999:00:00:00"'], "trainer.max_time=99999999999", "DD:HH:MM:SS"),
    (["data.root=/tmp/données"], "data.root=/tmp/données", """'data.root="/tmp/données"'"""),
    (["logger.project=a;b"], "logger.project=a;b", """'logger.project="a;b"'"""),
    (["records=/tmp/it's"], "records=/tmp/it's", shlex.quote("""records="/tmp/it's\"""")),
    (['runs=a"é'], 'runs=a"é', shlex.quote("""runs='a"é'""")),
    (["data.root=/a,/b"], "data.root=/a,/b", """'data.root="/a,/b"'"""),
    (["daté.root=1"], "daté.root=1", "KEY=VALUE"),
    (["model._target_=wise_lra.provenance._git"], "model._target_=wise_lra.provenance._git", "classifier"),
    (["model._target_=sympy.sympify"], "model._target_=sympy.sympify", "classifier"),
    (["backbone.mixer.bank._target_=wise_lra.wavelets.wavedec"], "bank._target_=", "DirectBank"),
    (["+data.generated.x._target_=os.system"], "data.generated.x._target_=os.system", "plain value"),
    (["+model._args_=[1]"], "model._args_=[1]", "no such argument"),
    (["+task._partial_=true"], "task._partial_=True", "false"),
    (["trainer.devices=0"], "trainer.devices=0", "1 to 1024"),
    (["trainer.devices=two"], "trainer.devices=two", "1 to 1024"),
    (["trainer.devices=64", "recipe.batch_size=32"], "trainer.devices=64", "recipe.batch_size=32"),
    (["trainer.micro_batch=0"], "trainer.micro_batch=0", "null"),
    (["trainer.mlp_chunk=0"], "trainer.mlp_chunk=0", "null"),
    (["trainer.find_batch=yes please"], "trainer.find_batch=yes please", "true"),
    (
        ["trainer.find_batch=true", "trainer.micro_batch=4"],
        "trainer.micro_batch=4",
        "trainer.find_batch=true",
    ),
    (["trainer._target_=os.system"], "trainer._target_=os.system", "pytorch_lightning.Trainer"),
    (["logger._target_=os.system"], "logger._target_=os.system", "wandb_logger"),
    (["+callbacks.x._target_=os.system"], "callbacks.x._target_=os.system", "LearningRateMonitor"),
    (["+callbacks.x.y._target_=os.system"], "callbacks.x", "_target_"),
    (["+trainer.max_epochs=3"], "trainer.max_epochs=3", "detect_anomaly"),
]


@pytest.mark.parametrize(
    ("overrides", "named", "expected"), MISTAKES, ids=lambda v: " ".join(v) if isinstance(v, list) else ""
)
def test_a_mistake_is_named(overrides: list[str], named: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        compose(overrides)
    message = str(caught.value)
    assert named in message
    assert expected in message
    assert "\n" not in message


def numbers(node: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Yield the key of every setting that is a number, or may be one, with what it is."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from numbers(value, f"{path}{key}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f"{path}{key}", value


OPTIONAL = ("trainer.threads=1", "trainer.micro_batch=8", "trainer.mlp_chunk=8", "recipe.clip=1")
PROPER = [  # between them they have every number
    ["preset=lra", "backbone=wise_lifting", "attention=linformer"],
    ["preset=quick", "backbone=wise_adaptive", "attention=performer_favor"],
    ["preset=quick", "backbone=vanilla", "attention=longformer"],
]


@pytest.mark.parametrize("overrides", PROPER, ids=" ".join)
def test_no_number_of_a_configuration_may_be_absurd(overrides: list[str]) -> None:
    cfg = compose([*overrides, *OPTIONAL])
    # Copies that follow a key which is tried, and settings of data that are the generators' to judge.
    others = ("model.mixer", "backbone.mixer", "attention.mixer", "data.generated", "data.standin")
    keys = [key for key, _ in numbers(plain_dict(cfg)) if not key.startswith(others)]
    assert {"recipe.lr", "recipe.clip", "model.depth", "heads.qkv_dim", "seed", "wavelet.taps"} < set(keys)
    own = [f"attention.mixer.{one}" for one in ("rank", "features", "window") if one in cfg.attention.mixer]
    for key in [*own, *keys] if overrides == PROPER[0] else own:
        for value in (-1, float("nan"), 10**400):
            wrong = cfg.copy()
            OmegaConf.update(wrong, key, value)
            with pytest.raises(ConfigurationError) as caught:
                check(wrong)
            assert f"{key.removeprefix('attention.mixer')}={value}" in str(caught.value)


@pytest.mark.parametrize("name", ["a/b", "a\\b", "a#b", "a?b", "a%b", "a:b", "a" * 129])
def test_a_project_that_wandb_forbids_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = compose([])
    cfg.logger.project = name
    with pytest.raises(ConfigurationError, match=r"logger\.project="):
        check(cfg)
    monkeypatch.setenv("WANDB_PROJECT", name)
    with pytest.raises(ConfigurationError, match="WANDB_PROJECT="):
        compose([])
    compose(["logger.project=said", "logger.entity=lab"])
    compose(["logger=csv"])


def test_projects_that_wandb_takes_and_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_PROJECT", "WANDB_MODE"):
        monkeypatch.setenv(name, "")
    assert (wandb_project(), wandb_mode()) == ("wise-lra", "auto")
    monkeypatch.setenv("WANDB_PROJECT", "é" * 128)
    assert wandb_project() == "é" * 128
    assert wandb_project("said") == "said"
    for said, meant in {"dryrun": "offline", "disabled": "disabled", "run": "online"}.items():
        monkeypatch.setenv("WANDB_MODE", said)
        assert (wandb_mode(), wandb_mode("online")) == (meant, "online")
    monkeypatch.setenv("WANDB_MODE", "perhaps")
    with pytest.raises(ConfigurationError, match="WANDB_MODE=perhaps: expected online"):
        compose([])
    compose(["logger.mode=offline"])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("logger: {project: '${oc.env:SECRET}'}", "${oc.env:"),
        ("hydra: {callbacks: {x: {_target_: os.system, command: touch marker}}}", "hydra"),
        ("model: {_target_: sympy.sympify, a: touch}", "model._target_=sympy.sympify"),
        ("a: [", "not YAML"),
    ],
)
def test_an_experiment_of_somebody_elses_is_settings_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, named: str
) -> None:
    monkeypatch.setenv("SECRET", "do-not-show")
    monkeypatch.setattr(config, "CONFIGS", tmp_path / "configs")
    shutil.copytree(CONFIGS, config.CONFIGS)
    (config.CONFIGS / "experiment").mkdir(exist_ok=True)
    (config.CONFIGS / "experiment" / "evil.yaml").write_text(f"# @package _global_\n{text}\n")
    for override in ("experiment=evil", "+experiment=[evil]"):
        with pytest.raises(ConfigurationError) as caught:
            compose([override])
        message = str(caught.value)
        assert named in message
        assert "\n" not in message
        assert "do-not-show" not in message
    if "_target_: sympy" not in text:  # with -m, Hydra composes first
        with pytest.raises(ConfigurationError, match=r"evil\.yaml"):
            opened(["-m", "experiment=glob(*)", "seed=0,1"])


@pytest.mark.parametrize("plus", ["", "+", "++"])
def test_settings_of_stand_ins_and_generators_need_no_plus(plus: str) -> None:
    given = [f"{plus}data.standin={{train:5,test:6}}", f"{plus}data.standin.validation=7"]
    cfg = compose(["task=listops", *given, f"{plus}data.generated.max_length=200"])
    assert cfg.data.standin == {"train": 5, "test": 6, "validation": 7}
    assert (cfg.data.generated.max_length, cfg.data.generated.min_length) == (200, 100)


@pytest.mark.parametrize("override", ["recipe.stepz=5", "wavelet.level=9"])
def test_a_mistake_ends_train_before_lightning_is_imported(override: str, tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", str(ROOT / "scripts/train.py"), "task=listops", override]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    imported = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    (said,) = set(done.stderr.splitlines()) - set(imported)
    assert (done.returncode, done.stdout) == (2, "")
    assert said.startswith(f"error: {override}")
    assert not [line for line in imported if line.endswith((" pytorch_lightning", " wandb"))]
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_option() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/train.py"), "--help"], capture_output=True, text=True, check=True
    )
    for group in ("task", "backbone", "attention", "preset", "trainer", "logger"):
        for option in options(group):
            assert option in done.stdout, (group, option)
