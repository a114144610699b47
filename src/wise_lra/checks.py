"""What a configuration may hold: listed constructors with arguments of their types, and sizes that fit together.

Types, ranges and sizes are those of the constructors: their signatures are bound, and the model is built on the
device "meta", without memory for its weights. Only settings that no constructor takes have their range here.
"""

import re
from collections.abc import Iterator
from typing import Any, cast

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from wise_lra.constructors import FACTORIES, ConfigurationError, bind, constructors, expect_node, nodes
from wise_lra.data.sources import KINDS
from wise_lra.data.text import PROTOCOLS
from wise_lra.registry import ATTENTIONS

FREE = ("data.generated", "data.standin")
"""Nodes whose keys depend on the task; the generators check them."""

_SEED = 2**32 - 1  # torch, NumPy and Optuna take no more
_MANY = 10**9
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
    "data.source": KINDS,
    "data.protocol": PROTOCOLS,
    "trainer.accelerator": ("auto", "cpu", "gpu"),
    "trainer.precision": ("auto", "32", "bf16", 32),
    "trainer.progress": ("auto", "bar", "lines", "none"),
    "logger.mode": ("auto", "online", "offline", "disabled"),
    **dict.fromkeys(("overwrite", "test", "trainer.find_batch", "trainer.compile"), (True, False)),
    **dict.fromkeys(("preset.comparable", "preset.fit_parameters", "preset.zero_is_padding"), (True, False)),
    "logger.artifacts": (True, False),
}


LIGHTNING = ("_target_", "accelerator", "benchmark", "detect_anomaly", "deterministic")
"""Settings of the trainer that Lightning's Trainer takes as they are; the others are ours."""
_OURS = (
    *("devices", "precision", "micro_batch", "find_batch", "mlp_chunk", "compile", "threads", "workers"),
    *("progress", "max_time"),
)


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
    first = {name: node for name, node in cfg.items() if name not in ("data", "callbacks")}
    for key, value in _numbers(
        first | {"callbacks": cfg.get("callbacks") or {}}
    ):  # these copy other settings
        if not 0 <= value <= 1e38:
            raise ConfigurationError(f"{key}={value}: expected a number, 0 to 1e38")
    settings = {key: at(cfg, key) for key in (*WHOLE, *WHOLE_OR_NULL, *_CHOICES)}
    if cfg["logger"]["name"] != "wandb":
        settings = {key: value for key, value in settings.items() if not key.startswith("logger.")}
    for key, value in settings.items():
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
    for group in ("trainer", "logger"):
        expect_node(group, cfg[group])
    for name, node in (cfg.get("callbacks") or {}).items():
        expect_node(f"callbacks.{name}", node)
    _check_trainer(cfg["trainer"], cfg["recipe"].get("batch_size"))


def _check_trainer(trainer: dict[str, Any], batch_size: Any) -> None:
    devices, limit = trainer["devices"], trainer["max_time"]
    if unknown := sorted(trainer.keys() - {*LIGHTNING, *_OURS}):
        key, known = unknown[0], ", ".join((*LIGHTNING[1:], *_OURS))
        raise ConfigurationError(f"trainer.{key}={trainer[key]}: expected one of {known}")
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
    import torch  # takes a second, and reading configurations does not need it

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
        for name in [name for name in node if name not in ("_target_", "_partial_", *FACTORIES)]:
            key, value = f"{path}.{name}", OmegaConf.select(cfg, f"{path}.{name}")
            source = re.fullmatch(r"\$\{([\w.]+)\}", str(node[name]))
            users = f"{source[1] if source else key}={value}".replace("\\", r"\\")
            names = [key, name] if path.rpartition(".")[2] in FACTORIES else [key]
            for pair in (f"{one}={text}" for one in names for text in (repr(value), value)):
                message = re.sub(rf"(?<![\w.]){re.escape(pair)}(?!\w)", users, message)
    return message


def _values(part: Any) -> int:
    return sum(value.numel() for value in (*part.parameters(), *part.buffers()))
