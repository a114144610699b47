"""Oracle: sums of hours worked by hand, from records made for the purpose; a plan leaves nothing behind."""

from pathlib import Path

import pytest
from conftest import Script
from test_results_record import make

from wise_lra.config import compose
from wise_lra.find_batch import seconds_an_example
from wise_lra.runs.plan import plan, recorded, seconds_of
from wise_lra.runs.selection import Selection
from wise_lra.runs.status import status_of

HOUR = {"train": 3000.0, "validation": 300.0, "test": 300.0, "total": 3600.0}


def test_hours_are_those_of_the_same_preset_model_and_device(tmp_path: Path) -> None:
    selection = Selection(tasks=("text",), backbones=("vanilla", "fnet"), seeds=(0, 1, 2))
    records = [
        make(device="here", seconds=HOUR),
        make(device="here", seconds=HOUR | {"total": 1800.0}, seed=1),
        make(device="elsewhere", seconds=HOUR | {"total": 9e9}, seed=2),
        make(device="here", preset="quick-1a2b3c4d", seconds=HOUR | {"total": 9e9}),
    ]
    for record in records[:2]:
        record.write(tmp_path)
    rows = [status_of(key, tmp_path, tmp_path) for key in selection.keys("quick")]
    known = recorded(rows, records, "here")
    assert known == {("text", "vanilla", "softmax"): 2700.0}
    for short, left, source, sums in (
        ({}, "?", "unknown", "0.75 device-hours left, 0.75 hours "),
        (
            {("text", "fnet", "none"): 900.0},
            "0.75",
            "measured",
            "1.50 device-hours left, 1.00 hours ",
        ),
    ):
        table, line = plan(rows, known, short, "quick", 2)
        columns = {column.header: list(column.cells) for column in table.columns}
        assert columns["backbone"] == ["vanilla", "fnet"]
        assert (columns["jobs"], columns["done"]) == (["3", "3"], ["2", "0"])
        assert columns["hours each"][0] == columns["hours left"][0] == "0.75"
        assert (columns["hours left"][1], columns["from"]) == (left, ["records", source])
        # A seed before the next: fnet 0 and fnet 1 take 0.25 h, then vanilla 2 takes 0.75 h beside fnet 2.
        assert line.startswith(f"6 jobs, 2 done; {sums}")


TINY = ["task=listops", "backbone=fnet", "task.length=64", "model.d_model=16", "model.depth=1", "trainer=cpu"]


def test_seconds_of_a_run_by_hand() -> None:
    """0.01 s x 100 steps x 32, and 0.002 s x (4 x 500 + 1,000) evaluated."""
    recipe = ["recipe.steps=100", "recipe.batch_size=32", "recipe.validate_every=30"]
    cfg = compose([*TINY, *recipe, "data.validation_examples=500", "data.test_examples=1000"])
    assert seconds_of(cfg, 0.01, 0.002) == pytest.approx(32 + 6)


def test_a_short_run_measures_an_example() -> None:
    pace = seconds_an_example(compose(TINY), 0.0)
    assert pace is not None
    assert all(0 < seconds < 10 for seconds in pace)


def test_a_plan_is_printed_and_nothing_is_spent(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(device="a GPU", seconds=HOUR).write(tmp_path / "records")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    options = ["--preset=quick", "--tasks=text", "--backbones=vanilla,fnet", "--seeds=0..2", "--jobs=2"]
    done = script("plan", *options, "--records=records", "--device=a GPU", "--measure=0")
    assert done.returncode == 0, done.stderr
    assert "preset=quick on a GPU" in done.stdout
    sums = "6 jobs, 1 done; 2.00 device-hours left, 1.00 hours on the clock with 2 at a time; 3 jobs not estimated"
    assert done.stdout.splitlines()[-1] == sums
    assert sorted(tmp_path.rglob("*")) == before


def test_a_bad_record_is_named_and_the_plan_is_of_the_others(tmp_path: Path, script: Script) -> None:
    make(device="a GPU", seconds=HOUR).write(tmp_path)
    bad = make(seed=1).path(tmp_path)
    bad.write_text("{}")
    options = ["--preset=quick", "--tasks=text", "--backbones=vanilla", "--seeds=0,1", "--measure=0"]
    done = script("plan", *options, "--device=a GPU", f"--records={tmp_path}")
    assert done.returncode == 2
    assert done.stdout.splitlines()[-1].startswith("2 jobs, 1 done; 1.00 device-hours left")
    fault, last = done.stderr.splitlines()
    assert fault.startswith(f"{bad}: ")
    assert last.startswith("skipped 1")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--measure=yes"], "'yes'"),
        (["--tasks=imdb"], "--tasks: 'imdb'"),
        (["--preset=quick", "recipe.stepz=5"], "recipe.stepz=5"),
        (["--preset=quick", "--device=no such"], "device='no such'"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(options: list[str], named: str, script: Script) -> None:
    done = script("plan", *options)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert done.stderr.startswith("error: ")
    assert named in done.stderr
