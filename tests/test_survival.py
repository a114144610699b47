"""Oracle: an unbroken run's record; checkpoints that are broken, or written to a disk that is full, on purpose."""

import contextlib
import errno
import itertools
import logging
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from hydra.errors import InstantiationException
from test_loggers import SPACE, mountable
from test_training import ROOT, SMALL, command, folder, lasting, train, wait_for

from wise_lra import checkpoints, stopping
from wise_lra import train as module
from wise_lra.checkpoints import BEST, LAST, PREVIOUS, SafeCheckpoints, newest
from wise_lra.config import ConfigurationError, compose
from wise_lra.results import atomic
from wise_lra.results.record import read_all
from wise_lra.stopping import OutOfTime
from wise_lra.training import Training

__all__ = ["folder"]


def test_a_broken_checkpoint_gives_way_to_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (1, 2):
        SafeCheckpoints().save_checkpoint({"step": step}, tmp_path / LAST)
    assert newest(tmp_path) == tmp_path / LAST
    (tmp_path / LAST).write_bytes((tmp_path / LAST).read_bytes()[:100])
    with caplog.at_level(logging.WARNING):
        assert newest(tmp_path) == tmp_path / PREVIOUS
    assert "going back to the one before" in caplog.text
    assert torch.load(tmp_path / PREVIOUS, weights_only=True) == {"step": 1}


def test_a_full_disk_keeps_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SafeCheckpoints().save_checkpoint({"step": 1}, tmp_path / LAST)

    monkeypatch.setattr("wise_lra.checkpoints.os.fsync", full)
    with pytest.raises(OSError, match="No space left on device; earlier checkpoints are kept"):
        SafeCheckpoints().save_checkpoint({"step": 2}, tmp_path / LAST)
    assert [path.name for path in tmp_path.iterdir()] == [LAST]
    assert torch.load(tmp_path / LAST, weights_only=True) == {"step": 1}


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_that_a_full_disk_refuses_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wise_lra.results.atomic.os.fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/record\.json'"):
        atomic.write_text(tmp_path / "record.json", "{}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not mountable(), reason="no namespace of its own to mount a small disk in")
@pytest.mark.parametrize("kind", ["size=32k", "ro"])
def test_a_disk_that_is_full_or_read_only_has_no_room(tmp_path: Path, kind: str) -> None:
    program = (
        "import sys, pathlib, wise_lra.results.atomic as a; a.expect_room(pathlib.Path(sys.argv[1], 'new'))"
    )
    place = shlex.quote(str(tmp_path))
    command = (
        f"mount -t tmpfs -o {kind} tmpfs {place} && exec {sys.executable} -c {shlex.quote(program)} {place}"
    )
    done = subprocess.run([*SPACE, command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("OSError: [Errno ")
    assert str(tmp_path) in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "runs=results/runs"),
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "x/y"), "'x/y'"),
        (MemoryError("Unable to allocate 9 TiB"), "recipe.batch_size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "recipe.batch_size"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 TiB"), "recipe.batch_size"),
        (InstantiationException("Error in call to target:\nValueError('no')"), "target: ValueError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_ends_a_run_is_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    monkeypatch.setattr(module, "train", lambda _: (_ for _ in ()).throw(error))
    outcome = stopping.run_job(compose([]))
    assert outcome.status == 1
    assert said in outcome.reason
    assert "\n" not in outcome.reason


def test_an_error_that_nobody_foresaw_is_shown_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "train", lambda _: (_ for _ in ()).throw(RuntimeError("size mismatch")))
    with pytest.raises(RuntimeError, match="size mismatch"):
        stopping.run_job(compose([]))


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)]
)
def test_a_signal_ends_a_run_that_can_go_on(
    folder: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    with subprocess.Popen(
        command(folder, tmp_path, "recipe.steps=100000"), stderr=subprocess.PIPE, text=True
    ) as running:
        wait_for(lambda: list(tmp_path.rglob(LAST)))
        running.send_signal(number)
        _, errors = running.communicate(timeout=60)
    assert running.returncode == status, errors
    assert "Traceback" not in errors
    assert list(tmp_path.rglob(LAST))


FALLING = {20: 11, 40: 7, 50: 4}  # right answers of 37 at the validation of a step
PLATEAU = {20: 11, 40: 11, 50: 11}


class Stopped(Exception):
    """What ends a run where a test wants it."""


class Scripted(Training):
    """Its validation accuracy is what a test says, and it stops after the step that a test says, 50 in the test."""

    right: ClassVar[Mapping[int, int]] = {}
    stop: ClassVar[int | None] = None
    intervals: ClassVar[list[int]] = []

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        if self.global_step == self.stop:
            raise Stopped
        self.intervals.append(self.global_step)

    def on_test_epoch_start(self) -> None:
        super().on_test_epoch_start()
        if self.stop == 50:
            raise Stopped

    def on_validation_epoch_end(self) -> None:
        if self.right:
            self._evaluated[1] = self._evaluated[2] * self.right[self.global_step] / 37
        super().on_validation_epoch_end()


Trained = Callable[..., dict[str, Any]]


@pytest.fixture
def trained(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """Train here with scripted accuracies; return what lasts of the record."""

    def run(
        place: Path, *overrides: str, right: Mapping[int, int] = FALLING, stop: int | None = None
    ) -> dict[str, Any]:
        for name, value in {"right": right, "stop": stop, "intervals": []}.items():
            monkeypatch.setattr(Scripted, name, value)
        places = [f"data.folder={folder}", f"runs={place / 'runs'}", f"records={place / 'records'}"]
        cfg = compose([*SMALL, *places, *overrides])
        return lasting(module.train(cfg, Scripted))

    return run


def stopped(trained: Trained, place: Path, stop: int = 40) -> Path:
    """Stop a run after a validation; return the folder of its states."""
    with pytest.raises(Stopped):
        trained(place, stop=stop)
    return next(place.rglob(LAST)).parent


@pytest.fixture(scope="module")
def unbroken() -> dict[str, dict[str, Any]]:
    return {}


@pytest.fixture
def whole(unbroken: dict[str, Any], trained: Trained, tmp_path: Path) -> dict[str, Any]:
    """What lasts of the record of a run that nothing broke, made once."""
    if not unbroken:
        unbroken |= trained(tmp_path / "whole")
    assert unbroken["metrics"]["best_step"] == 20
    return unbroken


@pytest.mark.slow
def test_a_time_limit_ends_after_an_interval_and_the_run_goes_on(
    folder: Path, trained: Trained, tmp_path: Path
) -> None:
    whole = trained(tmp_path / "whole", right={})
    limited = train(folder, tmp_path / "limited", 'trainer.max_time="0:00:00:00"')
    assert limited.returncode == 75, limited.stderr
    assert "is over at step 20 of 50" in limited.stderr
    assert not read_all(tmp_path / "limited" / "records")
    goes_on = train(folder, tmp_path / "limited")
    assert goes_on.returncode == 0
    assert "goes on from its last validation" in goes_on.stderr
    (resumed,) = read_all(tmp_path / "limited" / "records")
    assert lasting(resumed) == whole


@pytest.mark.parametrize("right", [FALLING, PLATEAU], ids=["falling", "plateau"])
def test_every_start_goes_on_from_the_newest_validation(
    trained: Trained, whole: dict[str, Any], tmp_path: Path, right: Mapping[int, int]
) -> None:
    starts = []
    for _ in (20, 40):
        with pytest.raises(OutOfTime):
            trained(tmp_path / "limited", 'trainer.max_time="0:00:00:00"', right=right)
        starts += Scripted.intervals
    record = trained(tmp_path / "limited", 'trainer.max_time="0:00:00:00"', right=right)
    assert starts + Scripted.intervals == [0, 20, 40], "as many starts as there are intervals"
    assert record["history"][0] == whole["history"][0]
    assert (record == whole) == (right == FALLING)


def test_a_run_stopped_while_it_is_tested_is_tested_again(
    trained: Trained, whole: dict[str, Any], tmp_path: Path
) -> None:
    stopped(trained, tmp_path, 50)
    assert trained(tmp_path) == whole
    assert Scripted.intervals == []
    assert read_all(tmp_path / "records")[0].tokens_per_second > 0


def test_a_run_that_was_moved_while_it_was_stopped_is_the_same_run(
    trained: Trained, whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moved, and named by a link relative to another folder."""
    states = stopped(trained, tmp_path / "first")
    assert not [path.name for path in states.iterdir() if os.fsencode(tmp_path) in path.read_bytes()]
    (tmp_path / "there" / "link").parent.mkdir()
    (tmp_path / "there" / "link").symlink_to((tmp_path / "first").rename(tmp_path / "moved"))
    monkeypatch.chdir(tmp_path / "there")
    assert trained(Path("link")) == whole
    assert Scripted.intervals == [40]


@pytest.mark.parametrize("key", ["records", "runs"])
@pytest.mark.parametrize("fault", ["a file", "no such disk", "full"])
def test_a_folder_that_cannot_be_written_is_named_before_the_first_step(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, fault: str
) -> None:
    place = tmp_path / "here"
    if fault == "a file":
        place.touch()
    elif fault == "no such disk":
        place.symlink_to(tmp_path / "not" / "mounted")
    else:
        place.mkdir()
        room = {place: 1000}
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=room.get(path, 10**9)))
    with pytest.raises(ConfigurationError, match=rf"^{key}={place}: .*: {place}"):
        trained(tmp_path, f"{key}={place}")
    assert Scripted.intervals == []
    assert not list(tmp_path.rglob("run.lock"))


@pytest.mark.parametrize("option", ["--records", "--runs"])
def test_a_grid_that_cannot_be_written_ends_before_its_data_are_prepared(tmp_path: Path, option: str) -> None:
    (tmp_path / "file").touch()
    script = [sys.executable, str(ROOT / "scripts/reproduce.py"), "--preset", "quick", "--source", "standin"]
    more = [option, str(tmp_path / "file"), f"data.root={tmp_path / 'data'}"]
    done = subprocess.run([*script, *more], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert str(tmp_path / "file") in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_disk_without_room_for_the_states_is_named_before_the_first_step(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100_000))
    with pytest.raises(ConfigurationError, match=rf"^runs={tmp_path}/runs: "):
        trained(tmp_path)
    assert Scripted.intervals == []


def missing(path: Path) -> None:
    path.unlink(missing_ok=True)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(bytes(torch.load(path, weights_only=True)["state_dict"]["w"].numpy()))] ^= 1
    path.write_bytes(content)


def changed(path: Path, **changes: Any) -> None:
    torch.save(torch.load(path, weights_only=True) | changes, path)


def foreign(path: Path) -> None:
    points = torch.load(path, weights_only=True)["history"]["points"]
    changed(path, history={"points": [point | {"validation_loss": 0.5} for point in points]})


def of_another_shape(path: Path) -> None:
    changed(path, state_dict={"w": torch.zeros(2)})


def no_checkpoint(path: Path) -> None:
    torch.save([1.0], path)


def test_a_run_without_its_best_weights_says_so_and_begins_again(
    trained: Trained, whole: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    states = stopped(trained, tmp_path)
    (states / PREVIOUS).unlink()
    cut(states / BEST)
    with caplog.at_level(logging.WARNING):
        assert trained(tmp_path) == whole
    assert Scripted.intervals == [0, 20, 40]
    assert str(states / BEST) in caplog.text


def test_best_weights_that_get_lost_are_noticed_before_the_test_and_block_nothing(
    trained: Trained, whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = SafeCheckpoints.save_checkpoint

    def save(self: Any, checkpoint: Any, path: Path, storage_options: Any = None) -> None:
        saved(self, checkpoint, path)
        path.with_name(BEST).write_bytes(path.read_bytes())

    monkeypatch.setattr(SafeCheckpoints, "save_checkpoint", save)
    with pytest.raises(module.Refused, match=BEST):
        trained(tmp_path)
    assert read_all(tmp_path / "records") == []
    monkeypatch.undo()
    assert trained(tmp_path) == whole


CONFIG = {"seed": 0, "trainer": {"accelerator": "cpu"}}
WEIGHTS = {"w": torch.zeros(3)}


def state(path: Path, *steps: int, best: int) -> None:
    """Write a checkpoint whose history has these steps, one of them the best."""
    path.parent.mkdir(exist_ok=True)
    points = [{"step": step, "validation_accuracy": float(step == best)} for step in steps]
    rest: dict[str, Any] = {"optimizer_states": [], "lr_schedulers": [], "loops": {}, "pieces": 1}
    held = {"config": CONFIG, "history": {"points": points}, "state_dict": {"w": torch.randn(3)}}
    torch.save(held | rest, path)


@pytest.mark.parametrize(
    ("held", "best"),
    [(10, 10), (20, 20), (30, 30), (10, 30)],
    ids=["old", "before", "last", "not yet written"],
)
def test_a_run_goes_on_with_the_best_weights_of_its_history_or_begins(
    tmp_path: Path, held: int, best: int
) -> None:
    """Every combination of good, missing and broken states; best.ckpt holds step `held`."""
    steps = {LAST: (10, 20, 30), PREVIOUS: (10, 20), BEST: tuple(range(10, held + 1, 10))}
    for name, own in steps.items():
        state(tmp_path / "good" / name, *own, best=best if best in own else 10)
    damages = (None, missing, empty, cut, flipped, no_checkpoint, foreign, of_another_shape)
    outcomes = set()
    for number, kinds in enumerate(itertools.product((None, missing, cut), (None, missing, cut), damages)):
        states = tmp_path / str(number)
        shutil.copytree(tmp_path / "good", states)
        good = dict(steps)
        for name, damage in zip(steps, kinds, strict=True):
            if damage:
                damage(states / name)
                del good[name]
        found = checkpoints.begun(states, CONFIG, WEIGHTS)
        newest = next((name for name in (LAST, PREVIOUS) if name in good), BEST)
        wanted = tuple(range(10, (best if best in steps[newest] else 10) + 1, 10))
        assert (found is not None) == (newest != BEST and wanted in good.values()), kinds
        if found is not None:
            assert found == states / newest, kinds
            points = torch.load(found, weights_only=True)["history"]["points"]
            assert checkpoints.unfit(states / BEST, points, WEIGHTS) == "", kinds
        else:
            assert not [name for name in (LAST, PREVIOUS) if (states / name).exists()], kinds
        outcomes.add(found and found.name)
    assert outcomes == {LAST, PREVIOUS, None} - ({PREVIOUS} if held == 30 else set())


@pytest.mark.parametrize(
    "changes", [{"config": CONFIG | {"seed": 1}}, {"config": None}, {"state_dict": {"w": torch.zeros(2)}}]
)
def test_a_state_of_another_run_is_not_gone_on_from(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, Any]
) -> None:
    path = tmp_path / LAST
    state(path, 10, best=10)
    state(tmp_path / BEST, 10, best=10)
    held = torch.load(path, weights_only=True) | changes
    torch.save({key: value for key, value in held.items() if value is not None}, path)
    with caplog.at_level(logging.WARNING):
        assert checkpoints.begun(tmp_path, CONFIG, WEIGHTS) is None
    assert str(path) in caplog.text
    assert not path.exists()


def test_how_a_run_is_watched_may_change_while_it_lasts(tmp_path: Path) -> None:
    state(tmp_path / LAST, 10, best=10)
    state(tmp_path / BEST, 10, best=10)
    more = CONFIG | {"trainer": {"accelerator": "cpu", "devices": 2, "progress": "none", "workers": 1}}
    assert checkpoints.begun(tmp_path, more, WEIGHTS) is not None


def killed_and_finished(folder: Path, place: Path, kills: int, *overrides: str) -> Any:
    """Return the record of a run whose process group was killed so often, at random moments."""
    moments = random.Random(kills)
    for _ in range(kills):
        running = subprocess.Popen(
            command(folder, place, *overrides), stderr=subprocess.DEVNULL, process_group=0
        )
        time.sleep(moments.uniform(1.0, 7.0))
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    done = train(folder, place, *overrides)
    assert done.returncode == 0, done.stderr
    return read_all(place / "records")[0]


@pytest.mark.slow
@pytest.mark.parametrize("kills", [2, 20])
def test_a_run_killed_at_random_moments_ends_as_an_unbroken_one(
    folder: Path, tmp_path: Path, kills: int
) -> None:
    more = (f"recipe.steps={kills * 100}",)
    assert train(folder, tmp_path / "whole", *more).returncode == 0
    whole = read_all(tmp_path / "whole" / "records")[0]
    assert lasting(killed_and_finished(folder, tmp_path / "killed", kills, *more)) == lasting(whole)


SLICE = [  # all 20 cells of quick, their budgets cut
    *("--preset", "quick", "--source", "standin", "--jobs", "2", "logger=csv"),
    *("recipe.steps=60", "recipe.validate_every=10", "data.validation_examples=50", "data.test_examples=100"),
]


def reproduction(place: Path) -> list[str]:
    places = ["--records", str(place / "records"), "--runs", str(place / "runs")]
    root = place.parent / "data"
    return [sys.executable, str(ROOT / "scripts/reproduce.py"), *places, *SLICE, f"data.root={root}"]


def alive(session: int) -> dict[int, bool]:
    """Return the processes of a session, and whether each trains a cell."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            own = int((path / "stat").read_text().rpartition(")")[2].split()[3])
            if own == session:
                found[int(path.name)] = b"train.py" in (path / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def weights(place: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {
        str(path.relative_to(place)): torch.load(path, weights_only=True)["state_dict"]
        for path in (place / "runs").rglob("best.ckpt")
    }


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the processes of a session in /proc")
def test_a_grid_killed_at_20_random_moments_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    """Everything at once (a power cut), the grid alone (its cells live on), or one cell alone."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    begin = time.perf_counter()
    subprocess.run(reproduction(whole), check=True, stdout=subprocess.DEVNULL)
    moments, seconds, kills = random.Random(0), time.perf_counter() - begin, []
    while len(kills) < 20:
        running = subprocess.Popen(reproduction(broken), stdout=subprocess.DEVNULL, start_new_session=True)
        time.sleep(moments.uniform(0, seconds / 10))
        session = alive(running.pid)
        victims = {
            "all": list(session),
            "grid": [running.pid],
            "cell": [pid for pid, trains in session.items() if trains and pid != running.pid][:1],
        }
        kind = moments.choice(list(victims))
        if running.poll() is None and victims[kind]:
            kills.append(kind)
        for pid in victims[kind]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if kind == "cell":
            time.sleep(1)
            running.send_signal(signal.SIGTERM)
        running.wait(120)
        if len(read_all(broken / "records")) == 20:
            break
    subprocess.run(reproduction(broken), check=True, stdout=subprocess.DEVNULL)
    unbroken, mended = (
        {r.path(Path()): lasting(r) for r in read_all(p / "records")} for p in (whole, broken)
    )
    assert len(unbroken) == 20
    assert len(kills) == 20, f"the grid ended after {len(kills)} kills: cut them closer together"
    assert mended == unbroken
    kept, again = weights(whole), weights(broken)
    assert kept.keys() == again.keys()
    for run, state in kept.items():
        assert all(torch.equal(state[name], again[run][name]) for name in state), run
    assert not list(broken.rglob("*.tmp"))
