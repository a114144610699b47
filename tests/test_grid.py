"""Oracle: grids counted by hand, the record's own path, and the kernel's lock seen from a second process."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import pytest
from rich.console import Console
from test_results_record import make

from wise_lra.grid import AlreadyRunning, claim
from wise_lra.grid.aside import aside
from wise_lra.grid.board import board, listed, presets
from wise_lra.grid.cells import Cell, cells, discovered
from wise_lra.grid.estimate import clock, duration, makespan
from wise_lra.grid.lock import holder
from wise_lra.grid.places import jobs, places, preset_for
from wise_lra.grid.progress import Progress
from wise_lra.grid.standing import State, record_failure, standing
from wise_lra.grid.wishes import TASKS, Wishes, chosen, seeds

KNOWN = {
    "preset": ["lra", "paper", "quick"],
    "tasks": list(TASKS),
    "backbones": ["fnet", "vanilla", "wise_adaptive", "wise_fixed"],
    "attentions": ["linear", "none", "softmax"],
}
SILENT = dict.fromkeys(("preset", "tasks", "backbones", "attentions", "seeds"), "")


def cell(task: str = "text", backbone: str = "vanilla", seed: int = 0, **more: str) -> Cell:
    attention = "none" if backbone == "fnet" else "softmax"
    return Cell(
        **{"preset": "quick", "task": task, "backbone": backbone, "attention": attention, "seed": seed} | more
    )


def test_one_seed_of_all_is_done_before_the_next() -> None:
    grid = cells(
        "quick", {"text": "", "image": "stand-in"}, ["vanilla", "fnet"], ["softmax", "linear"], [1, 0, 1]
    )
    models = [("vanilla", "softmax"), ("vanilla", "linear"), ("fnet", "none")]
    assert [(c.seed, c.task, (c.backbone, c.attention)) for c in grid] == list(
        product([1, 0], ["text", "image"], models)
    )
    assert grid[3].name == "image-stand-in/vanilla/softmax/seed1"


def test_a_cell_lies_where_its_record_does(tmp_path: Path) -> None:
    record = make(variant="stand-in", backbone="fnet", attention="none", seed=12)
    own = cell(backbone="fnet", seed=12, variant="stand-in")
    assert own.record(tmp_path) == record.path(tmp_path)
    assert own.folder(tmp_path) == record.path(tmp_path).with_suffix("")
    assert own.finished(tmp_path) is None
    record.write(tmp_path)
    assert own.finished(tmp_path) == record
    assert discovered("quick", tmp_path, tmp_path / "runs") == [own]


def test_a_record_counts_only_if_it_is_whole_and_its_own(tmp_path: Path) -> None:
    path = make(steps=99).write(tmp_path)
    assert cell().finished(tmp_path) is None, "99 of 100 steps"
    path.write_text(make(task="image").to_json())
    with pytest.raises(ValueError, match=r"seed0\.json: holds the record of .*image"):
        cell().finished(tmp_path)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"seed0\.json: not a record"):
        cell().finished(tmp_path)


def test_wishes() -> None:
    plain = Wishes.parsed(SILENT, KNOWN)
    assert plain == Wishes("", TASKS, ("vanilla", "fnet", "wise_fixed", "wise_adaptive"), ("softmax",), (0,))
    said = SILENT | {"preset": "lra", "tasks": " image, text,image", "seeds": "3,0..2"}
    assert Wishes.parsed(said, KNOWN).tasks == ("image", "text")
    assert Wishes.parsed(said, KNOWN).seeds == (3, 0, 1, 2)


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        (
            "tasks",
            "image,texts",
            r"tasks='texts': expected some of listops, text, retrieval, image, pathfinder",
        ),
        ("preset", "quik", r"preset='quik': expected some of lra, paper, quick"),
        ("preset", "quick,lra", r"preset='quick,lra': expected one of lra, paper, quick"),
        ("attentions", "none", r"attentions='none': expected some of linear, softmax"),
        ("seeds", "a", r"seeds='a': expected numbers as 0,1,2 or a range as 0\.\.4"),
        ("seeds", "4..0", r"seeds='4\.\.0'"),
        ("seeds", "-1", r"seeds='-1'"),
    ],
)
def test_a_wish_that_cannot_be_met_is_named(option: str, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Wishes.parsed(SILENT | {option: text}, KNOWN)


def test_seeds_and_names_without_a_word_are_the_default() -> None:
    assert seeds(" ,") == [0]
    assert chosen("tasks", ",", ["a"], ["b"]) == ("b",)


def test_the_preset_says_why() -> None:
    assert preset_for("lra", [])[0] == "lra"
    assert preset_for("", ["0"])[0] == "paper"
    assert preset_for("", []) == (
        "quick",
        "no CUDA device is visible here (preset=paper needs one; say PRESET=paper to insist)",
    )


def test_places() -> None:
    assert places([], None, cores=3) == [{}, {}, {}]
    assert places([], 1, cores=3) == [{}]
    assert places(["2", "5"], None) == [{"CUDA_VISIBLE_DEVICES": "2"}, {"CUDA_VISIBLE_DEVICES": "5"}]
    assert [place["CUDA_VISIBLE_DEVICES"] for place in places(["2", "5"], 3)] == ["2", "5", "2"]
    assert (jobs(""), jobs("4")) == (None, 4)
    for text in ("0", "two", "-1"):
        with pytest.raises(ValueError, match=f"jobs='{text}'"):
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
from wise_lra.grid import claim
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
        with pytest.raises(AlreadyRunning, match=f"process {other.pid} is running this cell"), claim(folder):
            pytest.fail("claimed twice")
        other.kill()
    assert holder(folder) is None, "the kernel frees it, though the file still names a process"
    with claim(folder):
        assert holder(folder) == os.getpid()
    assert holder(folder) is None


def test_a_look_at_the_lock_never_turns_a_claim_away(tmp_path: Path) -> None:
    look = "import sys\nfrom wise_lra.grid.lock import holder\nprint(flush=True)\nwhile True: holder(sys.argv[1])"
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


def _square(number: int) -> int:
    if number < 0:
        raise ValueError(f"number={number}")
    return number**2


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _linger(file: Path) -> None:
    try:
        file.write_text("began")
        time.sleep(60)
    finally:
        file.write_text("tidied up")


def test_aside_gives_back_what_the_function_gave() -> None:
    assert aside(_square, 3) == 9
    with pytest.raises(ValueError, match="number=-1"):
        aside(_square, -1)
    with pytest.raises(ChildProcessError, match="_die ended with status -9"):
        aside(_die)


def test_aside_lets_the_function_tidy_up(tmp_path: Path) -> None:
    file = tmp_path / "file"

    def interrupt(*_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0 if file.exists() else 0.1)
        if file.exists():
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(KeyboardInterrupt):
            aside(_linger, file)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert file.read_text() == "tidied up"


def test_status_tells_the_five_states(tmp_path: Path) -> None:
    records, runs = tmp_path / "records", tmp_path / "runs"
    done, running, failed, stopped, missing = (cell(task) for task in TASKS)
    make(task=done.task).write(records)
    for own in (running, stopped):
        own.folder(runs).mkdir(parents=True)
        (own.folder(runs) / "progress.json").write_text('{"phase": "train", "step": 1, "steps": 4}')
    record_failure(done.folder(runs), "an older failure", 1, ["train"])
    record_failure(failed.folder(runs), "the loss is nan", 1, ["train"])
    facts = json.loads((failed.folder(runs) / "failed.json").read_text())
    assert (facts["reason"], facts["status"], facts["log"]) == ("the loss is nan", 1, "train.log")
    with claim(running.folder(runs)):
        found = [standing(own, records, runs) for own in (done, running, failed, stopped, missing)]
    assert [one.state for one in found] == list(State)
    assert found[0].accuracy == 0.6
    assert found[1].progress.share == found[3].progress.share == 0.25
    assert found[2].reason == "the loss is nan"


def test_the_board_lists_what_is_on_disk_and_what_was_asked(tmp_path: Path) -> None:
    records, runs = tmp_path / "records", tmp_path / "runs"
    assert presets(records, runs) == []
    make(variant="stand-in", seed=2).write(records)
    assert presets(records, runs) == ["quick"]
    grid = listed("quick", Wishes.parsed(SILENT, KNOWN), (), records, runs)
    assert len(grid) == 21, "five tasks, four backbones, seed 0; and seed 2 of text"
    assert {own.variant for own in grid if own.task == "text"} == {"stand-in"}
    only = Wishes.parsed(SILENT | {"seeds": "0", "tasks": "image"}, KNOWN)
    assert {(own.task, own.seed) for own in listed("quick", only, ("seeds", "tasks"), records, runs)} == {
        ("image", 0)
    }
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(board("preset=quick", [standing(own, records, runs) for own in grid]))
    text = console.export_text()
    assert "text (stand-in)" in text
    assert re.search(r"vanilla seed 2 .* 60\.00 %", text)
    make(preset="quick-1a2b3c4d").write(records)
    assert len(listed("quick-1a2b3c4d", Wishes.parsed(SILENT, KNOWN), (), records, runs)) == 1
    assert "21 cells: 1 done · 0 running · 0 failed · 0 stopped · 20 missing" in text


def test_the_room_needs_no_torch() -> None:
    code = "import sys, wise_lra.grid.reproduction, wise_lra.grid.board"
    code += "\nprint({'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
