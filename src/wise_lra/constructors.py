"""The constructors that a configuration may name, and what they take: nothing else is ever instantiated."""

import difflib
import inspect
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml

CONFIGS = Path(__file__).parents[2] / "configs"

FACTORIES = ("mixer", "attention", "bank")
"""Keys of nodes that the model calls with the sizes it knows."""

_GIVEN_LATER = {"d_model", "length", "channels"}  # those sizes
_MOST = {"depth": 1024, "level": 64, "features": 2**16}  # of what a constructor makes one by one
_CALLBACKS = ("Progress", "GradientNorms", "WaveletPictures", "TestPredictions")
_LIGHTNING = ("LearningRateMonitor", "DeviceStatsMonitor", "ModelSummary", "RichModelSummary")
_NAMED = {  # constructors whose import takes seconds: Lightning's and ours on Lightning
    "trainer": ("pytorch_lightning.Trainer",),
    "logger": ("wise_lra.loggers.wandb_logger", "wise_lra.loggers.csv_logger"),
    "callbacks": (
        *(f"wise_lra.callbacks.{name}" for name in _CALLBACKS),
        *(f"pytorch_lightning.callbacks.{name}" for name in _LIGHTNING),
    ),
}


class ConfigurationError(ValueError):
    """A configuration that cannot be run; the message names key, value and expectation."""


def nodes(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (path, node) for every node with `_target_` or `_partial_`."""
    if isinstance(node, dict) and {"_target_", "_partial_"} & node.keys():
        yield path, node
    if isinstance(node, (dict, list)):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from nodes(value, f"{path}.{key}" if path else str(key))


def expect_node(path: str, node: Any) -> None:
    """Raise ConfigurationError where a node names no constructor."""
    if not isinstance(node, dict) or "_target_" not in node:
        raise ConfigurationError(f"{path}={node}: expected a node with _target_")


@cache
def constructors(key: str) -> dict[str, Any]:
    """Return what a node at a key of this name may construct, by `_target_`. Nothing else is instantiated."""
    if key == "task":
        from wise_lra.data.task import Task

        return {"wise_lra.data.task.Task": Task}
    if key == "recipe":
        from wise_lra.recipe import Recipe

        return {"wise_lra.training.Recipe": Recipe}
    if key == "model":
        from wise_lra.model import classifier

        return {"wise_lra.model.classifier": classifier}
    if key in FACTORIES:
        room, takes = ("wavelets", {"level"}) if key == "bank" else ("mixers", {"d_model", "length"})
        return {
            target: one
            for target, one in _listed().items()
            if target.startswith(f"wise_lra.{room}.") and takes <= inspect.signature(one).parameters.keys()
        }
    return {}


@cache
def _listed() -> dict[str, Any]:
    """Return the mixers and banks that configs/attention and configs/backbone name, by `_target_`."""
    found = {}
    for file in sorted((*CONFIGS.glob("attention/*.yaml"), *CONFIGS.glob("backbone/*.yaml"))):
        for _, node in nodes(yaml.safe_load(file.read_text(encoding="utf-8"))):
            module, _, name = str(node.get("_target_")).rpartition(".")
            if f"{module}.".startswith(("wise_lra.mixers.", "wise_lra.wavelets.")):
                try:
                    found[f"{module}.{name}"] = getattr(import_module(module), name)
                except (ImportError, AttributeError):
                    raise ConfigurationError(f"{file}: _target_={module}.{name}: no such class") from None
    return found


def bind(path: str, node: dict[str, Any]) -> None:
    """Check a node against the constructors that its key allows, and against the signature of the one it names."""
    room, _, key = path.rpartition(".")
    named = room if room == "callbacks" else path
    target = node.get("_target_")
    allowed: dict[str, Any] = dict.fromkeys(_NAMED[named]) if named in _NAMED else constructors(key)
    if not isinstance(target, str) or target not in allowed:
        expected = f"one of {', '.join(allowed)}" if allowed else "a plain value"
        word = "_target_" if "_target_" in node else "_partial_"
        raise ConfigurationError(f"{path}.{word}={node[word]}: expected {expected}")
    partial = node.get("_partial_", False)
    if partial is not (key in FACTORIES):
        raise ConfigurationError(f"{path}._partial_={partial}: expected {str(key in FACTORIES).lower()}")
    if allowed[target] is None:
        return
    accepted, types = inspect.signature(allowed[target]).parameters, _types(allowed[target])
    for name, value in node.items():
        if name in ("_target_", "_partial_"):
            continue
        where = f"{path}.{name}"
        if name not in accepted:
            near = difflib.get_close_matches(name, accepted, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(accepted)}"
            raise ConfigurationError(
                f"{where}={value}: {target.rpartition('.')[2]} takes no such argument; {hint}"
            )
        if name in FACTORIES:
            expect_node(where, value)
        elif expected := _mismatch(types[name], value):
            raise ConfigurationError(f"{where}={value}: expected {expected}")
        elif isinstance(value, int) and value > (most := _MOST.get(name, 2**31 - 1)):
            raise ConfigurationError(f"{where}={value}: expected at most {most}")
    for name, parameter in accepted.items():
        needed = parameter.default is parameter.empty and not (partial and name in _GIVEN_LATER)
        if needed and name not in node:
            raise ConfigurationError(f"{path}.{name}: missing; {target.rpartition('.')[2]} needs it")


@cache
def _types(constructor: Callable[..., Any]) -> dict[str, Any]:
    return get_type_hints(constructor.__init__ if inspect.isclass(constructor) else constructor)


def _mismatch(annotation: Any, value: Any) -> str:
    """Return what an annotation of plain types or of literals expects where `value` is not it, else ""."""
    if get_origin(annotation) is Literal:
        choices = get_args(annotation)
        return "" if value in choices else f"one of {', '.join(map(str, choices))}"
    names = {int: "int", float: "float", str: "str", bool: "bool", type(None): "null"}
    plain = [one for one in get_args(annotation) or (annotation,) if one in names]
    fits = any(
        isinstance(value, (int, float) if one is float else one)
        and (one is bool or not isinstance(value, bool))
        for one in plain
    )
    return "" if fits else " or ".join(names[one] for one in plain)
