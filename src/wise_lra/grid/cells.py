"""The cells of a grid: their names, their order, and their places on disk."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from wise_lra.results.record import SLUG, Record, read

NONE = "none"
"""The attention of a backbone that holds none."""

UNATTENDED = ("fnet", "fnet_prenorm")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run to be had. `variant` is "" for the data of the Long Range Arena, else what replaced it."""

    preset: str
    task: str
    variant: str = ""
    backbone: str
    attention: str
    seed: int

    @property
    def name(self) -> str:
        """The cell as a line of text has it, and its path below a preset: "text-stand-in/fnet/none/seed0"."""
        task = f"{self.task}-{self.variant}" if self.variant else self.task
        return f"{task}/{self.backbone}/{self.attention}/seed{self.seed}"

    def record(self, records: Path) -> Path:
        """Return the place of its record, as `Record.path` has it."""
        return records / self.preset / f"{self.name}.json"

    def folder(self, runs: Path) -> Path:
        """Return the folder of its checkpoints, log and progress."""
        return runs / self.preset / self.name

    def finished(self, records: Path) -> Record | None:
        """Return its record; None if there is none, or one that ended before its budget.

        Raises ValueError naming the file if it cannot be read, is not a record, or is another cell's.
        """
        path = self.record(records)
        try:
            record = read(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
        if record.path(records) != path:
            raise ValueError(f"{path}: holds the record of {record.path(records)}")
        return record if record.steps >= record.budget["steps"] else None


def cells(
    preset: str,
    variants: Mapping[str, str],
    backbones: Iterable[str],
    attentions: Iterable[str],
    seeds: Iterable[int],
) -> list[Cell]:
    """Return the grid of the tasks in `variants` (task: variant), a whole seed before the next one.

    A backbone that holds no attention has one cell, whatever the attentions.
    """
    backbones, attentions = list(backbones), list(attentions)
    pairs = [(b, NONE if b in UNATTENDED else attention) for b in backbones for attention in attentions]
    return [
        Cell(preset=preset, task=t, variant=v, backbone=backbone, attention=attention, seed=seed)
        for seed in dict.fromkeys(seeds)
        for t, v in variants.items()
        for backbone, attention in dict.fromkeys(pairs)
    ]


def discovered(preset: str, records: Path, runs: Path) -> list[Cell]:
    """Return the cells that left a record or a run folder on disk, in the order of a grid, tasks by name."""
    names = [path.relative_to(records / preset).with_suffix("") for path in _seeds(records / preset, ".json")]
    names += [path.relative_to(runs / preset) for path in _seeds(runs / preset, "")]
    found = set()
    for task, backbone, attention, seed in (name.parts for name in names):
        name, _, variant = task.partition("-")
        number = int(seed.removeprefix("seed"))
        found.add(
            Cell(
                preset=preset, task=name, variant=variant, backbone=backbone, attention=attention, seed=number
            )
        )
    return sorted(found, key=lambda cell: (cell.seed, cell.name))


def _seeds(folder: Path, suffix: str) -> list[Path]:
    found = folder.glob(f"*/*/*/seed*{suffix}")
    named = re.compile(rf"({SLUG.pattern}/){{3}}seed\d+{re.escape(suffix)}", re.ASCII)
    return [path for path in found if named.fullmatch(path.relative_to(folder).as_posix())]
