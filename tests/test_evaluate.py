"""Oracle: the record of the run itself, and the value of an expression worked by hand."""

import subprocess
import sys
from pathlib import Path

import pytest
from test_training import ROOT, folder, train

from wise_lra.evaluation import Unanswerable, load

__all__ = ["folder"]


@pytest.fixture(scope="module")
def place(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("evaluated")
    done = train(folder, place)
    assert done.returncode == 0, done.stderr
    return place


def evaluate(run: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts/evaluate.py"), str(run), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_run_is_measured_again_exactly(folder: Path, place: Path) -> None:
    (record,) = (place / "records").rglob("seed0.json")
    for split in ("test", "validation"):
        done = evaluate(record, "--data", str(folder.parent), "--split", split)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "equal to the record" in done.stdout


def test_an_expression_is_answered(place: Path) -> None:
    (run,) = (place / "runs").rglob("seed0")
    done = evaluate(run, "--listops", "( ( ( [MAX 3 ) 4 ) ] )")
    assert done.returncode == 0, done.stderr
    value, *chances = done.stdout.splitlines()
    assert value == "true value 4"
    assert len(chances) == 10
    assert sum(float(line.split()[0]) for line in chances) == pytest.approx(100, abs=0.1)


def test_what_cannot_be_answered_is_said_in_a_line(place: Path, tmp_path: Path) -> None:
    (run,) = (place / "runs").rglob("seed0")
    for options, message in {
        ("--listops", "( [MAX x )"): "unknown token",
        ("--text", "-"): "this run's task is listops",
        ("--data", str(tmp_path)): "no prepared data with sha256",
    }.items():
        done = evaluate(run, *options)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert message in done.stderr
    with pytest.raises(Unanswerable, match="no record"):
        load(tmp_path / "a/b/c/d/seed0")
    with pytest.raises(Unanswerable, match="expected a run's folder"):
        load(Path("/seed0"))
