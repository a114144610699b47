"""Who may import whom: the contracts of pyproject.toml hold, and each of them finds a breach."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
BREACHES = {
    "wavelets/transform.py": "import pytorch_lightning",
    "mixers/softmax.py": "def f():\n    from wise_lra.data.task import Batch",
    "data/packed.py": "from pytorch_lightning import LightningDataModule",
    "results/record.py": "import torch",
    "training.py": "from wise_lra.model import Encoder",
    "runs/key.py": "from wise_lra import report",
    "config.py": "def f():\n    from wise_lra.training import Training",
}


def lint_imports(package: Path) -> str:
    command = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    arguments = [str(ROOT / "pyproject.toml"), "--no-cache"]
    done = subprocess.run(
        [sys.executable, "-c", command, *arguments],
        cwd=package,
        env=os.environ | {"PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
    )
    return done.stdout


def test_the_contracts_hold_and_a_breach_of_each_is_found(tmp_path: Path) -> None:
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = len(configured["tool"]["importlinter"]["contracts"])
    assert contracts == len(BREACHES)
    assert f"{contracts} kept, 0 broken" in lint_imports(ROOT / "src")

    shutil.copytree(ROOT / "src" / "wise_lra", tmp_path / "wise_lra")
    for file, statement in BREACHES.items():
        with (tmp_path / "wise_lra" / file).open("a", encoding="utf-8") as opened:
            opened.write(f"\n{statement}\n")
    assert f"0 kept, {contracts} broken" in lint_imports(tmp_path)
