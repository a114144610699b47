"""Oracle: an unbroken run's record; checkpoints that are broken, or written to a disk that is full, on purpose."""

import contextlib
import errno
import logging
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from test_training import ROOT, command, folder, lasting, train, wait_for

from wise_lra.checkpoints import LAST, PREVIOUS, SafeCheckpoints, newest
from wise_lra.results.record import read_all

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

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("wise_lra.checkpoints.os.fsync", full)
    with pytest.raises(OSError, match="No space left on device; earlier checkpoints are kept"):
        SafeCheckpoints().save_checkpoint({"step": 2}, tmp_path / LAST)
    assert [path.name for path in tmp_path.iterdir()] == [LAST]
    assert torch.load(tmp_path / LAST, weights_only=True) == {"step": 1}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 138)])
def test_a_signal_ends_a_run_as_ctrl_c_does(
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


def test_a_time_limit_ends_after_a_stretch_and_the_run_goes_on(folder: Path, tmp_path: Path) -> None:
    train(folder, tmp_path / "whole")
    limited = train(folder, tmp_path / "limited", 'trainer.max_time="0:00:00:00"')
    assert limited.returncode == 75, limited.stderr
    assert "is over at step 20 of 50" in limited.stderr
    assert not read_all(tmp_path / "limited" / "records")
    goes_on = train(folder, tmp_path / "limited")
    assert goes_on.returncode == 0
    assert "goes on from its last validation" in goes_on.stderr
    whole, resumed = (read_all(tmp_path / name / "records")[0] for name in ("whole", "limited"))
    assert lasting(whole) == lasting(resumed)


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
