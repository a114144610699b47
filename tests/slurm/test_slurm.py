"""Oracle: an unbroken run's record, and what Slurm says of its jobs: a real one, of one node, begun here."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_training import command, folder, lasting, train

from wise_lra.checkpoints import LAST, newest
from wise_lra.results.record import read_all
from wise_lra.runs.lock import holder

__all__ = ["folder"]

HERE = Path(__file__).parent
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel")
MISSING = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(MISSING), reason=f"no {', '.join(MISSING)} here: apt-get install slurm-wlm munge"
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="slurmd needs root"),
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A running cluster, which the commands of a test find by SLURM_CONF."""
    place = tmp_path_factory.mktemp("slurm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{os.environ['PATH']}:/usr/sbin")
        patch.setenv("SLURM_CONF", str(place / "slurm.conf"))
        started = subprocess.run(
            [HERE / "cluster.sh", "start", place], capture_output=True, text=True, check=False
        )
        try:
            assert started.returncode == 0, started.stdout + started.stderr
            yield
        finally:
            subprocess.run(["scancel", "--user=root"], check=False, capture_output=True)
            subprocess.run([HERE / "cluster.sh", "stop", place], check=False)


def sweep(folder: Path, place: Path, *overrides: str) -> subprocess.Popen[str]:
    """Start a multirun on Slurm; the jobs are small, so that two run at a time."""
    interpreter, script, *settings = command(folder, place, "trainer.progress=none")
    requests = ["hydra/launcher=submitit_slurm", "cluster.cpus=1", "cluster.memory_gb=2", *overrides]
    return subprocess.Popen(
        [interpreter, script, "-m", *settings, *requests, f"hydra.sweep.dir={place / 'multirun'}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(running: subprocess.Popen[str], seconds: float = 240) -> tuple[int, str, str]:
    try:
        said, errors = running.communicate(timeout=seconds)
    finally:
        running.kill()
    return running.returncode, said, errors


def wait(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


def asked(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def only_job() -> str:
    return asked("squeue", "-h", "-o", "%A").split()[0]


def restarts(job: str) -> int:
    (count,) = re.findall(r"Restarts=(\d+)", asked("scontrol", "show", "job", job))
    return int(count)


@pytest.mark.usefixtures("slurm")
def test_a_multirun_is_an_array_whose_jobs_leave_records(folder: Path, tmp_path: Path) -> None:
    axes = ("backbone=vanilla,fnet", "seed=0,1", "recipe.lr=0.002")
    running = sweep(folder, tmp_path, *axes)
    wait(lambda: asked("squeue", "-h", "-r"))
    array = asked("squeue", "-h", "-r", "-o", "%F %l %m")
    status, said, errors = ended(running)
    assert status == 0, errors
    assert len(set(array.splitlines())) == 1, "the four jobs are one array"
    assert "30:00 2G" in array, "with the time of the recipe and the memory asked for"
    records = read_all(tmp_path / "records")
    assert {(r.backbone, r.seed) for r in records} == {
        ("vanilla", 0),
        ("vanilla", 1),
        ("fnet", 0),
        ("fnet", 1),
    }
    assert "4 cells: 4 done" in said

    status, said, _ = ended(sweep(folder, tmp_path, *axes))
    assert status == 0
    assert "4 of 4 cells have their record; 0 to run" in said
    assert asked("squeue", "-h") == ""


@pytest.mark.usefixtures("slurm")
def test_a_preempted_job_is_requeued_and_ends_as_an_unbroken_one(folder: Path, tmp_path: Path) -> None:
    settings = ("backbone=fnet", "recipe.steps=3000", "recipe.validate_every=20")
    running = sweep(folder, tmp_path / "preempted", *settings)
    wait(lambda: list(tmp_path.rglob(LAST)))
    job = only_job()
    subprocess.run(["srun", "-p", "urgent", "--exclusive", "-n1", "sleep", "1"], check=True, timeout=60)
    assert restarts(job) == 1
    status, said, errors = ended(running)
    assert status == 0, errors + said
    logs = [path.read_text() for path in (tmp_path / "preempted").rglob("*_log.err")]
    assert "goes on from its last validation" in "".join(logs)
    assert train(folder, tmp_path / "whole", *settings).returncode == 0
    broken, whole = (read_all(tmp_path / name / "records")[0] for name in ("preempted", "whole"))
    assert lasting(broken) | {"config": 0} == lasting(whole) | {"config": 0}


@pytest.mark.usefixtures("slurm")
def test_a_job_over_its_time_is_requeued_and_scancel_leaves_nothing_half_written(
    folder: Path, tmp_path: Path
) -> None:
    running = sweep(
        folder,
        tmp_path,
        *("backbone=fnet", "recipe.steps=100000000", "recipe.validate_every=20"),
        *("cluster.minutes=1", "hydra.launcher.signal_delay_s=10"),
    )
    wait(lambda: list(tmp_path.rglob(LAST)))
    job = only_job()
    wait(lambda: restarts(job) == 1, 180)
    log = next(tmp_path.rglob("*_log.err"))
    wait(lambda: "goes on from its last validation" in log.read_text())
    subprocess.run(["scancel", job], check=True)
    wait(lambda: not asked("squeue", "-h"))
    running.send_signal(
        signal.SIGINT
    )  # this Slurm keeps no accounts, which submitit asks whether a job has ended
    status, said, _ = ended(running)
    assert status == 130
    assert "1 stopped" in said
    run = next(tmp_path.rglob(LAST)).parents[1]
    assert holder(run) is None
    assert newest(run / "checkpoints") == run / "checkpoints" / LAST, "the newest state is whole"
    assert read_all(tmp_path / "records") == []
    assert [path.name for path in run.rglob("*") if path.name.endswith(".tmp")] == []


@pytest.mark.usefixtures("slurm")
@pytest.mark.parametrize(
    ("setting", "expected"),
    [("cluster.partition=gpu", "invalid partition"), ("cluster.memory_gb=100000", "sbatch: error")],
)
def test_what_slurm_does_not_have_fails_the_cells_that_ask_for_it(
    folder: Path, tmp_path: Path, setting: str, expected: str
) -> None:
    status, said, errors = ended(sweep(folder, tmp_path, "backbone=fnet", setting))
    assert status == 1
    assert expected in said
    assert "Traceback" not in errors
    assert asked("squeue", "-h") == ""


@pytest.mark.usefixtures("slurm")
def test_each_request_is_an_array_of_its_own(folder: Path, tmp_path: Path) -> None:
    running = sweep(folder, tmp_path, "backbone=fnet", "seed=0,1", "cluster.minutes=7,9")
    wait(lambda: len(asked("squeue", "-h", "-r").splitlines()) == 4)
    jobs = asked("squeue", "-h", "-r", "-o", "%F %l").split("\n")
    assert len(set(filter(None, jobs))) == 2
    running.send_signal(signal.SIGINT)
    status, said, _ = ended(running)
    assert status == 130
    assert "scancel" in said
    subprocess.run(["scancel", "--name=wise-lra"], check=True)
    wait(lambda: not asked("squeue", "-h"))
