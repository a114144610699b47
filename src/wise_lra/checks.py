"""What a configuration may hold: listed constructors with arguments of their types, and sizes that fit together.

Types, ranges and sizes are those of the constructors: their signatures are bound, and the model is built on the
device "meta", without memory for its weights. Only settings that no constructor takes have their range here.
"""

import difflib
import inspect
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from wise_lra.registry import ATTENTIONS

FREE = ("data.generated", "data.standin")
"""Nodes whose keys depend on the task; the generators check them."""

_FACTORIES = ("mixer", "attention", "bank")  # keys of nodes that the model calls with the sizes it knows
_GIVEN_LATER = {"d_model", "length", "channels"}  # those sizes
_SEED = 2**32 - 1  # torch, NumPy and Optuna take no more
_MANY = 10**9
_MOST = {"depth": 1024, "level": 64, "features": 2**16}  # of what a constructor makes one by one
_WEIGHTS = 10**9  # of a model at most: 4 GB, four times that in training
_SIZES = ("model.d_model", "model.depth", "model.mlp_dim", "heads.qkv_dim", "task.length")

WHOLE = {
    **{"seed": (0, _SEED), "data.seed": (0, _SEED), "data.buckets": (1, 2**24), "trainer.workers": (0, 1024)},
    **{"cluster.minutes": (1, 10**6), "cluster.memory_gb": (1, 10**6), "cluster.cpus": (1, 1024)},
    **{"cluster.gpus": (0, 1024), "logger.pictures_every": (0, 10**6), "logger.patience": (1, 10**6)},
}
WHOLE_OR_NULL = {
    **{"trainer.threads": (1, 1024), "trainer.micro_batch": (1, _MANY), "trainer.mlp_chunk": (1, _MANY)},
    **{"data.validation_examples": (1, _MANY), "data.test_examples": (1, _MANY)},
}
_CHOICES: dict[str, tuple[Any, ...]] = {
    "data.source": ("auto", "release", "generated", "standin"),
    "data.protocol": ("held-out", "lra"),
    "trainer.accelerator": ("auto", "cpu", "gpu"),
    "trainer.precision": ("auto", "32", "bf16", 32),
    "trainer.progress": ("auto", "bar", "lines", "none"),
    "logger.mode": ("auto", "online", "offline", "disabled"),
    **dict.fromkeys(("overwrite", "test", "trainer.find_batch", "trainer.compile"), (True, False)),
    **dict.fromkeys(("preset.comparable", "preset.fit_parameters", "preset.zero_is_padding"), (True, False)),
    "logger.artifacts": (True, False),
}


class ConfigurationError(ValueError):
    """A configuration that cannot be run; the message names key, value and expectation."""


def check(cfg: DictConfig) -> None:
    """Raise ConfigurationError if no run of this configuration could be built. Imports torch, not Lightning."""
    plain = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True))
    try:
        _check_attention(plain)
        _check_settings(plain)
        copies = {"backbone": 1, "model": 2}  # of nodes that come first, so that their keys are named
        for path, node in sorted(nodes(plain), key=lambda item: copies.get(item[0].partition(".")[0], 0)):
            bind(path, node)
        _build(plain)
    except ConfigurationError as error:
        raise ConfigurationError(_with_users_keys(str(error), cfg)) from None


def nodes(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (path, node) for every node with `_target_` or `_partial_`."""
    if isinstance(node, dict) and {"_target_", "_partial_"} & node.keys():
        yield path, node
    if isinstance(node, (dict, list)):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from nodes(value, f"{path}.{key}" if path else str(key))


@cache
def constructors(key: str) -> dict[str, Callable[..., Any]]:
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
    if key in ("mixer", "attention", "bank"):
        from wise_lra import mixers, wavelets

        room, takes = (wavelets, {"level"}) if key == "bank" else (mixers, {"d_model", "length"})
        exported = {f"{room.__name__}.{name}": getattr(room, name) for name in room.__all__}
        kinds = {target: one for target, one in exported.items() if inspect.isclass(one)}
        return {
            target: one for target, one in kinds.items() if takes <= inspect.signature(one).parameters.keys()
        }
    return {}


def bind(path: str, node: dict[str, Any]) -> None:
    """Check a node against the constructors that its key allows, and against the signature of the one it names."""
    key = path.rpartition(".")[2]
    target, allowed = node.get("_target_"), constructors(key)
    if not isinstance(target, str) or target not in allowed:
        expected = f"one of {', '.join(allowed)}" if allowed else "a plain value"
        word = "_target_" if "_target_" in node else "_partial_"
        raise ConfigurationError(f"{path}.{word}={node[word]}: expected {expected}")
    partial = node.get("_partial_", False)
    if partial is not (key in _FACTORIES):
        raise ConfigurationError(f"{path}._partial_={partial}: expected {str(key in _FACTORIES).lower()}")
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
        if name in _FACTORIES:
            expect_node(where, value)
        elif expected := _mismatch(types[name], value):
            raise ConfigurationError(f"{where}={value}: expected {expected}")
        elif isinstance(value, int) and value > (most := _MOST.get(name, 2**31 - 1)):
            raise ConfigurationError(f"{where}={value}: expected at most {most}")
    for name, parameter in accepted.items():
        needed = parameter.default is parameter.empty and not (partial and name in _GIVEN_LATER)
        if needed and name not in node:
            raise ConfigurationError(f"{path}.{name}: missing; {target.rpartition('.')[2]} needs it")


def at(cfg: dict[str, Any], key: str) -> Any:
    """Return the value at a dotted key, None where there is none."""
    node: Any = cfg
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node


def expect_whole(key: str, value: Any, least: int, most: int, null: bool = False) -> None:
    """Raise ConfigurationError where a setting is not a whole number from `least` to `most`, or null."""
    whole = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
    if not whole and not (null and value is None):
        raise ConfigurationError(
            f"{key}={value}: expected a whole number, {least} to {most}{' or null' * null}"
        )


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


def _check_attention(cfg: dict[str, Any]) -> None:
    """Check that a backbone that holds an attention is given one, and that another is not."""
    attention, backbone, mixer = cfg["attention"], cfg["backbone"]["name"], cfg["backbone"]["mixer"]
    given = f"attention={attention['name']}: backbone={backbone}"
    if mixer is None or mixer.get("attention", mixer) is None:
        raise ConfigurationError(f"{given} holds an attention; expected one of {', '.join(ATTENTIONS)}")
    if attention["mixer"] not in (None, mixer, mixer.get("attention")):
        raise ConfigurationError(f"{given} holds no attention; leave it out")


def _check_settings(cfg: dict[str, Any]) -> None:
    """Check the settings that no constructor takes."""
    for key, value in _numbers({name: node for name, node in cfg.items() if name != "data"}):
        if not 0 <= value <= 1e38:
            raise ConfigurationError(f"{key}={value}: expected a number, 0 to 1e38")
    found = {key: at(cfg, key) for key in (*WHOLE, *WHOLE_OR_NULL, *_CHOICES)}
    if cfg["logger"]["name"] != "wandb":
        found = {key: value for key, value in found.items() if not key.startswith("logger.")}
    for key, value in found.items():
        if key in _CHOICES:
            if (type(value), value) not in [(type(one), one) for one in _CHOICES[key]]:
                some = ", ".join(str(one).lower() for one in _CHOICES[key])
                raise ConfigurationError(f"{key}={value}: expected one of {some}")
        else:
            expect_whole(key, value, *(WHOLE | WHOLE_OR_NULL)[key], null=key in WHOLE_OR_NULL)
    for key in FREE:
        if not isinstance(value := at(cfg, key), dict):
            raise ConfigurationError(f"{key}={value}: expected settings, as in {key}.train=2000")
    limit = cfg["preset"]["parameter_limit"]
    if limit is not None and not (isinstance(limit, (int, float)) and limit > 0):
        raise ConfigurationError(f"preset.parameter_limit={limit}: expected a number above 0, or null")
    _check_trainer(cfg["trainer"], cfg["recipe"].get("batch_size"))


def _check_trainer(trainer: dict[str, Any], batch_size: Any) -> None:
    devices, limit = trainer["devices"], trainer["max_time"]
    if devices != "all":
        expect_whole("trainer.devices", devices, 1, 1024)
        if isinstance(batch_size, int) and 1 <= batch_size < devices:
            raise ConfigurationError(
                f"trainer.devices={devices}: expected at most recipe.batch_size={batch_size}"
            )
    if trainer["find_batch"] and trainer["micro_batch"] is not None:
        raise ConfigurationError(
            f"trainer.micro_batch={trainer['micro_batch']}: trainer.find_batch=true finds it; expected one of both"
        )
    if limit is not None and not re.fullmatch(r"\d{1,5}:\d\d:\d\d:\d\d", str(limit)):
        raise ConfigurationError(f'trainer.max_time={limit}: expected "DD:HH:MM:SS" in quotes, or null')


def _numbers(node: Any, path: str = "") -> Iterator[tuple[str, float]]:
    for key, value in node.items():
        if key == "mixer":  # copies of other settings, and what the constructors check
            continue
        if isinstance(value, dict):
            yield from _numbers(value, f"{path}{key}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f"{path}{key}", value


def _build(plain: dict[str, Any]) -> None:
    """Build task, recipe and, on the device "meta", the model. Raises ConfigurationError with what they refuse."""
    import torch  # takes a second; whoever only reads configurations does not need it

    length, buckets = plain["task"]["length"], plain["data"]["buckets"]
    if buckets > length:
        raise ConfigurationError(f"data.buckets={buckets}: expected 1 to task.length={length}")
    sizes = ", ".join(f"{key}={at(plain, key)}" for key in _SIZES)
    try:
        for key in ("task", "recipe"):
            arguments = {name: value for name, value in plain[key].items() if name != "_target_"}
            constructors(key)[plain[key]["_target_"]](**arguments)
        depth = plain["model"]["depth"]
        with torch.device("meta"):
            model = instantiate(plain["model"] | {"depth": min(depth, 1)})  # its blocks are alike
    except (ValueError, InstantiationException) as error:
        cause = error.__cause__ or error
        where = "" if isinstance(cause, ValueError) else f"{sizes}: "
        raise ConfigurationError(where + str(cause).partition("\n")[0]) from None
    shortest = -(-length // buckets) + (plain["model"]["pool"] == "cls")
    for bank in [module for module in model.modules() if hasattr(module, "band_lengths")]:
        try:
            bank.band_lengths(shortest)
        except ValueError as error:
            raise ConfigurationError(f"{error}, the shortest input with data.buckets={buckets}") from None
    weights = _values(model) + (depth - 1) * _values(model.encoder.blocks)
    if weights > _WEIGHTS:
        raise ConfigurationError(f"{sizes}: {weights:,} weights; expected at most {_WEIGHTS:,}")


def _with_users_keys(message: str, cfg: DictConfig) -> str:
    """Return a message of a constructor with the keys that a user sets: "heads=3" becomes "heads.number=3".

    The node of the constructor takes its arguments from other keys, as `heads: ${heads.number}`.
    """
    for path, node in nodes(OmegaConf.to_container(cfg)):
        for name in [name for name in node if name not in ("_target_", "_partial_", *_FACTORIES)]:
            key, value = f"{path}.{name}", OmegaConf.select(cfg, f"{path}.{name}")
            source = re.fullmatch(r"\$\{([\w.]+)\}", str(node[name]))
            users = f"{source[1] if source else key}={value}".replace("\\", r"\\")
            names = [key, name] if path.rpartition(".")[2] in _FACTORIES else [key]
            for said in (f"{one}={text}" for one in names for text in (repr(value), value)):
                message = re.sub(rf"(?<![\w.]){re.escape(said)}(?!\w)", users, message)
    return message


def _values(part: Any) -> int:
    return sum(value.numel() for value in (*part.parameters(), *part.buffers()))


def expect_node(path: str, node: Any) -> None:
    """Raise ConfigurationError where a node names no constructor."""
    if not isinstance(node, dict) or "_target_" not in node:
        raise ConfigurationError(f"{path}={node}: expected a node with _target_")
