"""Oracle: a marker file that an attack would leave, memory that it would take. What comes from disk is data.

The attacks are put into the record and the config.json of one sound run, which is copied for each.
"""

import json
import pickle
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from test_evaluate_questions import run_of
from test_results_record import make

from wise_lra.config import ConfigurationError, compose, options
from wise_lra.evaluate import built, load
from wise_lra.identity import recorded_config
from wise_lra.stored import stored

ROOT = Path(__file__).parents[1]
Script = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with records/ and runs/ of one untrained run that has a bank."""
    place = tmp_path_factory.mktemp("sound")
    folder = run_of("text", place, backbone="wise_adaptive")
    (folder / "config.json").write_text(json.dumps(load(folder).record.config))
    return place


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Script:
    """Return a call of a script in this process: status, output and errors."""

    def called(name: str, *arguments: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        status = runpy.run_path(str(ROOT / "scripts" / name))["main"]()
        return status, *capsys.readouterr()

    return called


def changed(sound: Path, place: Path, key: str, value: Any) -> Path:
    """Copy the sound run to `place` with `value` at `key` of its configurations; return its folder."""
    shutil.copytree(sound, place, dirs_exist_ok=True)
    (record,) = (place / "records").rglob("seed0.json")
    (config,) = (place / "runs").rglob("config.json")
    for file, prefix in ((record, "config."), (config, "")):
        content = node = json.loads(file.read_text())
        *parents, last = f"{prefix}{key}".split(".")
        for parent in parents:
            node = node[parent]
        node[last] = value
        file.write_text(json.dumps(content))
    return config.parent


class Evil:
    """Leaves the marker when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


def attack(name: str, place: Path) -> dict[str, Any]:
    """Return a node that leaves `place`/marker when Hydra instantiates it."""
    marker = place / "marker"
    if name == "numpy.load":
        (place / "evil.npy").write_bytes(pickle.dumps(Evil(marker)))
        return {"_target_": name, "file": str(place / "evil.npy"), "allow_pickle": True}
    if name == "torch.hub.load":
        (place / "hubconf.py").write_text(f"def f():\n    open({str(marker)!r}, 'w').close()\n")
        return {"_target_": name, "repo_or_dir": str(place), "model": "f", "source": "local"}
    arguments = {
        "os.system": [f"touch {marker}"],
        "sympy.sympify": [f"__import__('os').system('touch {marker}')"],
        "wise_lra.provenance._git": ["init", str(marker)],
        "pathlib.Path.touch": [{"_target_": "pathlib.Path", "_args_": [str(marker)]}],
    }
    return {"_target_": name, "_args_": arguments[name]}


CALLS = ("wise_lra.provenance._git", "sympy.sympify", "numpy.load", "torch.hub.load", "os.system")
PLACES = (
    *("model.mixer", "model.mixer.attention", "model.d_model", "model.pool"),
    *("task", "task.name", "recipe", "recipe.lr", "data.generated", "note"),
)
SIDES = [
    *((f"{key}={name}", key, name) for name in CALLS for key in ("model", "model.mixer.bank")),
    *((f"{key}=sympy.sympify", key, "sympy.sympify") for key in PLACES),
    ("model.mixer=pathlib.Path.touch", "model.mixer", "pathlib.Path.touch"),
]


@pytest.mark.parametrize(("key", "name"), [side[1:] for side in SIDES], ids=[side[0] for side in SIDES])
def test_a_record_runs_nothing(sound: Path, tmp_path: Path, script: Script, key: str, name: str) -> None:
    run = changed(sound, tmp_path, key, attack(name, tmp_path))
    (record,) = (tmp_path / "records").rglob("seed0.json")
    for program, file in (("evaluate.py", record), ("plot_wavelets.py", run / "config.json")):
        status, said, error = script(program, run)
        assert status in (1, 2)
        assert (said, error.count("\n")) == ("", 1)
        assert error.startswith(f"error: {file}: {key}")
    assert not (tmp_path / "marker").exists()


REFUSED = [
    ("model.positions", "${oc.env:SECRET}"),
    ("note", "${oc.env:SECRET}"),
    ("data.generated", {"${oc.env:SECRET}": 1}),
    ("data.generated", {"a": [{"b": "${oc.env:SECRET}"}]}),
    ("model.vocabulary", "${task.length}"),
    ("model._args_", [1]),
    ("model._convert_", "all"),
    ("model._recursive_", False),
    ("model._partial_", True),
    ("task._partial_", True),
    ("recipe._partial_", True),
    ("model.mixer._partial_", False),
    ("model.mixer.bank._partial_", "true"),
    ("model.mixer.attention._args_", []),
    ("trainer._partial_", True),
    ("model.mixer._target_", "wise_lra.mixers.attention.MultiHeadAttention"),
    ("model.mixer._target_", "wise_lra.mixers.MixerFactory"),
    ("model.mixer._target_", ["wise_lra.mixers.Linformer"]),
    ("model.mixer.bank._target_", "wise_lra.mixers.SoftmaxAttention"),
    ("model.mixer.bank._target_", "wise_lra.wavelets.wavedec"),
    ("model._target_", "wise_lra.model.Classifier"),
    ("task._target_", "wise_lra.training.Recipe"),
    ("recipe", {"batch_size": 4}),
    ("model.mixer", None),
    ("model.mixer.bank", {"taps": 16}),
    ("model.pool", "???"),
    ("model.d_model", "8"),
    ("model.d_model", [8]),
    ("model.d_model", 8.5),
    ("model.d_model", 10**30),
    ("model.depth", 10**9),
    ("model.mixer.bank.taps", "16"),
    ("model.vocabulary", 300),
    ("model.unknown", 1),
    ("seed", -1),
    ("seed", 2**63),
    ("data.validation_examples", "all"),
    ("task.name", "../../text"),
    ("backbone.name", 5),
]


@pytest.mark.parametrize(("key", "value"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_is_no_configuration_is_named(
    sound: Path, tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch, key: str, value: Any
) -> None:
    monkeypatch.setenv("SECRET", "do-not-show")
    changed(sound, tmp_path, key, value)
    (record,) = (tmp_path / "records").rglob("seed0.json")
    status, said, error = script("evaluate.py", record)
    assert (status, said, error.count("\n")) == (2, "", 1)
    assert error.startswith(f"error: {record}: {key.removesuffix('._args_')}")
    assert "do-not-show" not in error


SIZES = [
    ("model.d_model", 10**9, "encoder"),
    ("model.mlp_dim", 10**9, "encoder"),
    ("model.depth", 2, "encoder.blocks.1"),
    ("model.depth", 1000, ""),
    ("model.mixer.attention.qkv_dim", 2**31 - 8, "encoder.blocks.0"),
    ("model.mixer.bank.taps", 256, "encoder.blocks.0.mixer.bank"),
    ("length", 2**31 - 1, "task.length"),
]


@pytest.mark.parametrize(("key", "size", "named"), SIZES, ids=str)
def test_sizes_are_compared_with_the_checkpoint_before_memory_is_taken(
    sound: Path, tmp_path: Path, script: Script, key: str, size: int, named: str
) -> None:
    if key == "length":
        sound = changed(sound, tmp_path / "half", "task.length", size).parents[5]
        key = "model.length"
    run = changed(sound, tmp_path / "whole", key, size)
    for program in ("evaluate.py", "plot_wavelets.py"):
        status, said, error = script(program, run)
        assert status in (1, 2)
        assert (said, error.count("\n")) == ("", 1)
        assert error.startswith(f"error: {run / 'checkpoints' / 'best.ckpt'}: {named}")


def test_a_checkpoint_is_the_records_own(sound: Path, tmp_path: Path, script: Script) -> None:
    run = changed(sound, tmp_path, "note", "")
    best, (record,) = run / "checkpoints" / "best.ckpt", (tmp_path / "records").rglob("seed0.json")
    whole, content = torch.load(best, weights_only=True)["state_dict"], json.loads(record.read_text())
    record.write_text(json.dumps(content | {"parameters": content["parameters"] + 1}))
    assert "the record has parameters=" in script("evaluate.py", run)[2]
    record.write_text(json.dumps(content))
    name = "model.encoder.embedding.tokens.weight"
    marker = tmp_path / "marker"
    for state in (
        Evil(marker),
        {"state_dict": whole | {name: torch.zeros(1).expand(10**9, 10**9)}},
        {"state_dict": whole | {name: whole[name].double()}},
        {"state_dict": {key: value for key, value in whole.items() if key != name}},
        {"state_dict": whole | {"model.more": torch.zeros(1)}},
        {"state_dict": [1]},
        [1],
    ):
        torch.save(state, best)
        status, said, error = script("evaluate.py", run)
        assert (status, said, error.count("\n")) == (2, "", 1)
        assert error.startswith(f"error: {best}: ")
    assert not marker.exists()


def test_every_model_can_be_compared_without_its_memory(tmp_path: Path) -> None:
    """What is made on the device "meta" has the shapes of the model, and making it leaves no trace in it."""
    cells = [f"attention={name}" for name in options("attention") if name != "none"]
    for cell in (*cells, *(f"backbone={name}" for name in options("backbone"))):
        config = stored(recorded_config(compose([cell, "task=text"])), tmp_path)
        with torch.device("meta"):
            shapes = built(config, "model").state_dict()
        model = built(config, "model")
        assert {k: (v.shape, v.dtype) for k, v in shapes.items()} == {
            k: (v.shape, v.dtype) for k, v in model.state_dict().items()
        }
        assert not any(value.is_meta for value in (*model.parameters(), *model.buffers()))


def test_a_configuration_that_is_none_is_named(sound: Path, tmp_path: Path, script: Script) -> None:
    run = changed(sound, tmp_path, "note", "")
    note = run / "config.json"
    for text in (
        "{}",
        "[]",
        "",
        '{"model": ',
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"a": NaN}',
        '{"a": 1, "a": 1}',
    ):
        note.write_text(text)
        status, _, error = script("plot_wavelets.py", run)
        assert (status, error.count("\n")) == (1, 1)
        assert error.startswith(f"error: {note}: ")
    deep: Any = 1
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(ConfigurationError, match="nested"):
        stored(deep, note)
    with pytest.raises(ConfigurationError, match="config=<object"):
        stored({"config": object()}, note)


def test_the_report_names_a_run_that_it_cannot_build_and_shows_the_others(
    sound: Path, tmp_path: Path, script: Script
) -> None:
    changed(sound, tmp_path, "model.mixer", attack("os.system", tmp_path) | {"bank": 1})
    make(seed=1).write(tmp_path / "records")
    places = [f"--{name}={tmp_path / name}" for name in ("records", "runs", "data", "out")]
    status, _, error = script("report.py", *places)
    fault, last = error.splitlines()
    assert status == 2
    assert "wise_adaptive" in fault
    assert "model.mixer._args_" in fault
    assert last.startswith("skipped 1")
    assert not (tmp_path / "marker").exists()
    page = (tmp_path / "out").read_text(encoding="utf-8")
    assert "model.mixer._args_" in page
    assert str(tmp_path / "runs") not in page
    assert "60.00 ± " in page
