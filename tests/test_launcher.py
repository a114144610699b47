"""Oracle: runs that do what the test tells them (fake_train.py), held against files, order and clocks."""

import io
import json
import os
import shlex
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
from conftest import Script
from omegaconf import OmegaConf
from rich.console import Console
from test_results_record import make

from wise_lra.results.record import read_all
from wise_lra.runs import job as job_module
from wise_lra.runs import sweeper as sweeper_module
from wise_lra.runs.display import Display
from wise_lra.runs.job import Job
from wise_lra.runs.launcher import Local
from wise_lra.runs.lock import claim, holder
from wise_lra.runs.reproduce import expect_settings, reproduce
from wise_lra.runs.selection import Selection, quoted
from wise_lra.runs.status import RunStatus, Status, complete_record
from wise_lra.runs.sweeper import Grid

TRAIN = Path(__file__).with_name("fake_train.py")
BACKBONES = ("vanilla", "fnet")


class Bench:
    """A folder of records and runs, and jobs in it."""

    def __init__(self, folder: Path) -> None:
        self.records, self.runs = folder / "records", folder / "runs"
        if not self.runs.exists():
            self.runs.mkdir()
            (self.runs / "template.json").write_text(make().to_json())
            self.behave({})

    def behave(self, behaviour: dict[str, str]) -> None:
        (self.runs / "behaviour.json").write_text(json.dumps(behaviour))

    def jobs(
        self, tasks: Sequence[str] = ("text", "image"), seeds: Sequence[int] = (0,), **more: Any
    ) -> list[Job]:
        selection = Selection("quick", tuple(tasks), BACKBONES, ("softmax",), tuple(seeds))
        keys = selection.keys("quick", dict.fromkeys(tasks, "stand-in"))
        where = (f"records={self.records}", f"runs={self.runs}")
        axes = ("preset", "task", "backbone", "attention", "seed")
        return [
            Job(
                key,
                (*(f"{axis}={getattr(key, axis)}" for axis in axes), *where),
                "",
                self.records,
                self.runs,
                **more,
            )
            for key in keys
        ]

    def run(self, jobs: Sequence[Job], n_jobs: int = 2, **more: Any) -> list[RunStatus]:
        """Return the rows of jobs that the local launcher ran."""
        return Local(n_jobs, **({"pause": 0.02} | more)).run(jobs)

    def sweep(self, jobs: Sequence[Job], monkeypatch: pytest.MonkeyPatch, **more: Any) -> int:
        """Return the exit status of a sweep of jobs on the local launcher."""
        sweeper = Grid()
        sweeper.config = OmegaConf.create({"hydra": {"launcher": {"_target_": "Local"}}})
        monkeypatch.setattr(sweeper_module, "combinations", lambda arguments: [])
        monkeypatch.setattr(sweeper_module, "planned", lambda combinations, here: list(jobs))
        monkeypatch.setattr(sweeper_module, "LOOK_AGAIN", 0.02)
        monkeypatch.setattr(
            sweeper, "launch", lambda ready: dict(zip(ready, self.run(ready, **more), strict=True))
        )
        try:
            sweeper.sweep([])
        except SystemExit as end:
            return int(str(end.code))
        return 0

    def starts(self) -> list[str]:
        file = self.runs / "starts"
        return file.read_text().split() if file.exists() else []


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(job_module, "TRAIN", TRAIN)
    return Bench(tmp_path)


def wait_for(condition: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


@pytest.fixture
def later() -> Iterator[Any]:
    """Do something beside the pool, which has the main thread for itself; its error is the test's."""
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


def interrupt_at_step_5(jobs: Sequence[Job], number: int, times: int = 1) -> Any:
    """Return a function that signals this process once the jobs wait at their fifth step."""
    steps = [job.folder / "step" for job in jobs]

    def interrupt() -> None:
        wait_for(lambda: all(file.exists() and file.read_text() == "5" for file in steps))
        for _ in range(times):
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)  # within a second, as make sends it on: counts as one
            time.sleep(1.1 * (times > 1))

    return interrupt


def test_every_job_is_run_in_order(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = bench.jobs(seeds=(1, 0))
    rows = bench.run(jobs, n_jobs=1)
    assert [(row.status, row.exit_status) for row in rows] == [(Status.DONE, 0)] * 8
    assert bench.starts() == [job.key.name for job in jobs]
    assert [row.record for row in rows] == [complete_record(job.key, bench.records) for job in jobs]
    lines = capsys.readouterr().out.splitlines()
    name = str(jobs[0].key)
    assert [line.split()[:2] for line in lines[:2]] == [["start", name], ["done", f"{name}:"]]
    assert "60.00 %" in lines[1]
    assert "1 of 8 done" in lines[1]


def test_failures_are_recorded_named_and_stop_no_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = bench.jobs(("text", "image", "listops"))
    bad = {"text/vanilla/seed0": "fail", "text/fnet/seed0": "kill", "image/vanilla/seed0": "crash"}
    bench.behave(bad | {"image/fnet/seed0": "nothing"})
    rows = bench.run(jobs)
    assert [row.status for row in rows] == [Status.FAILED] * 4 + [Status.DONE] * 2
    assert [row.exit_status for row in rows] == [1, -signal.SIGKILL, 1, 0, 0, 0]
    named = ("the loss is nan at step 3", "SIGKILL", "RuntimeError: no such thing", "image-stand-in/fnet")
    for row, name in zip(rows, named, strict=False):
        assert name in row.reason
    assert [job.status().reason for job in jobs[:4]] == [row.reason for row in rows[:4]]
    assert "error: the loss is nan at step 3" in (jobs[0].folder / "train.log").read_text()

    bench.behave({"text/vanilla/seed0": "fail"})
    capsys.readouterr()
    assert bench.sweep(jobs, monkeypatch) == 1
    assert len(bench.starts()) == 6 + 4, "only what failed is run again"
    said = capsys.readouterr().out
    assert "6 cells: 5 done · 0 running · 1 failed" in said
    assert str(jobs[0].folder / "train.log") in said
    (again,) = [line.partition("again:")[2] for line in said.splitlines() if line.startswith("again:")]
    assert shlex.split(again)[2:] == list(jobs[0].overrides)
    bench.behave({})
    assert bench.sweep(jobs, monkeypatch) == 0
    assert not list(bench.runs.rglob("failed.json"))


def test_a_job_that_cannot_start_fails_alone(bench: Bench) -> None:
    jobs = bench.jobs(("text",))
    jobs[0].folder.parent.mkdir(parents=True)
    jobs[0].folder.write_text("a file in the way")
    rows = bench.run(jobs)
    assert [row.status for row in rows] == [Status.FAILED, Status.DONE]
    assert str(jobs[0].folder) in rows[0].reason


def test_a_bad_record_fails_its_cell_and_a_short_one_is_set_aside(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = bench.jobs(("text",))
    bad = jobs[0].key.record(bench.records)
    bad.parent.mkdir(parents=True)
    bad.write_text("{")
    make(variant="stand-in", backbone="fnet", attention="none", steps=3).write(bench.records)
    assert bench.sweep(jobs, monkeypatch) == 1
    assert bad.read_text() == "{"
    assert [job.status().status for job in jobs] == [Status.FAILED, Status.DONE]
    aside = jobs[1].folder / "unfinished.json"
    assert json.loads(aside.read_text())["steps"] == 3
    said = capsys.readouterr().out
    assert str(aside) in said
    assert said.count(str(bad)) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_ends_the_sweep_and_the_next_start_goes_on(
    bench: Bench, later: Any, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = bench.jobs()
    bench.behave({"text/fnet/seed0": "slow", "image/vanilla/seed0": "slow"})
    later(interrupt_at_step_5(jobs[1:3], number))
    handler = signal.getsignal(number)
    assert bench.sweep(jobs, monkeypatch) == 130
    assert signal.getsignal(number) == handler
    expected = [Status.DONE, Status.STOPPED, Status.STOPPED, Status.MISSING]
    assert [job.status().status for job in jobs] == expected
    assert all((job.folder / "train.log").read_text().endswith("stopped\n") for job in jobs[1:3])
    assert all(holder(job.folder) is None for job in jobs), "a process was left behind"

    bench.behave({})
    assert bench.sweep(jobs, monkeypatch) == 0
    assert [bench.starts().count(job.key.name) for job in jobs] == [1, 2, 2, 1]
    assert [(job.folder / "step").read_text() for job in jobs[1:3]] == ["10", "10"], "from the fifth step on"


def test_a_grid_that_ignores_ctrl_c_ends_its_runs_on_sigterm(bench: Bench, later: Any) -> None:
    """As a grid that a shell's `&` started: its runs ignore SIGINT too."""
    jobs = bench.jobs(("text",))[:1]
    bench.behave({"text/vanilla/seed0": "slow"})
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        later(interrupt_at_step_5(jobs, signal.SIGTERM))
        with pytest.raises(KeyboardInterrupt):
            bench.run(jobs, patience=60)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (jobs[0].folder / "train.log").read_text().endswith("stopped\n"), "it was killed"


@pytest.mark.parametrize("impatient", [False, True])
def test_a_run_that_does_not_stop_is_killed(bench: Bench, later: Any, impatient: bool) -> None:
    jobs = bench.jobs(("text",))[:1]
    bench.behave({"text/vanilla/seed0": "stubborn"})
    later(interrupt_at_step_5(jobs, signal.SIGINT, 2 if impatient else 1))
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        bench.run(jobs, patience=60 if impatient else 0.3)
    assert time.monotonic() - begin > (1.1 if impatient else 0.3)
    assert jobs[0].status().status == Status.STOPPED
    assert holder(jobs[0].folder) is None


def test_a_broken_display_leaves_no_process_behind(bench: Bench) -> None:
    jobs = bench.jobs(("text",))
    bench.behave({"text/vanilla/seed0": "slow", "text/fnet/seed0": "stubborn"})

    class Broken(Display):
        def show(self) -> None:
            if sum(row.progress.step == 5 for row in self.state()[0]) == 2:
                raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        bench.run(jobs, display=Broken, patience=0.3)
    assert [holder(job.folder) for job in jobs] == [None, None]
    assert jobs[0].status().status == Status.STOPPED


def test_a_cell_that_another_process_trains_is_left_alone_and_looked_at_again(
    bench: Bench, later: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = bench.jobs(("text",))
    bench.behave({"text/vanilla/seed0": "slow"})
    with subprocess.Popen(jobs[0].command) as other:
        wait_for(lambda: holder(jobs[0].folder) == other.pid)

        def release() -> None:
            wait_for(lambda: jobs[1].status().status == Status.DONE)
            assert jobs[0].status().status == Status.RUNNING
            (jobs[0].folder / "go").touch()
            other.send_signal(signal.SIGINT)  # it ends without a record: the cell is free again

        later(release)
        assert bench.sweep(jobs, monkeypatch) == 0
        assert other.wait(20) in (0, 130)
    assert [job.status().status for job in jobs] == [Status.DONE, Status.DONE]
    assert f"process {other.pid}" in capsys.readouterr().out


def test_a_run_that_loses_the_race_is_no_failure(
    bench: Bench, later: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Both sweeps looked before either had started: this one does not see the holder at its first look.
    jobs = bench.jobs(("text",))[:1]
    looks = iter([None])
    monkeypatch.setattr(
        sweeper_module,
        "holder",
        lambda folder: next(looks, None) or ((bench.starts() or None) and holder(folder)),
    )
    begun = threading.Event()

    def hold() -> None:
        with claim(jobs[0].folder):
            begun.set()
            wait_for(
                lambda: (
                    (jobs[0].folder / "train.log").exists()
                    and "error" in (jobs[0].folder / "train.log").read_text()
                )
            )
            time.sleep(0.3)

    later(hold)
    begun.wait(10)
    assert bench.sweep(jobs, monkeypatch) == 0
    assert len(bench.starts()) == 2


SWEEP = """
import sys, pytest; from pathlib import Path; from test_launcher import Bench
bench = Bench(Path(sys.argv[1]))
with pytest.MonkeyPatch.context() as patch:
    patch.setattr("wise_lra.runs.job.TRAIN", Path(sys.argv[2]))
    sys.exit(bench.sweep(bench.jobs(seeds=(0, 1)), patch))
"""


def other_sweep(folder: Path) -> subprocess.Popen[bytes]:
    where = {**os.environ, "PYTHONPATH": str(TRAIN.parent)}
    return subprocess.Popen(
        [sys.executable, "-c", SWEEP, str(folder), str(TRAIN)], stdout=subprocess.DEVNULL, env=where
    )


def test_what_a_killed_sweep_leaves_running_is_not_lost(
    bench: Bench, later: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = bench.jobs(seeds=(0, 1))
    bench.behave({"text/vanilla/seed0": "slow", "text/fnet/seed0": "slow"})
    with other_sweep(tmp_path) as other:
        wait_for(lambda: all(holder(job.folder) for job in jobs[:2]))
        other.kill()

    def release() -> None:
        wait_for(lambda: len(read_all(bench.records)) == 6)
        for job in jobs[:2]:
            (job.folder / "go").touch()

    later(release)
    assert bench.sweep(jobs, monkeypatch) == 0
    assert sorted(bench.starts()) == sorted(job.key.name for job in jobs), "nothing was trained twice"


def test_two_sweeps_at_once_share_the_work(bench: Bench, tmp_path: Path) -> None:
    sweeps = [other_sweep(tmp_path) for _ in range(2)]
    assert [sweep.wait(120) for sweep in sweeps] == [0, 0]
    assert len(read_all(bench.records)) == 8


@pytest.mark.parametrize(("behaviour", "status"), [("143", 130), ("138", 130), ("130", 130), ("75", 75)])
def test_a_run_that_was_stopped_from_outside_has_not_failed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, behaviour: str, status: int
) -> None:
    jobs = bench.jobs(("text",))
    bench.behave({"text/fnet/seed0": behaviour})
    assert bench.sweep(jobs, monkeypatch) == status
    assert not (jobs[1].folder / "failed.json").exists()
    assert jobs[1].status().status != Status.FAILED
    jobs[0].key.record(bench.records).unlink()
    bench.behave({"text/vanilla/seed0": "fail", "text/fnet/seed0": behaviour})
    assert bench.sweep(jobs, monkeypatch) == 1, "a failure says more"
    bench.behave({})
    assert bench.sweep(jobs, monkeypatch) == 0


def test_a_task_without_data_fails_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = bench.jobs(("text",))[:1], bench.jobs(("image",), problem="no archive")[:1]
    assert bench.sweep([*good, *bad], monkeypatch) == 1
    assert bench.starts() == [good[0].key.name]
    assert "no archive" in capsys.readouterr().out


def test_a_run_is_trained_again_where_overwrite_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = bench.jobs(("text",), overwrite=True)[:1]
    make(variant="stand-in").write(bench.records)
    bench.behave({"text/vanilla/seed0": "fail"})
    assert bench.sweep(jobs, monkeypatch) == 1
    assert bench.starts() == [jobs[0].key.name]
    assert complete_record(jobs[0].key, bench.records), "the old record is kept"


def test_a_trial_is_done_when_its_process_ends_well_whatever_records_there_are(bench: Bench) -> None:
    (trial, *_) = bench.jobs(("text",), recorded=False)
    ends = [trial.ended(0), trial.ended(1, "no memory"), trial.ended(75, "out of time")]
    make(variant="stand-in").write(bench.records)
    ends += [trial.ended(0), trial.ended(1, "no memory")]
    assert [row.status for row in ends] == [
        Status.DONE,
        Status.FAILED,
        Status.STOPPED,
        Status.DONE,
        Status.FAILED,
    ]
    assert [row.record for row in ends] == [None] * 5


def test_the_time_left_is_that_of_the_schedule(bench: Bench) -> None:
    jobs, none = bench.jobs(), {"train": 0, "validation": 0, "test": 0}
    make(variant="stand-in", seed=1, seconds=none | {"total": 30}).write(bench.records)
    make(task="image", variant="stand-in", seed=1, seconds=none | {"total": 80}).write(bench.records)
    assert Display(jobs, 1).state()[1].endswith("0:00 so far, 3:40 left"), "2 x 30 s and 2 x 80 s"
    assert Display(jobs, 2).state()[1].endswith("0:00 so far, 1:50 left")
    (bench.records / "quick").rename(bench.records / "lra")
    assert Display(jobs, 2).state()[1].endswith("0:00 so far"), "nothing is known"


def shown(bench: Bench, heartbeat: float, terminal: bool) -> tuple[list[Job], str]:
    """Return four jobs, of which one has failed and two are running, and what a console shows of them."""
    console = Console(width=140, height=24, file=io.StringIO(), force_terminal=terminal, color_system=None)
    jobs = bench.jobs()
    display = Display(jobs, 2, console, heartbeat)
    with display.opened():
        for job in jobs[:3]:
            display.started(job)
        display.ended(jobs[0], RunStatus(jobs[0].key, Status.FAILED, reason="the loss is nan"))
        jobs[1].folder.mkdir(parents=True)
        progress = {"phase": "validation", "step": 450, "steps": 1000, "loss": 1.8341, "accuracy": 0.412}
        times = {"seconds": 60.0, "seconds_left": 73.0}
        (jobs[1].folder / "progress.json").write_text(json.dumps(progress | times))
        display.show()
    return jobs, console.file.getvalue()  # type: ignore[attr-defined]


COUNTS = ("0 of 4 done", "1 failed", "2 running", "1 waiting", "the loss is nan")


def test_a_terminal_shows_the_table_of_running_cells(bench: Bench) -> None:
    jobs, written = shown(bench, 60, terminal=True)
    for text in (
        str(jobs[1].key),
        "45 %, validation, loss 1.834",
        "41.20",
        "1:13 left",
        str(jobs[2].key),
        *COUNTS,
    ):
        assert text in written


def test_without_a_terminal_a_line_tells_that_it_is_alive(bench: Bench) -> None:
    jobs, quiet = shown(bench, 60, terminal=False)
    assert [line.split()[0] for line in quiet.splitlines()] == ["start"] * 3 + ["failed"]
    shutil.rmtree(jobs[1].folder)
    jobs, alive = shown(bench, 0.0, terminal=False)
    assert alive.splitlines()[-1].startswith(f"running {jobs[1].key} 45 %, {jobs[2].key} 0 %; 0 of 4 done")


SELECTION = Selection("quick", ("text", "image"), BACKBONES, ("softmax", "linear"), (1, 0))


def test_a_reproduction_is_a_multirun_and_a_table(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train, tables = tmp_path / "train.py", tmp_path / "tables.py"
    train.write_text(
        "import sys; print('train', sys.argv[1:]); sys.exit(int(sys.argv[-1].partition('=')[2]))"
    )
    tables.write_text("import sys; print('tables', sys.argv[1:]); sys.exit('broken' in sys.argv[-1])")
    for status, expected, tabled in ((0, 0, 1), (1, 1, 1), (75, 75, 1), (130, 130, 0), (2, 2, 0)):
        where = {"records": tmp_path / "records", "train": train, "tables": tables}
        assert reproduce(SELECTION, [f"status={status}"], [], jobs=3, **where) == expected
        said = capfd.readouterr().out
        assert said.count("tables [") == tabled
        assert "'hydra.launcher.n_jobs=3'" in said
        assert "'trainer.threads=1'" in said
    where["records"] = tmp_path / "broken" / "records"
    assert reproduce(SELECTION, ["status=0"], [], launcher="joblib", **where) == 1, "no table"
    said = capfd.readouterr().out
    assert "'hydra/launcher=joblib'" in said
    assert "n_jobs" not in said


@pytest.mark.parametrize("override", ["seed=1", "+task=image", "data.folder=x", "overwrite=true"])
def test_what_the_grid_decides_is_no_override(override: str) -> None:
    with pytest.raises(ValueError, match=rf"^{override.replace('+', '[+]')}: "):
        expect_settings([override])


@pytest.mark.parametrize(
    "path", ["data/text-1.0", "a b", "it's", r"a\'b", "x=1,2", r"end\ "[:-1], "ünï", '"', "$x{y}"]
)
def test_hydra_reads_a_path_back(path: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (parsed,) = OverridesParser.create().parse_overrides([f"data.folder={quoted(Path(path))}"])
    assert parsed.value() == path


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--tasks=texts",), "--tasks: 'texts'"),
        (("--jobs=0",), "--jobs: '0'"),
        (("--launcher=slurm",), "'slurm'"),
        (("--preset=quick", "seed=1"), "seed=1"),
    ],
)
def test_the_script_refuses_before_it_writes(
    options: tuple[str, ...], named: str, tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = script("reproduce", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert named in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
