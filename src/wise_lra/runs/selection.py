"""Which runs a command line selects: options of the grid, product of overrides, preset of the machine."""

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from wise_lra.config import CONFIGS, options
from wise_lra.registry import BACKBONES, NONE, SOFTMAX, TASKS
from wise_lra.results.reading import one_line
from wise_lra.runs.key import RunKey


@dataclass(frozen=True)
class Selection:
    """Preset ("" for the machine's) and axes of a grid. `given` names the axes that the command line sets."""

    preset: str = ""
    tasks: tuple[str, ...] = tuple(TASKS)
    backbones: tuple[str, ...] = tuple(name for name, backbone in BACKBONES.items() if backbone.main)
    attentions: tuple[str, ...] = (SOFTMAX,)
    seeds: tuple[int, ...] = (0,)
    given: tuple[str, ...] = ()

    def multirun(self, preset: str) -> list[str]:
        """Return the overrides that sweep the grid, a whole seed before the next one."""
        axes = {"seed": self.seeds, "task": self.tasks, "backbone": self.backbones}
        swept = [f"{axis}={','.join(map(str, values))}" for axis, values in axes.items()]
        return [f"preset={preset}", *swept, f"attention=choice({','.join(self.attentions)})"]

    def keys(self, preset: str, variants: Mapping[str, str] | None = None) -> list[RunKey]:
        """Return the runs of the grid, in the order of the sweep; `variants` are those of tasks on stand-ins."""
        keys = []
        for overrides in combinations(self.multirun(preset)):
            axes: dict[str, Any] = dict(text.split("=") for text in overrides)
            axes |= {"seed": int(axes["seed"]), "variant": (variants or {}).get(axes["task"], "")}
            keys.append(RunKey(**({"attention": NONE} | axes)))
        return keys

    def has(self, key: RunKey) -> bool:
        """Tell whether a run fits the axes that were given."""
        fits = {
            "tasks": key.task in self.tasks,
            "backbones": key.backbone in self.backbones,
            "attentions": key.attention in (NONE, *self.attentions),
            "seeds": key.seed in self.seeds,
        }
        return all(fits[axis] for axis in self.given)


class Parser(argparse.ArgumentParser):
    """Reads the options of a grid; one given as "" is not given. A mistake ends in one line and status 2."""

    def __init__(self, description: str | None) -> None:
        layout = argparse.RawDescriptionHelpFormatter
        super().__init__(description=description, allow_abbrev=False, formatter_class=layout)
        self.choice("--preset", options("preset"))
        for axis, known in {"tasks": list(TASKS), "backbones": None, "attentions": None}.items():
            known = known or [name for name in options(axis.removesuffix("s")) if name != NONE]
            default = ",".join(getattr(Selection, axis))
            text = f"separated by commas; default {default}"
            self.add_argument(f"--{axis}", default="", type=some_of(known), help=text)
        self.add_argument("--seeds", default="", type=seeds, help="as 0,1,2 or 0..4; default 0")

    def choice(self, option: str, known: Sequence[str], text: str = "") -> None:
        """Add an option that is one of these names, or ""."""
        name, text = option.lstrip("-").upper(), text or f"one of {', '.join(known)}"
        self.add_argument(option, default="", choices=("", *known), metavar=name, help=text)

    def select(self, words: Sequence[str] | None = None) -> tuple[argparse.Namespace, Selection]:
        """Read a command line, by default this process's."""
        parsed = self.parse_args(words)
        axes = {axis: getattr(parsed, axis) for axis in ("tasks", "backbones", "attentions", "seeds")}
        given = {axis: values for axis, values in axes.items() if values}
        return parsed, Selection(parsed.preset, **given, given=tuple(given))

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, and exit."""
        print(f"error: {one_line(message)}", file=sys.stderr)
        raise SystemExit(2)


def parsed(overrides: Sequence[str]) -> list[Override]:
    """Return overrides as Hydra reads them. Raises HydraException on what cannot be parsed."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        return OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))


def combinations(arguments: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the product of sweeping overrides, each combination once.

    A backbone that holds no attention has one combination, whatever the attentions that are swept.
    Raises HydraException on what cannot be parsed or is no list of values.
    """
    read = parsed(arguments)
    (batch,) = BasicSweeper.split_arguments(read, None)
    swept = {override.key_or_group for override in read if override.is_sweep_override()}
    alone = {f"backbone={name}" for name, backbone in BACKBONES.items() if not backbone.holds_attention}
    unique: dict[tuple[str, ...], None] = {}
    for overrides in batch:
        drop = "attention" in swept and not alone.isdisjoint(overrides)
        unique[tuple(text for text in overrides if not (drop and text.startswith("attention=")))] = None
    return list(unique)


def some_of(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Return what reads an option as "a,b", some of these names, each once."""

    def read(text: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(
                    f"{name!r}: expected some of {', '.join(known)}, separated by commas"
                )
        return names

    return read


def seeds(text: str) -> tuple[int, ...]:
    """Return the seeds in "0,1,2" or "0..4" (both ends included), or both mixed. Raises ArgumentTypeError."""
    values: dict[int, None] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"(\d{1,9})(?:\.\.(\d{1,9}))?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last or last - first >= 10_000:
            raise argparse.ArgumentTypeError(f"{part!r}: expected numbers as 0,1,2 or a range as 0..4")
        values |= dict.fromkeys(range(first, last + 1))
    return tuple(values)


def jobs(text: str) -> int | None:
    """Return how many runs at a time, None for "". Raises ArgumentTypeError."""
    if not text.strip():
        return None
    if not text.strip().isdecimal() or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r}: expected how many cells to run at a time, 1 or more")
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
