"""Oracle: grids whose cells do what the test tells them (grid_train.py), held against files, order and clocks."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from test_results_record import make

from wise_lra.grid import claim
from wise_lra.grid.cells import Cell, cells
from wise_lra.grid.events import Ended, Running, Snapshot
from wise_lra.grid.live import Live
from wise_lra.grid.lock import holder
from wise_lra.grid.plain import Plain, totals
from wise_lra.grid.progress import Progress
from wise_lra.grid.report import farewell, report
from wise_lra.grid.reproduction import Plan, Reproduction, quoted
from wise_lra.grid.runner import Runner
from wise_lra.grid.standing import State, standing
from wise_lra.grid.wishes import Wishes
from wise_lra.results.record import read_all

TRAIN = Path(__file__).with_name("grid_train.py")
BACKBONES = ("vanilla", "fnet")


class Bench:
    """A folder of records and runs, and grids of one to four cells in it."""

    def __init__(self, folder: Path) -> None:
        self.records, self.runs = folder / "records", folder / "runs"
        if not self.runs.exists():
            self.runs.mkdir()
            (self.runs / "template.json").write_text(make().to_json())
            self.behave({})

    def behave(self, behaviour: dict[str, str]) -> None:
        (self.runs / "behaviour.json").write_text(json.dumps(behaviour))

    def grid(self, tasks: Sequence[str] = ("text", "image"), seeds: Sequence[int] = (0,)) -> list[Cell]:
        return cells("quick", dict.fromkeys(tasks, "stand-in"), BACKBONES, ["softmax"], seeds)

    def command(self, cell: Cell) -> list[str]:
        axes = [
            f"{axis}={getattr(cell, axis)}" for axis in ("preset", "task", "backbone", "attention", "seed")
        ]
        return [sys.executable, str(TRAIN), *axes, f"records={self.records}", f"runs={self.runs}"]

    def runner(self, grid: Sequence[Cell], jobs: int = 2, screen: Any = None, **more: Any) -> Runner:
        places = [{"PLACE": str(place)} for place in range(jobs)]
        more = {"pause": 0.02} | more
        return Runner(grid, self.command, places, self.records, self.runs, screen or Plain(), **more)

    def starts(self) -> list[str]:
        file = self.runs / "starts"
        return file.read_text().split() if file.exists() else []


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def states(ends: Sequence[Ended]) -> dict[str, State]:
    return {end.cell.name.split("/softmax")[0].split("/none")[0]: end.state for end in ends}


def wait_for(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


@pytest.fixture
def later() -> Iterator[Any]:
    """Do something beside the grid, which has the main thread for itself; its error is the test's."""
    threads, errors = [], []

    def begin(function: Any) -> None:
        def work() -> None:
            try:
                function()
            except BaseException as error:
                errors.append(error)
                os.kill(os.getpid(), signal.SIGINT)

        threads.append(threading.Thread(target=work))
        threads[-1].start()

    yield begin
    for thread in threads:
        thread.join()
    assert not errors, errors


def test_every_cell_is_trained_in_order_and_never_twice(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = bench.grid(seeds=(1, 0))
    ends = bench.runner(grid, jobs=1).run()
    assert [end.cell for end in ends] == grid
    assert {end.state for end in ends} == {State.DONE}
    assert bench.starts() == [cell.name for cell in grid]
    assert len(read_all(bench.records)) == 8
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "start   text-stand-in/vanilla/softmax/seed1"
    end = r"done    text-stand-in/vanilla/softmax/seed1: test accuracy 60\.00 %, \d+ s; "
    assert re.fullmatch(end + r"1 of 8 done, about \d+:\d\d left", lines[1])
    again = bench.runner(grid)
    assert (again.already, again.left, again.run()) == (8, 0, [])
    assert len(bench.starts()) == 8


def test_only_what_is_missing_is_trained(bench: Bench) -> None:
    grid = bench.grid()
    bench.runner(grid[1:3]).run()
    runner = bench.runner(grid)
    assert (runner.already, runner.left) == (2, 2)
    assert [end.cell for end in sorted(runner.run(), key=lambda end: grid.index(end.cell))] == [
        grid[0],
        grid[3],
    ]
    assert (runner.snapshot().done, runner.snapshot().total) == (4, 4)


def test_failures_are_recorded_and_stop_nobody(bench: Bench) -> None:
    grid = bench.grid(("text", "image", "listops"))
    bad = {"text/vanilla/seed0": "fail", "text/fnet/seed0": "kill", "image/vanilla/seed0": "crash"}
    bench.behave(bad | {"image/fnet/seed0": "nothing"})
    runner = bench.runner(grid)
    ends = {end.cell: end for end in runner.run()}
    reasons = [ends[cell].reason for cell in grid]
    assert reasons[0] == "the loss is nan at step 3"
    assert reasons[1] == "killed by SIGKILL (out of memory?)"
    assert reasons[2] == "exit status 1: RuntimeError: no such thing"
    assert reasons[3].startswith("ended well but left no record at ")
    assert [ends[cell].state for cell in grid[4:]] == [State.DONE, State.DONE]
    for cell in grid[:4]:
        assert standing(cell, bench.records, bench.runs).reason == ends[cell].reason
    lines = report(list(ends.values()), runner.snapshot(), bench.command, bench.runs)
    assert lines[0].startswith("2 of 6 cells have their record; ")
    log = next(line for line in lines if line.startswith("        log: ") and "text-stand-in/vanilla" in line)
    assert "error: the loss is nan at step 3" in Path(log.partition("log: ")[2]).read_text()
    assert sum(line.startswith("        again: ") for line in lines) == 4
    assert lines[-1] == "4 failed; the same command runs these again, and only these"

    bench.behave({})
    again = bench.runner(grid)
    assert {end.state for end in again.run()} == {State.DONE}
    assert len(bench.starts()) == 6 + 4
    assert not list(bench.runs.rglob("failed.json"))


def test_the_command_that_is_shown_runs_the_cell_again(bench: Bench) -> None:
    grid = bench.grid(("text",))[:1]
    bench.behave({"text/vanilla/seed0": "fail"})
    runner = bench.runner(grid)
    lines = report(runner.run(), runner.snapshot(), bench.command, bench.runs)
    bench.behave({})
    again = next(line.partition("again: ")[2] for line in lines if "again: " in line)
    subprocess.run(again, shell=True, check=True, timeout=30)
    assert grid[0].finished(bench.records)


def test_a_cell_that_cannot_start_fails_alone(bench: Bench) -> None:
    grid = bench.grid(("text",))
    grid[0].folder(bench.runs).parent.mkdir(parents=True)
    grid[0].folder(bench.runs).write_text("a file in the way")
    ends = bench.runner(grid).run()
    assert ends[0].state == State.FAILED
    assert ends[0].reason.startswith("could not start: ")
    assert ends[1].state == State.DONE


def test_a_bad_record_fails_its_cell_and_a_short_one_is_set_aside(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = bench.grid(("text",))
    bad = grid[0].record(bench.records)
    bad.parent.mkdir(parents=True)
    bad.write_text("{")
    make(variant="stand-in", backbone="fnet", attention="none", steps=3).write(bench.records)
    ends = {end.cell: end for end in bench.runner(grid).run()}
    assert ends[grid[0]].state == State.FAILED
    assert ends[grid[0]].reason.endswith("; move it away to run this cell")
    assert bad.read_text() == "{"
    assert ends[grid[1]].state == State.DONE
    aside = grid[1].folder(bench.runs) / "unfinished.json"
    assert json.loads(aside.read_text())["steps"] == 3
    assert f"moved to {aside}" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_ends_the_grid_and_the_next_start_goes_on(
    bench: Bench, later: Any, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = bench.grid()
    bench.behave({"text/fnet/seed0": "slow", "image/vanilla/seed0": "slow"})
    slow = [cell.folder(bench.runs) / "step" for cell in grid[1:3]]

    def interrupt() -> None:
        wait_for(lambda: all(file.exists() and file.read_text() == "5" for file in slow))
        os.kill(os.getpid(), number)

    later(interrupt)
    handler = signal.getsignal(number)
    runner = bench.runner(grid)
    ends = runner.run()
    assert runner.stopped
    assert signal.getsignal(number) == handler
    assert states(ends) == {
        "text-stand-in/vanilla": State.DONE,
        "text-stand-in/fnet": State.STOPPED,
        "image-stand-in/vanilla": State.STOPPED,
    }
    assert all(
        (cell.folder(bench.runs) / "train.log").read_text().endswith("stopped\n") for cell in grid[1:3]
    )
    assert all(holder(cell.folder(bench.runs)) is None for cell in grid), "a process was left behind"
    assert standing(grid[1], bench.records, bench.runs).state == State.STOPPED
    assert farewell(ends, runner.snapshot())[0] == "stopped: 1 of 4 cells have their record, which is kept"
    assert "stopping: 30 s for the running cells to keep a checkpoint" in capsys.readouterr().out

    bench.behave({})
    assert set(states(bench.runner(grid).run()).values()) == {State.DONE}
    assert bench.starts().count(grid[0].name) == 1
    assert all(bench.starts().count(cell.name) == 2 for cell in grid[1:3])
    assert [file.read_text() for file in slow] == ["10", "10"], "from the fifth step on"


@pytest.mark.parametrize("impatient", [False, True])
def test_a_cell_that_does_not_stop_is_killed(bench: Bench, later: Any, impatient: bool) -> None:
    grid = bench.grid(("text",))[:1]
    bench.behave({"text/vanilla/seed0": "stubborn"})
    step = grid[0].folder(bench.runs) / "step"

    def interrupt() -> None:
        wait_for(lambda: step.exists() and step.read_text() == "5")
        os.kill(os.getpid(), signal.SIGINT)
        if impatient:
            os.kill(os.getpid(), signal.SIGINT)  # within a second, as make sends it on: counts as one
            time.sleep(1.1)
            os.kill(os.getpid(), signal.SIGINT)

    later(interrupt)
    begin = time.monotonic()
    ends = bench.runner(grid, patience=60 if impatient else 0.3).run()
    assert states(ends) == {"text-stand-in/vanilla": State.STOPPED}
    assert time.monotonic() - begin > (1.1 if impatient else 0.3)
    assert holder(grid[0].folder(bench.runs)) is None


def test_a_broken_screen_leaves_no_child_behind(bench: Bench) -> None:
    grid = bench.grid(("text",))
    bench.behave({"text/vanilla/seed0": "slow", "text/fnet/seed0": "stubborn"})

    class Broken(Plain):
        def tick(self, now: Snapshot) -> None:
            if sum(view.progress.step == 5 for view in now.running) == 2:
                raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        bench.runner(grid, screen=Broken(), patience=0.3).run()
    assert [holder(cell.folder(bench.runs)) for cell in grid] == [None, None]
    assert standing(grid[0], bench.records, bench.runs).state == State.STOPPED


def test_a_cell_that_another_grid_trains_is_left_alone_and_waited_for(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = bench.grid(("text",))
    bench.behave({"text/vanilla/seed0": "slow"})
    folder = grid[0].folder(bench.runs)
    with subprocess.Popen(bench.command(grid[0])) as other:
        wait_for(lambda: holder(folder) == other.pid)

        class Watching(Plain):
            def ended(self, end: Ended, now: Snapshot) -> None:
                super().ended(end, now)
                if end.cell == grid[1]:
                    assert [view.elsewhere for view in now.running] == [True]
                    (folder / "go").touch()
                    other.send_signal(signal.SIGINT)  # it ends without a record: the cell is free again

        ends = bench.runner(grid, screen=Watching()).run()
        assert other.wait(20) == 130
    assert [end.cell for end in ends] == [grid[1], grid[0]]
    assert {end.state for end in ends} == {State.DONE}
    assert f"{grid[0].name}: process {other.pid} is running it; left alone" in capsys.readouterr().out


GRID = """
import sys; from pathlib import Path; from test_grid_runner import Bench
bench = Bench(Path(sys.argv[1])); runner = bench.runner(bench.grid(seeds=(0, 1)))
print('failed' if any(end.reason for end in runner.run()) else runner.snapshot().done)
"""


def other_grid(folder: Path) -> subprocess.Popen[str]:
    where = {**os.environ, "PYTHONPATH": str(TRAIN.parent)}
    return subprocess.Popen(
        [sys.executable, "-c", GRID, str(folder)], stdout=subprocess.PIPE, text=True, env=where
    )


def test_what_a_killed_grid_leaves_running_is_not_lost(bench: Bench, later: Any, tmp_path: Path) -> None:
    grid = bench.grid(seeds=(0, 1))
    bench.behave({"text/vanilla/seed0": "slow", "text/fnet/seed0": "slow"})
    folders = [cell.folder(bench.runs) for cell in grid[:2]]
    with other_grid(tmp_path) as other:
        wait_for(lambda: all(holder(folder) for folder in folders))
        other.kill()

    def release() -> None:
        wait_for(lambda: len(read_all(bench.records)) == 6)
        for folder in folders:
            (folder / "go").touch()

    later(release)
    ends = bench.runner(grid).run()
    assert [end.state for end in ends] == [State.DONE] * 8
    assert {end.cell for end in ends[-2:]} == set(grid[:2]), "they are waited for, the others come first"
    assert sorted(bench.starts()) == sorted(cell.name for cell in grid), "nothing was trained twice"


def test_a_cell_that_another_process_finishes_counts_as_done(bench: Bench, later: Any) -> None:
    grid = bench.grid(("text",))[:1]

    def finish() -> None:
        with claim(grid[0].folder(bench.runs)):
            begun.set()
            time.sleep(0.3)
            make(variant="stand-in").write(bench.records)

    begun = threading.Event()
    later(finish)
    begun.wait(10)
    runner = bench.runner(grid)
    assert [end.state for end in runner.run()] == [State.DONE]
    assert bench.starts() == []


def test_a_child_that_loses_the_race_is_no_failure(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    # Both grids looked before either had started: this one does not see the holder at its first look.
    grid = bench.grid(("text",))[:1]
    looks = iter([None])
    monkeypatch.setattr("wise_lra.grid.runner.holder", lambda folder: next(looks, None) or seen(folder))

    def seen(folder: Path) -> int | None:
        found = holder(folder)
        if bench.starts():
            release.set()
            return found
        return None

    release = threading.Event()

    def hold() -> None:
        with claim(grid[0].folder(bench.runs)):
            begun.set()
            release.wait(20)
            time.sleep(0.2)

    begun = threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait(10)
    ends = bench.runner(grid).run()
    thread.join()
    assert [end.state for end in ends] == [State.DONE]
    assert len(bench.starts()) == 2


def test_two_grids_at_once_share_the_work(bench: Bench, tmp_path: Path) -> None:
    grids = [other_grid(tmp_path) for _ in range(2)]
    said = [grid.communicate(timeout=60)[0].splitlines()[-1] for grid in grids]
    assert said == ["8", "8"]
    assert len(read_all(bench.records)) == 8


def test_the_time_left_is_that_of_the_schedule(bench: Bench) -> None:
    grid = bench.grid()
    make(variant="stand-in", seconds={"train": 0, "validation": 0, "test": 0, "total": 30}).write(
        bench.records
    )
    make(
        task="image", variant="stand-in", seconds={"train": 0, "validation": 0, "test": 0, "total": 80}
    ).write(bench.records)
    runner = bench.runner(grid, jobs=1)
    assert runner.snapshot().seconds_left == pytest.approx(30 + 80), "each its task's, one after the other"
    assert bench.runner(grid, jobs=2).snapshot().seconds_left == pytest.approx(80)
    assert bench.runner(bench.grid(("listops",))).snapshot().seconds_left is None, "nothing is known of it"


SHOWN = Snapshot(
    total=20,
    done=12,
    failed=1,
    queued=5,
    running=(
        Running(
            Cell(preset="quick", task="text", variant="stand-in", backbone="fnet", attention="none", seed=0),
            Progress("train", 450, 1000, 1.8341, 0.412, 60.0, 73.0),
            60.0,
            73.0,
        ),
        Running(
            Cell(preset="quick", task="image", backbone="vanilla", attention="softmax", seed=0),
            Progress(),
            1.0,
            None,
            True,
        ),
    ),
    elapsed=725.0,
    seconds_left=510.0,
)


@pytest.mark.parametrize("width", [72, 140])
def test_the_picture_has_a_line_a_running_cell_and_the_total(width: int) -> None:
    console = Console(width=width, height=24, file=io.StringIO(), record=True)
    console.print(Live(console, "preset=quick").drawn(SHOWN))
    lines = console.export_text().splitlines()
    assert re.search(r"text-stand-in/fnet/none/seed0 .* 45 % .*1:13 left", lines[1])
    assert re.search("image/vanilla/softmax/seed0 .*starting", lines[2])
    total = r"12 of 20 done · 2 running · 1 failed · 5 waiting .*12:05 so far · 8:30 left"
    assert re.search(total, " ".join(lines[3:]))
    assert len(lines) == (4 if width == 140 else 5), "a line that is too long wraps"
    assert ("loss 1.834" in lines[1]) == ("val 41.2 %" in lines[1]) == (width == 140)


def test_the_picture_fits_a_low_terminal() -> None:
    console = Console(width=140, height=7, file=io.StringIO(), record=True)
    console.print(Live(console).drawn(SHOWN))
    assert "and 1 more" in console.export_text()


def test_without_a_terminal_a_line_tells_that_it_is_alive(capsys: pytest.CaptureFixture[str]) -> None:
    plain = Plain(heartbeat=0.0)
    plain.tick(SHOWN)
    said = capsys.readouterr().out
    views = "text-stand-in/fnet/none/seed0 45 %, image/vanilla/softmax/seed0 0 %"
    assert said == f"running {views}; 12 of 20 done, 1 failed, about 8:30 left\n"
    Plain(heartbeat=60).tick(SHOWN)
    assert capsys.readouterr().out == ""
    assert totals(SHOWN).startswith("12 of 20")


class Shop:
    """A reproduction whose four verbs are the test's."""

    def __init__(self, bench: Bench, **more: Any) -> None:
        self.bench, self.said, self.tabled = bench, [], []
        wishes = Wishes("quick", ("text", "image"), BACKBONES, ("softmax",), (0,))
        lent: dict[str, Any] = {
            "wishes": wishes,
            "jobs": 2,
            "overrides": [],
            "records": bench.records,
            "runs": bench.runs,
            "gpus": lambda: [],
            "plan": self.plan,
            "train": [sys.executable, str(TRAIN)],
            "tables": self.tables,
        }
        self.reproduction = Reproduction(**(lent | more))

    def plan(self, preset: str) -> Plan:
        return Plan({"text": (Path("data/text"), "stand-in"), "image": (Path("data/image x"), "stand-in")})

    def tables(self, preset: str) -> int:
        self.tabled.append(preset)
        print("the table")
        return 0


def test_a_reproduction_from_end_to_end(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    shop = Shop(bench)
    assert shop.reproduction.run() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["preset=quick: as asked", "0 of 4 cells have their record; 4 to run, 2 at a time"]
    assert lines[-1].startswith("4 of 4 cells have their record; ")
    assert shop.tabled == ["quick"]
    log = (bench.runs / "quick/image-stand-in/fnet/none/seed0/train.log").read_text()
    assert "preset=quick task=image backbone=fnet attention=none seed=0" in log
    assert "trainer.threads=1" in log
    assert shop.reproduction.run() == 0
    assert len(bench.starts()) == 4
    assert "4 of 4 cells have their record; 0 to run" in capsys.readouterr().out


def test_a_failed_cell_or_task_or_table_is_a_failed_reproduction(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.behave({"text/fnet/seed0": "fail"})
    assert Shop(bench).reproduction.run() == 1
    table, _, words = capsys.readouterr().out.partition("the table\n")
    assert "failed  text-stand-in/fnet/none/seed0: the loss is nan at step 3" in words, "the last lines"
    assert "start   text-stand-in/fnet/none/seed0" in table
    bench.behave({})
    one = Plan({"text": (Path("data"), "stand-in")}, {"image": "no archive"})
    assert Shop(bench, plan=lambda preset: one).reproduction.run() == 1
    assert "failed  image: its data could not be prepared: no archive" in capsys.readouterr().out
    assert Shop(bench, tables=lambda preset: 2).reproduction.run() == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("failed  the table: status 2")
    assert Shop(bench).reproduction.run() == 0


@pytest.mark.parametrize(
    ("behaviour", "status", "words"),
    [
        ("143", 130, "interrupted"),
        ("138", 130, "interrupted"),
        ("130", 130, "interrupted"),
        ("75", 75, "out of time"),
    ],
)
def test_a_cell_that_was_stopped_from_outside_has_not_failed_and_goes_on(
    bench: Bench, capsys: pytest.CaptureFixture[str], behaviour: str, status: int, words: str
) -> None:
    bench.behave({"text/fnet/seed0": behaviour})
    assert Shop(bench).reproduction.run() == status
    said = capsys.readouterr().out
    assert re.search(rf"^stopped text-stand-in/fnet/none/seed0: {words}.*; .*1 stopped", said, re.MULTILINE)
    assert "failed" not in said
    assert said.splitlines()[-1] == "1 stopped; the same command goes on from their checkpoints"
    (cell,) = [c for c in bench.grid() if c.task == "text" and c.backbone == "fnet"]
    assert not (cell.folder(bench.runs) / "failed.json").exists()
    assert standing(cell, bench.records, bench.runs).state != State.FAILED
    bench.behave({"image/fnet/seed0": "fail", "text/fnet/seed0": behaviour})
    (bench.grid()[3].record(bench.records)).unlink()
    assert Shop(bench).reproduction.run() == 1, "a failure says more"
    bench.behave({})
    assert Shop(bench).reproduction.run() == 0


def test_ctrl_c_before_and_in_the_grid(bench: Bench, later: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(preset: str) -> Plan:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("SIGTERM was lost")

    assert Shop(bench, plan=interrupted).reproduction.run() == 130
    bench.behave({"text/vanilla/seed0": "slow"})
    step = bench.runs / "quick/text-stand-in/vanilla/softmax/seed0/step"

    def interrupt() -> None:
        wait_for(lambda: step.exists() and step.read_text() == "5")
        os.kill(os.getpid(), signal.SIGINT)

    later(interrupt)
    shop = Shop(bench)
    assert shop.reproduction.run() == 130
    assert not shop.tabled
    assert "the same command goes on from here" in capsys.readouterr().out


def test_a_grid_on_gpus_gives_each_cell_its_own(bench: Bench) -> None:
    shop = Shop(
        bench, gpus=lambda: ["3"], jobs=None, wishes=Wishes("lra", ("text",), ("fnet",), ("softmax",), (0,))
    )
    assert shop.reproduction.run() == 0
    log = (bench.runs / "lra/text-stand-in/fnet/none/seed0/train.log").read_text()
    assert "trainer.threads" not in log


def test_what_overrides_change_is_filed_apart(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    # The stand-in for train knows no labels and files its record under quick: the grid finds none, and says where.
    plan = Plan({"text": (Path("d"), "stand-in")}, labels={("text", "fnet", "none"): "quick-1a2b3c4d"})
    wishes = Wishes("quick", ("text",), ("fnet",), ("softmax",), (0,))
    shop = Shop(bench, plan=lambda preset: plan, wishes=wishes, overrides=["recipe.steps=3"])
    assert shop.reproduction.run() == 1
    said = capsys.readouterr().out
    assert "quick-1a2b3c4d/text-stand-in/fnet/none/seed0.json" in said
    assert "others than preset=quick: their records are in quick-1a2b3c4d" in said
    assert (
        "recipe.steps=3"
        in (bench.runs / "quick-1a2b3c4d/text-stand-in/fnet/none/seed0/train.log").read_text()
    )


@pytest.mark.parametrize("override", ["seed=1", "+task=image", "data.folder=x", "overwrite=true"])
def test_what_the_grid_decides_is_no_override(bench: Bench, override: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{override}: the grid decides this")):
        Shop(bench, overrides=[override]).reproduction.run()
    assert not bench.starts()


@pytest.mark.parametrize(
    "path", ["data/text-1.0", "a b", "it's", r"a\'b", "x=1,2", r"end\ "[:-1], "ünï", '"', "$x{y}"]
)
def test_hydra_reads_a_path_back(path: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (parsed,) = OverridesParser.create().parse_overrides([f"data.folder={quoted(Path(path))}"])
    assert parsed.value() == path


def test_the_script_refuses_before_it_writes(tmp_path: Path) -> None:
    root = TRAIN.parents[1]
    script = [sys.executable, str(root / "scripts" / "reproduce.py")]
    for options, message in {
        ("--tasks", "texts"): "error: tasks='texts': expected some of",
        ("--jobs", "0"): "error: jobs='0'",
        ("--preset", "quick", "seed=1"): "error: seed=1: the grid decides this",
    }.items():
        done = subprocess.run([*script, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(message)
        assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_status_script_prints_the_board(bench: Bench, tmp_path: Path) -> None:
    make().write(bench.records)
    script = [sys.executable, str(TRAIN.parents[1] / "scripts" / "status.py"), "--preset", "", "--seeds", ""]
    begin = time.monotonic()
    where = ["--records", str(bench.records), "--runs", str(bench.runs)]
    done = subprocess.run([*script, *where], capture_output=True, text=True, check=True)
    assert time.monotonic() - begin < 5
    assert "20 cells: 1 done · 0 running · 0 failed · 0 stopped · 19 missing" in done.stdout
    shutil.rmtree(bench.records)
    done = subprocess.run([*script, *where, "--tasks", "x"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
