"""Oracle: DESIGN's table of who may import whom, held against every import statement in the package and scripts."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "wise_lra"

RULES = {
    "wavelets": {"torch", "pywt", "numpy"},
    "mixers": {"torch", "wise_lra.wavelets"},
    "model": {"torch", "wise_lra.mixers"},
    "data": {
        *("torch", "numpy", "scipy", "numba", "PIL", "tensorflow_datasets", "array_record", "etils"),
        *("wise_lra.registry", "wise_lra.results.reading"),
    },
    "data/module": {"torch", "numpy", "pytorch_lightning"},
    "training": {"torch", "pytorch_lightning", "wise_lra.data.batch"},
    "progress": {"torch", "pytorch_lightning", "rich", "wise_lra.results.atomic"},
    "benchmark": {
        *("torch", "pywt", "ptwt", "pytorch_wavelets", "omegaconf", "wise_lra.plots"),
        *("wise_lra.wavelets", "wise_lra.configuration", "wise_lra.experiment", "wise_lra.training"),
        *("wise_lra.data", "wise_lra.provenance", "wise_lra.results.atomic"),
    },  # it measures what a user runs, and so builds runs as a script does
    "plots": {
        *("torch", "pywt", "numpy", "matplotlib"),
        *("wise_lra.wavelets", "wise_lra.results", "wise_lra.registry"),
    },
    "pictures": {"pytorch_lightning", "wise_lra.plots"},
    "predicting": {
        *("torch", "numpy", "pytorch_lightning"),
        *("wise_lra.data.batch", "wise_lra.results.predictions"),
    },
    "gradients": {"torch", "pytorch_lightning"},
    "tracking": {"pytorch_lightning", "wandb", "wise_lra.configuration", "wise_lra.wandb_logger"},
    "wandb_logger": {"pytorch_lightning", "wandb", "wise_lra.tracking"},
    "publication": {"torch", "wise_lra.results", "wise_lra.tracking"},
    "dashboards": {"wandb_workspaces", "wise_lra.results", "wise_lra.tracking"},
    "provenance": {"torch"},
    "checkpoints": {
        *("torch", "lightning_fabric", "pytorch_lightning"),
        *("wise_lra.progress", "wise_lra.results.atomic", "wise_lra.stopping"),
    },
    "processes": {"torch", "lightning_fabric", "wise_lra.stopping"},  # processes; what they do is handed in
    "find_batch": {"torch", "hydra", "omegaconf", "pytorch_lightning", "wise_lra.model"},
    "stopping": set(),
    "allocator": set(),
    "registry": set(),
    "compilation": {"torch"},
    "run": {"omegaconf", "wise_lra.configuration", "wise_lra.runs.key", "wise_lra.results.columns"},
    "bars": {"rich", "wise_lra.results.reading", "wise_lra.runs.estimate"},
    "devices": {"torch"},
    "preparation": {"hydra", "omegaconf", "wise_lra.configuration", "wise_lra.data"},
    "signatures": set(),
    "checks": {"pywt", "wise_lra.registry", "wise_lra.signatures"},
    "configuration": {"hydra", "omegaconf", "yaml", "wise_lra.checks"},
    "stored": {"omegaconf", "wise_lra.checks"},
    "runs": {  # drives training from outside, as scripts do: above the composition root, which knows its keys alone
        *("hydra", "hydra_plugins", "omegaconf", "rich", "optuna", "yaml", "pytorch_lightning", "filelock"),
        *(
            "wise_lra.configuration",
            "wise_lra.checks",
            "wise_lra.registry",
            "wise_lra.results",
            "wise_lra.data",
            "wise_lra.preparation",
            "wise_lra.bars",
        ),
        *(
            "wise_lra.run",
            "wise_lra.experiment",
            "wise_lra.provenance",
            "wise_lra.stopping",
            "wise_lra.devices",
        ),
    },
    "results": {"numpy", "scipy", "rich", "wise_lra.registry"},
    # The report shows what other rooms know; those that import torch are imported where a run kept something.
    "report": {
        *("numpy", "altair", "vl_convert", "jinja2", "markupsafe", "markdown_it"),
        *("wise_lra.results", "wise_lra.data", "wise_lra.plots", "wise_lra.evaluation"),
        *("wise_lra.configuration", "wise_lra.stored", "wise_lra.registry"),
    },
    "fitting": {
        *(
            "torch",
            "hydra",
            "pytorch_lightning",
            "wise_lra.processes",
            "wise_lra.allocator",
            "wise_lra.checkpoints",
            "wise_lra.compilation",
            "wise_lra.configuration",
        ),
        *(
            "wise_lra.data",
            "wise_lra.gradients",
            "wise_lra.model",
            "wise_lra.pictures",
            "wise_lra.predicting",
        ),
        *("wise_lra.progress", "wise_lra.results.predictions", "wise_lra.run"),
        *("wise_lra.tracking", "wise_lra.training"),
    },
    "experiment": None,  # the composition root sees every room
    "evaluation": None,  # the second one: a recorded run put together again
    "__init__": set(),
}
SCRIPTS = {
    "wise_lra.allocator",
    "wise_lra.tracking",
    "wandb",
    "yaml",
    "wise_lra.benchmark",
    "wise_lra.run",
    "wise_lra.find_batch",
    "wise_lra.provenance",
    "optuna",
    "rich",
    "wise_lra.experiment",
    "wise_lra.results",
    "wise_lra.data",
    "wise_lra.runs",
    "wise_lra.configuration",
    "wise_lra.registry",
    "wise_lra.stored",
    "wise_lra.bars",
    "wise_lra.devices",
    "wise_lra.preparation",
    "wise_lra.training",
    "wise_lra.stopping",
    "wise_lra.evaluation",
    "wise_lra.dashboards",
    "wise_lra.plots",
    "wise_lra.report",
    "wise_lra.wavelets",
    "hydra",
    "omegaconf",
    "pytorch_lightning",
    "torch",
    "numpy",
    "PIL",
    "matplotlib",
}


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield every absolute name that a module imports, wherever the statement stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)


def outside(names: Iterator[str], allowed: set[str], own: str) -> list[str]:
    """Return the names that are neither the standard library's, nor the room's own, nor allowed."""
    return [
        name
        for name in names
        if name.split(".")[0] not in sys.stdlib_module_names
        and not any(name == room or name.startswith(f"{room}.") for room in {*allowed, own})
    ]


def rule_of(file: Path) -> tuple[str, set[str] | None]:
    """Return the room of a file, and what it may import; None where it may see everything."""
    place = file.relative_to(PACKAGE).with_suffix("").as_posix()
    room = place.split("/")[0]
    return room, RULES[place if place in RULES else room]


def faults(file: Path, source: str) -> list[str]:
    room, allowed = rule_of(file)
    if allowed is None:
        return []
    return outside(imports(ast.parse(source)), allowed, f"wise_lra.{room}")


@pytest.mark.parametrize(
    "file", sorted(PACKAGE.rglob("*.py")), ids=lambda f: f.relative_to(PACKAGE).as_posix()
)
def test_a_room_imports_only_what_it_may(file: Path) -> None:
    assert faults(file, file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("file", sorted((ROOT / "scripts").glob("*.py")), ids=lambda f: f.name)
def test_scripts_import_only_rooms_and_nothing_imports_scripts(file: Path) -> None:
    assert outside(imports(ast.parse(file.read_text(encoding="utf-8"))), SCRIPTS, "-") == []
    users = [*PACKAGE.rglob("*.py"), *(ROOT / "scripts").glob("*.py")]
    assert not [user for user in users if f"import {file.stem}\n" in user.read_text(encoding="utf-8")]


@pytest.mark.parametrize(
    ("room", "statement"),
    [
        ("wavelets/transform.py", "import pytorch_lightning"),
        ("mixers/softmax.py", "from wise_lra.data import Batch"),
        ("results/record.py", "import torch"),
        ("data/packed.py", "from pytorch_lightning import LightningDataModule"),
        ("report/page.py", "import plotly"),
        ("configuration.py", "def f():\n    import torch"),
        ("runs/key.py", "import torch"),
    ],
)
def test_the_rule_finds_a_breach(room: str, statement: str) -> None:
    assert faults(PACKAGE / room, statement)
