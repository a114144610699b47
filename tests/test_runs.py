"""Oracle: grids counted by hand, the record's own path, and the kernel's lock seen from a second process."""

import argparse
import io
import json
import os
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from conftest import Script
from rich.console import Console
from test_results_record import make

from wise_lra.registry import TASKS
from wise_lra.runs.estimate import clock, duration, makespan
from wise_lra.runs.key import RunKey, on_disk, variants_on_disk
from wise_lra.runs.launcher import slots
from wise_lra.runs.lock import AlreadyRunning, claim, holder
from wise_lra.runs.selection import Parser, Selection, jobs, preset_for
from wise_lra.runs.status import Progress, Status, complete_record, record_failure, status_of, table


def selection(**given: str) -> Selection:
    return Parser(None).select([f"--{axis}={text}" for axis, text in given.items()])[1]


def cell(task: str = "text", backbone: str = "vanilla", seed: int = 0, **more: str) -> RunKey:
    axes = {"preset": "quick", "task": task, "backbone": backbone}
    attention = "none" if backbone == "fnet" else "softmax"
    return RunKey(**(axes | {"attention": attention, "seed": seed} | more))


def test_one_seed_of_all_is_done_before_the_next() -> None:
    some = Selection("", ("text", "image"), ("vanilla", "fnet"), ("softmax", "linear"), (1, 0))
    keys = some.keys("quick", {"image": "stand-in"})
    models = [("vanilla", "softmax"), ("vanilla", "linear"), ("fnet", "none")]
    assert [(c.seed, c.task, (c.backbone, c.attention)) for c in keys] == list(
        product([1, 0], ["text", "image"], models)
    )
    assert keys[3].name == "image-stand-in/vanilla/softmax/seed1"


def test_a_key_is_where_its_record_is(tmp_path: Path) -> None:
    record = make(variant="stand-in", backbone="fnet", attention="none", seed=12)
    own = cell(backbone="fnet", seed=12, variant="stand-in")
    assert own.record(tmp_path) == record.path(tmp_path)
    assert own.folder(tmp_path) == record.path(tmp_path).with_suffix("")
    assert complete_record(own, tmp_path) is None
    record.write(tmp_path)
    assert complete_record(own, tmp_path) == record
    assert on_disk("quick", tmp_path, tmp_path / "runs") == [own]
    assert variants_on_disk("quick", ("listops", "text"), tmp_path, tmp_path) == {
        "listops": "",
        "text": "stand-in",
    }


def test_a_record_counts_only_if_it_is_complete_and_its_own(tmp_path: Path) -> None:
    path = make(steps=99).write(tmp_path)
    assert complete_record(cell(), tmp_path) is None, "99 of 100 steps"
    for text in (make(task="image").to_json(), "{"):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"seed0\.json"):
            complete_record(cell(), tmp_path)
        assert status_of(cell(), tmp_path, tmp_path).status == Status.FAILED
        assert str(path) in status_of(cell(), tmp_path, tmp_path).reason


def test_a_selection_has_defaults_and_what_was_given() -> None:
    backbones = ("vanilla", "fnet", "wise_fixed", "wise_adaptive")
    assert selection() == Selection("", tuple(TASKS), backbones, ("softmax",), (0,))
    found = selection(preset="lra", tasks=" image, text,image", seeds="3,0..2")
    assert (found.tasks, found.seeds) == (("image", "text"), (3, 0, 1, 2))
    assert found.given == ("tasks", "seeds")
    assert [found.has(cell(task)) for task in ("image", "listops")] == [True, False]
    assert selection(seeds=" ,").seeds == (0,)


@pytest.mark.parametrize(
    ("option", "text", "named"),
    [
        ("tasks", "image,texts", "texts"),
        ("preset", "quik", "quik"),
        ("preset", "quick,lra", "quick,lra"),
        ("attentions", "none", "none"),
        ("seeds", "a", "a"),
        ("seeds", "4..0", "4..0"),
        ("seeds", "-1", "-1"),
    ],
)
def test_an_option_that_cannot_be_is_named(
    option: str, text: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        selection(**{option: text})
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"--{option}: " in said
    assert f"'{named}'" in said


def test_the_preset_is_that_of_the_machine() -> None:
    assert preset_for("lra", [])[0] == "lra"
    assert preset_for("", ["0"])[0] == "paper"
    assert preset_for("", [])[0] == "quick"


def test_a_job_has_a_gpu_or_a_core() -> None:
    assert slots([], 3) == [{}, {}, {}]
    assert len(slots([], None)) == len(os.sched_getaffinity(0))
    assert slots(["2", "5"], None) == [{"CUDA_VISIBLE_DEVICES": "2"}, {"CUDA_VISIBLE_DEVICES": "5"}]
    assert [place["CUDA_VISIBLE_DEVICES"] for place in slots(["2", "5"], 3)] == ["2", "5", "2"]
    assert slots(["2", "5"], 1) == [{}], "a run alone may use both"
    assert (jobs(""), jobs("4")) == (None, 4)
    for text in ("0", "two", "-1"):
        with pytest.raises(argparse.ArgumentTypeError, match=f"'{text}'"):
            jobs(text)


def test_a_duration_is_that_of_the_nearest_kin() -> None:
    known = {cell(seed=0): 10.0, cell(seed=1): 20.0, cell(backbone="fnet"): 60.0, cell("image"): 200.0}
    assert duration(cell(seed=1), known) == 20
    assert duration(cell(seed=2), known) == 15, "its other seeds"
    assert duration(cell(backbone="wise_fixed"), known) == 30, "its task"
    assert duration(cell("listops"), known) == 72.5, "all"
    assert duration(cell(), {}) is None


def test_the_makespan_is_that_of_the_schedule() -> None:
    # Two places: free after 10 and 30; the queue's 20 goes to the first (until 30), 5 and 1 to either (35, 31).
    assert makespan([10, 30], [20, 5, 1], 2) == 35
    assert makespan([], [3, 3, 3], 2) == 6
    assert makespan([7], [], 4) == 7
    assert makespan([], [], 2) == 0
    assert [clock(seconds) for seconds in (None, 0, 65, 3725, -3)] == ["?", "0:00", "1:05", "1:02:05", "0:00"]


def test_progress_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    file = tmp_path / "progress.json"
    for text in (None, "", "[1]", '{"step": "x", "steps": true, "phase": 3, "loss": NaN}'):
        if text is not None:
            file.write_text(text)
        assert Progress.read(tmp_path) == Progress()
    file.write_text('{"phase": "test", "step": 5, "steps": 4, "loss": 1, "accuracy": 0.5, "seconds": 2}')
    assert Progress.read(tmp_path) == Progress("test", 5, 4, 1.0, 0.5, 2.0, None)
    assert Progress.read(tmp_path).share == 1


HOLD = """
import sys, time
from wise_lra.runs.lock import claim
with claim(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read(1)
"""


def test_a_second_process_finds_a_claimed_folder_taken(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert holder(folder) is None
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert holder(folder) == other.pid
        with pytest.raises(AlreadyRunning, match=f"{folder}: .*{other.pid}"), claim(folder):
            pytest.fail("claimed twice")
        other.kill()
    assert holder(folder) is None, "the kernel frees it, though the file still names a process"
    with claim(folder):
        assert holder(folder) == os.getpid()
    assert holder(folder) is None


def test_a_look_at_the_lock_never_turns_a_claim_away(tmp_path: Path) -> None:
    look = "import sys\nfrom wise_lra.runs.lock import holder\nprint(flush=True)\nwhile True: holder(sys.argv[1])"
    with claim(tmp_path):
        pass
    with subprocess.Popen([sys.executable, "-c", look, str(tmp_path)], stdout=subprocess.PIPE) as watcher:
        assert watcher.stdout is not None
        watcher.stdout.readline()
        for _ in range(100):
            with claim(tmp_path):
                pass
        assert watcher.poll() is None
        watcher.kill()


def test_status_tells_the_five_states(tmp_path: Path) -> None:
    records, runs = tmp_path / "records", tmp_path / "runs"
    keys = [cell(task) for task in TASKS]
    done, running, failed, stopped = keys[:4]
    make(task=done.task).write(records)
    for own in (running, stopped):
        own.folder(runs).mkdir(parents=True)
        (own.folder(runs) / "progress.json").write_text('{"phase": "train", "step": 1, "steps": 4}')
    record_failure(done.folder(runs), "an older failure", 1, ["train"])
    record_failure(failed.folder(runs), "the loss is nan", 1, ["train"])
    facts = json.loads((failed.folder(runs) / "failed.json").read_text())
    assert (facts["reason"], facts["status"], facts["log"]) == ("the loss is nan", 1, "train.log")
    with claim(running.folder(runs)):
        rows = [status_of(own, records, runs) for own in keys]
    assert [row.status for row in rows] == list(Status)
    assert rows[0].record == complete_record(done, records) is not None
    assert rows[1].progress.share == rows[3].progress.share == 0.25
    assert rows[2].reason == "the loss is nan"
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(table("preset=quick", rows, {failed: "recipe.lr=1e30"}))
    lines = console.export_text().splitlines()
    texts = ("60.00", "running 25 %", "recipe.lr=1e30", "stopped 25 %", "missing")
    for row, shown in zip(rows, texts, strict=True):
        (line,) = [line for line in lines if row.key.name in line and not line.startswith("failed")]
        assert shown in line
    assert lines[-2] == "5 cells: 1 done · 1 running · 1 failed · 1 stopped · 1 missing"
    assert "the loss is nan" in lines[-1]


def test_the_status_script_lists_the_grid_and_what_is_on_disk(tmp_path: Path, script: Script) -> None:
    make(variant="stand-in", seed=2).write(tmp_path)
    make(preset="quick-1a2b3c4d").write(tmp_path)
    options = (f"--records={tmp_path}", f"--runs={tmp_path}")
    said = script("status", *options).stdout
    assert "21 cells: 1 done · 0 running · 0 failed · 0 stopped · 20 missing" in said
    assert said.count("quick/text-stand-in/") == 4 + 1, "seed 0 of four backbones, and seed 2 of one"
    assert said.count("quick-1a2b3c4d/text/vanilla/softmax/seed0") == 1
    assert "4 cells: 0 done" in script("status", *options, "--seeds=0", "--tasks=image").stdout
    bad = script("status", *options, "--tasks=x")
    assert (bad.returncode, bad.stderr.count("\n")) == (2, 1)


def test_a_bad_record_or_folder_is_named_and_the_others_are_shown(tmp_path: Path, script: Script) -> None:
    records, runs = tmp_path / "records", tmp_path / "runs"
    make(seed=1).write(records)
    bad = make().path(records)
    bad.write_text("[" * 100_000)
    for seed, text in ((2, '{"reason": "\\u001b[31m\\u0007[/b]"}'), (3, "[" * 100_000), (4, "{}")):
        folder = make(seed=seed).path(runs).with_suffix("")
        folder.mkdir(parents=True)
        (folder / "failed.json").write_text(text)
        (folder / "progress.json").write_text('{"step": 1%s, "steps": 2}' % ("0" * 400))
        (folder / "run.lock").mkdir()
    for name in (
        "quick/[red]text/vanilla/softmax/seed5",
        "quick/text/vanilla/softmax/seed5\x1b[31m",
        "[/]/x",
    ):
        (runs / name).mkdir(parents=True)
    done = script("status", f"--records={records}", f"--runs={runs}")
    assert done.returncode == 2
    assert re.search(r"vanilla/softmax/seed1 .* 60\.00 ", done.stdout)
    assert all(line.isprintable() for line in done.stdout.splitlines())
    assert r"\x1b[31m\x07[/b]" in done.stdout
    assert done.stdout.count("failed.json cannot be read") == 2
    fault, last = done.stderr.splitlines()
    assert fault.startswith(f"{bad}: not a record")
    assert last.startswith("skipped 1")


def test_the_package_needs_no_torch() -> None:
    code = "import sys, hydra_plugins.wise_lra_runs, wise_lra.runs.reproduce, wise_lra.runs.plan"
    code += "\nprint({'torch', 'optuna', 'pytorch_lightning'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
