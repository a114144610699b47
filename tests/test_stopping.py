"""Oracle: the exit status that a shell gives a process that a signal ended: 128 and the signal's number."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from test_training import wait_for

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "scripts").glob("*.py"), key=lambda path: path.name)
NEEDS = {  # what brings a script that imports little at first to its large imports
    "evaluate.py": ["results/runs/quick/text/fnet/none/seed0"],
    "tables.py": ["--records", "nothing", "--out", "nothing"],
}
INTERRUPTED_IMPORT = """
import os, runpy, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.stdlib_module_names or name in ("wise_lra", "wise_lra.stopping"):
            return None
        print("importing", name, file=sys.stderr)
        os.kill(os.getpid(), {number})
        try:
            for _ in range(1000):
                pass
        except BaseException:  # as some libraries do
            raise ImportError("partly initialised module") from None

sys.meta_path.insert(0, Interrupt())
sys.argv = {arguments}
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def interrupted(script: Path, number: signal.Signals) -> subprocess.CompletedProcess[str]:
    arguments = [str(script), *NEEDS.get(script.name, ["--help"])]
    program = INTERRUPTED_IMPORT.format(number=int(number), arguments=arguments)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_ctrl_c_while_modules_load_is_the_end_and_no_traceback(script: Path) -> None:
    done = interrupted(script, signal.SIGINT)
    assert done.returncode == 130, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("importing")


def test_sigterm_while_modules_load_is_the_end_too() -> None:
    done = interrupted(ROOT / "scripts/train.py", signal.SIGTERM)
    assert (done.returncode, done.stderr.count("\n")) == (143, 1)


MAIN = """
from wise_lra.stopping import end_quietly

end_quietly()
import os, signal
try:
    os.kill(os.getpid(), signal.{signal})
    print("went on")
finally:
    print("tidied up")
"""


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGUSR1", 138)])
def test_a_script_that_is_interrupted_tidies_up(name: str, status: int) -> None:
    program = MAIN.format(signal=name)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (status, "tidied up\n", "")


def test_a_signal_that_is_ignored_from_the_start_stays_so() -> None:
    program = MAIN.format(signal="SIGINT").replace(
        "\nend_quietly()", "\nimport signal; signal.signal(signal.SIGINT, signal.SIG_IGN); end_quietly()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "went on\ntidied up\n")


def test_an_error_of_a_script_is_shown_as_ever() -> None:
    program = "from wise_lra.stopping import end_quietly\nend_quietly()\nraise KeyError('what it is')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "what it is" in done.stderr


MADE = ["data.standin={train: 100000, validation: 10, test: 10}", "data.source=standin"]
PREPARING = {
    "train.py": ["task=image", "data.root={}", *MADE],
    "prepare_data.py": ["--tasks", "image", "--root", "{}", *MADE],
    "reproduce.py": ["--preset", "quick", "--tasks", "image", "--runs", "{}/runs", "--records", "{}/records",
                     "data.root={}", *MADE],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("script", PREPARING)
def test_an_interruption_while_data_are_made_leaves_nothing_behind(
    tmp_path: Path, script: str, number: signal.Signals, status: int
) -> None:
    arguments = [text.replace("{}", str(tmp_path)) for text in PREPARING[script]]
    command = [sys.executable, str(ROOT / "scripts" / script), *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        wait_for(lambda: list(tmp_path.rglob("*.array_record*")))
        running.send_signal(number)
        _, errors = running.communicate(timeout=60)
    assert running.returncode == (130 if script == "reproduce.py" else status), errors
    assert "Traceback" not in errors
    assert not [*tmp_path.rglob("*.npy"), *tmp_path.rglob("*.array_record*")]
