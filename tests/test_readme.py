"""Oracle: README itself. Its commands are taken from its text and run, those that take hours as far as a plan."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from wise_lra.runs.selection import Parser

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
COMMANDS = list(
    dict.fromkeys(
        [line for block in BLOCKS for line in block.splitlines()]
        + re.findall(r"`(make [^`]+|python [^`]+|wandb [^`]+)`", README)
    )
)
MADE = [command for command in COMMANDS if command.startswith("make ")]
OTHERS = [command for command in COMMANDS if command not in MADE]
AXES = ("preset", "tasks", "backbones", "attentions", "seeds")


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_the_two_commands_come_first() -> None:
    assert BLOCKS[0].split("\n")[:2] == ["make reproduce-lra", "make test"]
    assert README.index("table:begin") < README.index("make reproduce-lra") < README.index("## ")


@pytest.fixture(scope="session")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a program to stand in for Python: it prints its arguments, a line each."""
    program = tmp_path_factory.mktemp("a folder") / "stub"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    return program


def made(stub: Path, target: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a target with the stub for Python; nothing is installed."""
    ready = [f"--old-file=.venv/ready{kind}" for kind in ("", "-report", "-dashboard", "-benchmark")]
    return run("make", "--no-print-directory", *ready, f"IN_VENV={stub}", target, *options)


@pytest.mark.parametrize("command", MADE)
def test_make_knows_the_target_and_reads_the_options(command: str, stub: Path) -> None:
    _, target, *options = shlex.split(command)
    planned = run("make", "-n", target, *options)
    assert planned.returncode == 0, planned.stderr
    given = made(stub, target, *options).stdout.splitlines() if options else []
    said = []
    for word in options:
        name, _, value = word.partition("=")
        said += [f"--{name.lower()}={value}"] * (name.lower() in AXES)
        assert set(value.split() if name == "ARGS" else [value]) <= set(given)
    assert Parser(None).select(said)


TAKEN = {
    "reproduce-lra": "PRESET TASKS BACKBONES ATTENTIONS SEEDS DATA SOURCE JOBS LAUNCHER",
    "plan": "PRESET TASKS BACKBONES ATTENTIONS SEEDS JOBS MEASURE DEVICE",
    "status": "PRESET TASKS BACKBONES ATTENTIONS SEEDS",
    "data": "PRESET TASKS SOURCE DATA",
    "report": "RECORDS WANDB",
    "wavelets": "RUN",
    "benchmark": "SECTIONS",
}


@pytest.mark.parametrize("target", [*TAKEN, "dashboard", "wandb-sync"])
def test_what_is_in_a_variable_of_make_is_never_run(target: str, stub: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    for text in ("""0"; {0}; "'; {0}; '$({0})`{0}`$(shell {0}); {0} & {0}""", "0\n{0}"):
        value = text.format(f"touch {marker}")
        names = TAKEN.get(target, "").split()
        done = made(stub, target, *(f"{name}={value}" for name in (*names, "ARGS")))
        assert done.stdout.count(value) == len(names), done.stdout + done.stderr
    assert not marker.exists()


def test_quotes_in_args_hold_a_word_together(stub: Path) -> None:
    given = """--dry-run 'a b' "recipe.lr=0.1" c\\ d 'backbone=glob(wise_*)' *"""
    done = made(stub, "dashboard", f"ARGS={given}")
    assert done.stdout.splitlines()[1:] == [
        *("--dry-run", "a b", "recipe.lr=0.1", "c d", "backbone=glob(wise_*)", "*")
    ]
    assert made(stub, "dashboard").stdout.splitlines() == ["scripts/dashboard.py"]
    refused = made(stub, "dashboard", "ARGS=it's")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "ARGS=it's" in refused.stderr


def test_make_help_names_every_target_of_the_readme() -> None:
    listed = run("make", "help").stdout
    assert run("make").stdout == listed, "help is the default target"
    for command in MADE:
        assert command.split()[1] in listed


def test_an_unknown_option_ends_at_once_and_says_what_is_known() -> None:
    done = run(sys.executable, "scripts/reproduce.py", "--tasks", "imdb")
    assert done.returncode == 2
    assert "imdb" in done.stderr
    assert "retrieval" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_training_command_trains(tmp_path: Path) -> None:
    (command,) = [c for c in OTHERS if "train.py task=" in c]
    places = [f"{key}={tmp_path / key}" for key in ("runs", "records")]
    done = run(
        sys.executable, *shlex.split(command)[1:], *places, f"data.root={tmp_path / 'data'}", "logger=csv"
    )
    assert done.returncode == 0, done.stderr
    assert "test accuracy" in done.stdout
    assert len(list((tmp_path / "records").rglob("seed0.json"))) == 1


def test_the_other_commands_exist() -> None:
    for command in OTHERS:
        program, *words = shlex.split(command)
        assert program in (".venv/bin/python", ".venv/bin/wandb", "wandb")
        if program.endswith("wandb"):
            viewer = Path(sys.executable).with_name("wandb")
            assert run(str(viewer), *words[:2], "--help").returncode == 0, command
        else:
            assert (ROOT / words[0]).is_file()


@pytest.mark.slow
def test_a_clone_reproduces_a_slice_and_the_second_time_has_nothing_to_do(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    assert run("git", "clone", "-q", str(ROOT), str(clone)).returncode == 0
    command = ["make", "reproduce-lra", "TASKS=listops", "BACKBONES=vanilla,fnet", "ARGS=recipe.steps=20"]
    first, second = run(*command, cwd=clone), run(*command, cwd=clone)
    assert first.returncode == second.returncode == 0, first.stdout + first.stderr
    assert "preset=quick" in first.stdout
    assert len(list((clone / "results" / "records").rglob("*.json"))) == 2
    assert "2 of 2 cells have their record; 0 to run" in second.stdout
    assert run("git", "status", "--porcelain", cwd=clone).stdout == "", "a run must leave the checkout clean"


def test_the_example_of_the_wavelet_page_runs() -> None:
    page = (ROOT / "docs" / "wavelets.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(example, "docs/wavelets.md", "exec"), {})
