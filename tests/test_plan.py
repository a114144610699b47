"""Oracle: sums of hours worked by hand, from records made for the purpose; a plan leaves nothing behind."""

import subprocess
import sys
from pathlib import Path

import pytest
from test_results_record import make

from wise_lra import trial
from wise_lra.configuration import compose
from wise_lra.grid.cells import cells
from wise_lra.grid.forecast import clock_time, forecast, recorded, seconds_of

ROOT = Path(__file__).parents[1]
HOUR = {"train": 3000.0, "validation": 300.0, "test": 300.0, "total": 3600.0}


def test_hours_are_those_of_the_same_preset_model_and_device() -> None:
    grid = cells("quick", {"text": ""}, ["vanilla", "fnet"], ["softmax"], [0, 1, 2])
    records = [
        make(device="here", seconds=HOUR),
        make(device="here", seconds=HOUR | {"total": 1800.0}, seed=1),
        make(device="elsewhere", seconds=HOUR | {"total": 9e9}, seed=2),
        make(device="here", preset="quick-1a2b3c4d", seconds=HOUR | {"total": 9e9}),
    ]
    known = recorded(grid, records, "here")
    assert known == {("text", "vanilla", "softmax"): 2700.0}
    rows = forecast(grid, records[:2], known, {})
    assert [(row.model[1], row.cells, row.done, row.seconds, row.source) for row in rows] == [
        ("vanilla", 3, 2, 2700.0, "records"),
        ("fnet", 3, 0, None, "unknown"),
    ]
    rows = forecast(grid, records[:2], known, {("text", "fnet", "none"): (900.0, "measured")})
    assert sum(row.left for row in rows) == 2700 + 3 * 900
    assert clock_time(rows, 2) == 2700, "one takes vanilla, the other the three of fnet"


def test_seconds_of_a_run_by_hand() -> None:
    """0.01 s x 100 steps x 32, and 0.002 s x (4 x 500 + 1,000) evaluated."""
    assert seconds_of(0.01, 0.002, 100, 32, 4, (500, 1000)) == pytest.approx(32 + 6)


def test_a_pace_is_measured_up_to_the_batch_and_time_that_ends_first_is_said() -> None:
    tiny = ["task.length=64", "model.d_model=16", "model.depth=1", "recipe.batch_size=3", "trainer=cpu"]
    cfg = compose(["task=listops", "backbone=fnet", *tiny])
    whole, none = trial.paces([cfg], 20.0, 1), trial.paces([cfg], 1e-6, 1)
    assert whole[0] is not None
    assert whole[0].size == 3
    assert whole[0].train > 0 < whole[0].evaluation
    assert none == [trial.Pace(1e-6, 0.0, 0)]


def plan(*options: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts/plan.py"), *options]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_a_plan_is_printed_and_nothing_is_spent(tmp_path: Path) -> None:
    place = tmp_path / "records"
    make(device="a GPU", seconds=HOUR).write(place)
    before = sorted(tmp_path.rglob("*"))
    options = ["--preset", "quick", "--tasks", "text", "--backbones", "vanilla,fnet", "--seeds", "0..2"]
    done = plan(
        *options, "--records", str(place), "--device", "a GPU", "--measure", "0", "--jobs", "2", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "preset=quick on a GPU" in done.stdout
    assert done.stdout.splitlines()[-1] == (
        "6 jobs, 1 done; 2.00 device-hours left, 1.00 hours on the clock with 2 at a time; 3 jobs not estimated"
    )
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--measure", "yes"], "error: measure='yes': expected one of auto, 1, 0"),
        (["--tasks", "imdb"], "error: tasks='imdb'"),
        (["--preset", "quick", "recipe.stepz=5"], "error: recipe.stepz=5: no such key"),
        (
            ["--preset", "quick", "--device", "no such"],
            "error: device='no such': no records of it for all cells",
        ),
    ],
)
def test_a_plan_that_cannot_be_is_refused(options: list[str], message: str, tmp_path: Path) -> None:
    done = plan(*options, cwd=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert done.stderr.startswith(message)
