"""Oracle: README itself. Its commands are taken from its text and run, those that take hours as far as a plan."""

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from wise_lra.runs.selection import Selection

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


@pytest.mark.parametrize("command", MADE)
def test_make_knows_the_target_and_reads_the_options(command: str) -> None:
    words = shlex.split(command)
    planned = run("make", "-n", *words[1:])
    assert planned.returncode == 0, planned.stderr
    said = dict.fromkeys(AXES, "")
    for word in words[2:]:
        name, _, value = word.partition("=")
        said[name.lower()] = value
        assert f'"{value}"' in planned.stdout
    assert Selection.parse(argparse.Namespace(**said))


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
    assert first.stdout.startswith(("preset=quick", "setting up"))
    assert len(list((clone / "results" / "records").rglob("*.json"))) == 2
    assert "2 of 2 cells have their record; 0 to run" in second.stdout
    assert run("git", "status", "--porcelain", cwd=clone).stdout == "", "a run must leave the checkout clean"


def test_the_example_of_the_wavelet_page_runs() -> None:
    page = (ROOT / "docs" / "wavelets.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(example, "docs/wavelets.md", "exec"), {})
