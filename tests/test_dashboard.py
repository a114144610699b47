"""Oracle: what a real run logged, read back by W&B's own viewer; every panel must find its data there."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_training import ROOT, folder, train

from wise_lra.results.record import read_all

__all__ = ["folder"]


@pytest.fixture(scope="module")
def place(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("shown")
    done = train(folder, place, "logger=wandb", "logger.mode=offline", "recipe.steps=20")
    assert done.returncode == 0, done.stderr
    return place


def dashboard(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts/dashboard.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def shown(node: Any) -> Iterator[str]:
    """Yield the name of everything that the panels below a node show."""
    if isinstance(node, list):
        for item in node:
            yield from shown(item)
    if isinstance(node, dict):
        if "viewType" in node:
            config = {key: value for key, value in node["config"].items() if value is not None}
            names = [*config.get("metrics", []), *config.get("mediaKeys", [])]
            names += [config[axis].removeprefix("summary:") for axis in ("xAxis", "yAxis") if axis in config]
            if node["viewType"] == "Weave":
                names += [part["key"] for part in inputs(config) if "key" in part]
            assert names, node["viewType"]
            yield from names
        for value in node.values():
            yield from shown(value)


def inputs(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if node.get("name") == "pick":
            yield {"key": node["inputs"]["key"]["val"]}
        for value in node.values():
            yield from inputs(value)


def test_no_panel_is_without_data(place: Path, tmp_path: Path) -> None:
    (record,) = read_all(place / "records")
    file = tmp_path / "deep" / "dashboard.json"
    done = dashboard("--records", str(place / "records"), "--preset", record.preset, "--dry-run", str(file))
    assert done.returncode == 0, done.stderr
    spec = json.loads(file.read_text(encoding="utf-8"))
    (run,) = (place / "runs").rglob("offline-run-*")
    viewer = Path(sys.executable).with_name("wandb")
    seen = subprocess.run(
        [viewer, "leet", "inspect", "--summary", "--json", run], capture_output=True, check=True
    )
    logged = json.loads(seen.stdout)["summary"]
    (section,) = spec["workspace"]["spec"]["section"]["panelBankConfig"]["sections"]
    assert section["name"] == "listops-short"
    for part in (section, spec["report"]):
        names = set(shown(part))
        assert names - set(logged) == set()
        own = {name.partition("/")[2] for name in names if name.startswith("listops-short/")}
        assert own >= {"validation/accuracy", "test_accuracy", "gradients/total", "seconds_total"}
        assert {f"wavelets/{what}_layer1" for what in ("functions", "responses")} <= own
        assert "comparison" in names
    assert "wise_adaptive" in json.dumps(spec["report"]), "the table"
    assert "| listops" in json.dumps(spec["report"])


def test_the_comparison_is_the_table_of_the_records(place: Path) -> None:
    (record,) = read_all(place / "records")
    (file,) = (place / "runs").rglob("comparison_*.table.json")
    table = json.loads(file.read_text(encoding="utf-8"))
    (row,) = table["data"]
    cell = dict(zip(table["columns"], row, strict=True))
    assert (cell["task"], cell["variant"], cell["backbone"]) == ("listops", "short", "wise_adaptive")
    assert cell["accuracy"] == pytest.approx(100 * record.metrics["test_accuracy"], abs=0.005)
    assert cell["parameters"] == record.parameters


def test_artifacts_are_staged_beside_the_run_and_hold_record_and_weights(place: Path) -> None:
    (record,) = read_all(place / "records")
    staged = [file.read_bytes() for file in (place / "runs").rglob("artifacts/staging/*")]
    assert record.to_json().encode() in staged
    (weights,) = [content for content in staged if content.startswith(b"PK")]
    assert str(place).encode() not in weights, "a checkpoint of Lightning tells where it lay"
    assert len(weights) < (next((place / "runs").rglob("best.ckpt"))).stat().st_size / 2


def test_what_cannot_be_built_is_said_in_a_line(place: Path, tmp_path: Path) -> None:
    done = dashboard("--records", str(tmp_path), "--dry-run", str(tmp_path / "x.json"))
    assert done.returncode == 2
    assert "preset=quick" in done.stderr
    (record,) = read_all(place / "records")
    none = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "WANDB_BASE_URL": "http://127.0.0.1:9"}
    done = dashboard("--records", str(place / "records"), "--preset", record.preset, env=none)
    assert done.returncode == 1
    assert "API key" in done.stderr
    assert done.stderr.count("\n") == 1
