"""Oracle: CONTRIBUTING.md itself. Its files are written into a copy of the project, where its commands run."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
STEP = re.compile(r"^`([\w/.]+)`[^\n]*\n\n```(python|yaml|diff)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def changed(text: str, diff: str) -> str:
    """Return a text after a diff without line numbers, whose old lines stand in it once."""
    lines = diff.splitlines(keepends=True)
    old, new = ("".join(line[1:] for line in lines if line[0] in (" ", sign)) for sign in "-+")
    assert text.count(old) == 1
    return text.replace(old, new)


def test_a_mixer_a_bank_and_a_task_are_added_as_the_page_says(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for name in ("src", "configs", "scripts", "results/published"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    touched = []
    for name, kind, content in STEP.findall(PAGE):
        file = copy / name
        assert file.exists() == (kind == "diff"), name
        file.write_text(changed(file.read_text(), content) if kind == "diff" else content)
        touched.append(name)
    assert [len({*part}) for part in (touched[:3], touched[3:6], touched[6:])] == [3, 3, 4]

    (block,) = re.findall(r"^```\n(\.venv.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    for command in block.splitlines():
        more = ["logger=csv"] if "train.py" in command else []
        done = subprocess.run(
            [sys.executable, *shlex.split(command)[1:], *more],
            cwd=copy,
            env=os.environ | {"PYTHONPATH": str(copy / "src"), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    (file,) = (copy / "results" / "records").rglob("seed0.json")
    record = json.loads(file.read_text())
    cell = [record[key] for key in ("task", "backbone", "attention", "steps")]
    assert cell == ["parity", "wise_haar", "average", 200]
    assert record["data"]["counts"] == {"train": 2000, "validation": 200, "test": 200}
    rows = (copy / "results" / "TABLE.md").read_text().splitlines()
    assert [row for row in rows if row.startswith("| wise_haar + average |")] != []
    assert [row for row in rows if row.startswith("|  |") and " parity " in row] != []
