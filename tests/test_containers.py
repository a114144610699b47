"""Oracle: hadolint, Apptainer's list of sections, and README's own commands. No engine is here to build with."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SECTIONS = {
    *(
        "setup",
        "files",
        "environment",
        "post",
        "runscript",
        "startscript",
        "test",
        "labels",
        "help",
        "arguments",
    ),
    *("pre", "appinstall", "appfiles", "appenv", "apphelp", "apprun", "applabels", "appstart", "apptest"),
}
"""Of a definition file: apptainer.org/docs/user/latest/definition_files.html."""
STEPS = [
    "apt-get update && apt-get install -y --no-install-recommends git make && rm -rf /var/lib/apt/lists/*",
    "git config --system --add safe.directory /app && make setup",
]


def instructions(name: str = "Dockerfile") -> list[tuple[str, str]]:
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def definition(text: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return header and sections of a definition file. Raises ValueError where it is not of the grammar."""
    header, sections = {}, {}
    own: list[str] | None = None
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("%"):
            name = line[1:].split()[0]
            if name not in SECTIONS or name in sections:
                raise ValueError(f"%{name}: unknown, or there twice")
            own = sections[name] = []
        elif own is None:
            key, colon, value = line.partition(":")
            if not colon or key not in ("Bootstrap", "From"):
                raise ValueError(f"{line}: expected Bootstrap or From")
            header[key] = value.strip()
        else:
            own.append(line.strip())
    return header, sections


def apptainer() -> tuple[dict[str, str], dict[str, list[str]]]:
    return definition((ROOT / "apptainer.def").read_text(encoding="utf-8"))


def first_command() -> str:
    return re.findall(r"^```\n(.*)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)[0]


def hadolint(path: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("hadolint")
    if not program.exists():
        pytest.skip("hadolint has no package for this processor")
    return subprocess.run([program, path], capture_output=True, text=True, check=False)


def test_the_dockerfile_passes_its_linter_and_another_does_not(tmp_path: Path) -> None:
    done = hadolint(ROOT / "Dockerfile")
    assert done.returncode == 0, done.stdout
    worse = tmp_path / "Dockerfile"
    worse.write_text((ROOT / "Dockerfile").read_text().replace("python:3.11-slim-bookworm", "python"))
    assert "DL3006" in hadolint(worse).stdout


def test_both_take_the_same_steps_from_the_same_image() -> None:
    docker = instructions()
    header, sections = apptainer()
    assert header == {"Bootstrap": "docker", "From": dict(docker)["FROM"]}
    assert [rest for word, rest in docker if word == "RUN"] == STEPS
    assert [line for line in sections["post"] if not line.startswith(("cd ", "rm "))] == STEPS
    assert dict(docker)["COPY"] == ". ."
    assert sections["files"] == [f". {dict(docker)['WORKDIR']}"]


def test_both_run_what_readme_says_and_set_up_as_it_does() -> None:
    command = first_command()
    assert json.loads(dict(instructions())["CMD"]) == command.split()
    assert f"set -- {command}; " in "\n".join(apptainer()[1]["runscript"])
    rule = re.search(rf"^{command.split()[1]}: (\w+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert rule
    assert STEPS[-1].endswith(f"&& make {rule[1]}")


@pytest.mark.parametrize("fault", ["%pots\n", "%post\n%post\n", "Form: python\n"])
def test_a_definition_of_another_grammar_is_found(fault: str) -> None:
    with pytest.raises(ValueError, match=r"unknown|expected"):
        definition(fault)


def test_what_is_not_in_git_is_not_in_the_image() -> None:
    ignored = (ROOT / ".gitignore").read_text().split()
    kept_out = {line.removeprefix("**/") for line in (ROOT / ".dockerignore").read_text().split()}
    missing = [line for line in ignored if not line.startswith("!") and line.strip("/") not in kept_out]
    assert missing == []
