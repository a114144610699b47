"""Which part of the grid a command line selects, and the preset that suits the machine."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from wise_lra.config import options
from wise_lra.registry import BACKBONES, NONE, SOFTMAX, TASKS
from wise_lra.runs.key import RunKey, grid

DEFAULTS: dict[str, tuple[str, ...]] = {
    "tasks": tuple(TASKS),
    "backbones": tuple(name for name, backbone in BACKBONES.items() if backbone.main),
    "attentions": (SOFTMAX,),
}


@dataclass(frozen=True)
class Selection:
    """Preset and axes of a grid. `given` names the axes that the command line sets; the others have defaults."""

    preset: str
    tasks: tuple[str, ...]
    backbones: tuple[str, ...]
    attentions: tuple[str, ...]
    seeds: tuple[int, ...]
    given: tuple[str, ...] = ()

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        """Add --preset, --tasks, --backbones, --attentions and --seeds; an option given as "" is not given."""
        parser.add_argument("--preset", default="", help=f"one of {', '.join(options('preset'))}")
        for axis, names in DEFAULTS.items():
            parser.add_argument(
                f"--{axis}", default="", help=f"separated by commas; default {','.join(names)}"
            )
        parser.add_argument("--seeds", default="", help="as 0,1,2 or 0..4; default 0")

    @classmethod
    def parse(cls, given: argparse.Namespace) -> Self:
        """Read the options of `add_options`. Raises ValueError with option, value and what was expected."""
        if given.preset and given.preset not in options("preset"):
            raise ValueError(f"preset={given.preset!r}: expected one of {', '.join(options('preset'))}")
        axes: list[tuple[str, ...]] = []
        for axis, default in DEFAULTS.items():
            known = [name for name in options(axis.removesuffix("s")) if name != NONE]
            axes.append(
                names(axis, getattr(given, axis), list(TASKS) if axis == "tasks" else known) or default
            )
        said = tuple(axis for axis in (*DEFAULTS, "seeds") if getattr(given, axis).strip())
        tasks, backbones, attentions = axes
        return cls(given.preset, tasks, backbones, attentions, tuple(seeds(given.seeds)), said)

    def keys(self, preset: str, variants: dict[str, str] | None = None) -> list[RunKey]:
        """Return the runs of the selected grid; `variants` are those of the tasks whose data are known."""
        tasks = {task: (variants or {}).get(task, "") for task in self.tasks}
        return grid(preset, tasks, self.backbones, self.attentions, self.seeds)

    def has(self, key: RunKey) -> bool:
        """Tell whether a run fits the options that were given."""
        fits = {
            "tasks": key.task in self.tasks,
            "backbones": key.backbone in self.backbones,
            "attentions": key.attention in (NONE, *self.attentions),
            "seeds": key.seed in self.seeds,
        }
        return all(fits[axis] for axis in self.given)


def names(option: str, text: str, allowed: Sequence[str]) -> tuple[str, ...]:
    """Return the names in "a,b", each once. Raises ValueError naming the first that is not allowed."""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in found:
        if name not in allowed:
            raise ValueError(f"{option}={name!r}: expected some of {', '.join(allowed)}, separated by commas")
    return found


def seeds(text: str) -> list[int]:
    """Return the seeds in "0,1,2" or "0..4" (both ends included), or both mixed; [0] if there are none.

    Raises ValueError naming the part that is neither.
    """
    found: dict[int, None] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"(\d{1,9})(?:\.\.(\d{1,9}))?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last or last - first >= 10_000:
            raise ValueError(f"seeds={part!r}: expected numbers as 0,1,2 or a range as 0..4")
        found |= dict.fromkeys(range(first, last + 1))
    return list(found) or [0]


def jobs(text: str) -> int | None:
    """Return the number in JOBS, None if it is empty. Raises ValueError if it is not a number of runs."""
    if not text.strip():
        return None
    if not text.strip().isdecimal() or not 1 <= int(text) <= 10_000:
        raise ValueError(f"jobs={text!r}: expected how many cells to run at a time, 1 or more")
    return int(text)


def preset_for(preset: str, gpus: Sequence[str]) -> tuple[str, str]:
    """Return the preset and the reason: the one asked for, else `paper` with a GPU and `quick` without."""
    if preset:
        return preset, "as asked"
    if gpus:
        count = "a CUDA device is" if len(gpus) == 1 else f"{len(gpus)} CUDA devices are"
        return "paper", f"{count} visible here (preset=quick takes minutes; PRESET=quick selects it)"
    return "quick", "no CUDA device is visible here (preset=paper needs one; PRESET=paper selects it anyway)"


def quoted(path: Path) -> str:
    """Return a path as the value of a Hydra override, whatever characters it has."""
    text = str(path)
    if re.fullmatch(r"[\w./-]+", text, re.ASCII):
        return text
    return "'" + re.sub(r"(\\*)'", r"\1\1\\'", re.sub(r"(\\+)$", r"\1\1", text)) + "'"
