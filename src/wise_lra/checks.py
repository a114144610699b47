"""What a configuration may hold: constructors and their arguments, numbers in range, sizes that fit together."""

import difflib
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pywt

from wise_lra.registry import ATTENTIONS, NONE
from wise_lra.signatures import exported, parameters

_GIVEN_LATER = {"d_model", "length", "channels"}  # arguments of a mixer or a bank that the model knows
_FACTORIES = ("mixer", "attention", "bank")  # keys of a node that the model calls with what is given later
_MOST = {"depth": 1_024, "level": 64, "features": 65_536}  # of what a constructor makes one by one
_BANDED = "wise_lra.mixers.WaveletSpace"
_CHOICES = {
    "data.source": ("auto", "release", "generated", "standin"),
    "data.protocol": ("held-out", "lra"),
    "trainer.accelerator": ("auto", "cpu", "gpu"),
    "trainer.precision": ("auto", "32", "bf16"),
    "trainer.progress": ("auto", "bar", "lines", "none"),
    "logger.name": ("wandb", "csv"),
    "logger.mode": ("auto", "online", "offline", "disabled"),
}
FREE = ("data.generated", "data.standin")  # nodes whose keys depend on the task; `prepare` judges them
_SEED = 2**32 - 1  # torch, NumPy and Optuna take no more, all of them
_MANY, _WIDE = 10**9, 2**16
WHOLE = {  # the least and the most of what is a whole number
    **dict.fromkeys(("seed", "data.seed"), (0, _SEED)),
    **dict.fromkeys(("recipe.steps", "recipe.warmup_steps", "recipe.validate_every"), (1, _MANY)),
    **dict.fromkeys(("recipe.batch_size", "cluster.minutes", "cluster.memory_gb"), (1, 10**6)),
    **dict.fromkeys(("task.vocabulary", "task.classes", "model.vocabulary", "model.classes"), (1, _WIDE)),
    **dict.fromkeys(("model.d_model", "heads.number", "heads.qkv_dim"), (1, _WIDE)),
    **dict.fromkeys(("wavelet.level", "wavelet.taps", "preset.linformer_rank"), (1, _WIDE)),
    **dict.fromkeys(("task.length", "model.length", "model.mlp_dim", "data.buckets"), (1, 2**24)),
    **dict.fromkeys(("task.documents", "model.documents"), (1, 2)),
    **{"model.depth": (1, _MOST["depth"]), "cluster.cpus": (1, 1024), "cluster.gpus": (0, 1024)},
    **{"trainer.workers": (0, 1024), "trainer.threads": (1, 1024)},
    **dict.fromkeys(("trainer.micro_batch", "trainer.mlp_chunk"), (1, _MANY)),
    **dict.fromkeys(("data.validation_examples", "data.test_examples"), (1, _MANY)),
}
_NUMBERS = {  # whether zero is one of them
    **{"recipe.lr": False, "recipe.clip": False, "recipe.weight_decay": True},
    "preset.parameter_limit": False,
}
_OPTIONAL = (
    *("trainer.threads", "trainer.micro_batch", "trainer.mlp_chunk", "recipe.clip"),
    *("data.validation_examples", "data.test_examples", "preset.parameter_limit"),
)
_WEIGHTS = 10**9  # of a model at most: 4 GB, four times that in training
_FLAGS = (
    "overwrite",
    "test",
    "trainer.find_batch",
    "trainer.compile",
    "preset.comparable",
    "preset.fit_parameters",
    "preset.zero_is_padding",
)


class ConfigurationError(ValueError):
    """A configuration that cannot be run; the message names key, value and expectation."""


def check_plain(cfg: dict[str, Any]) -> None:
    """Raise ConfigurationError if a run of this configuration, as plain dictionaries, could not be built."""
    _check_attention(cfg)
    _check_numbers(cfg)  # first, to name the key that was set and not one that follows it
    for path, node in nodes(cfg):
        bind(path, node)
    _check_values(cfg)
    _check_sizes(cfg)


def nodes(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (path, node) for every node that names its constructor, or speaks of one."""
    if isinstance(node, dict) and {"_target_", "_partial_"} & node.keys():
        yield path, node
    if isinstance(node, (dict, list)):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from nodes(value, f"{path}.{key}" if path else str(key))


@cache
def _constructors() -> dict[str, tuple[str, ...]]:
    """Return the constructors that may stand at a key: all that a configuration can have called."""
    mixers = tuple(n for n in exported("wise_lra.mixers") if {"d_model", "length"} <= parameters(n).keys())
    banks = tuple(n for n in exported("wise_lra.wavelets") if n.endswith("Bank") and "level" in parameters(n))
    return {
        "model": ("wise_lra.model.classifier",),
        "task": ("wise_lra.data.task.Task",),
        "recipe": ("wise_lra.training.Recipe",),
        "mixer": mixers,
        "attention": mixers,
        "bank": banks,
    }


def expect_node(path: str, node: Any) -> None:
    """Raise ConfigurationError where a node names no constructor."""
    if not isinstance(node, dict) or "_target_" not in node:
        raise ConfigurationError(f"{path}={node}: expected a node with _target_")


def bind(path: str, node: dict[str, Any]) -> None:
    """Hold a node against the constructors that may stand at its key, and the signature of the one it names."""
    place = path.rpartition(".")[2]
    target, allowed = node.get("_target_"), _constructors().get(place, ())
    if target not in allowed:
        expected = f"one of {', '.join(allowed)}" if allowed else "a plain value"
        word = "_target_" if "_target_" in node else "_partial_"
        raise ConfigurationError(f"{path}.{word}={node[word]}: expected {expected}")
    partial = node.get("_partial_", False)
    if partial is not (place in _FACTORIES):
        raise ConfigurationError(f"{path}._partial_={partial}: expected {str(place in _FACTORIES).lower()}")
    accepted, name = parameters(target), target.rpartition(".")[2]
    for key, value in node.items():
        if key in ("_target_", "_partial_"):
            continue
        if key not in accepted:
            near = difflib.get_close_matches(key, accepted, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(accepted)}"
            raise ConfigurationError(f"{path}.{key}={value}: {name} takes no such argument; {hint}")
        if key in _FACTORIES:
            expect_node(f"{path}.{key}", value)
        elif expected := accepted[key].expects(value):
            raise ConfigurationError(f"{path}.{key}={value}: expected {expected}")
        elif isinstance(value, int) and value > (most := _MOST.get(key, 2**31 - 1)):
            raise ConfigurationError(f"{path}.{key}={value}: expected at most {most}")
    later = _GIVEN_LATER if partial else set()
    for key, parameter in accepted.items():
        if parameter.required and key not in node and key not in later:
            raise ConfigurationError(f"{path}.{key}: missing; {name} needs it ({parameter.annotation})")


def _check_attention(cfg: dict[str, Any]) -> None:
    """Check that a backbone that holds an attention has one, and that another is not given one in vain."""
    attention, backbone, mixer = cfg["attention"], cfg["backbone"]["name"], cfg["backbone"]["mixer"]
    given = f"attention={attention['name']}: backbone={backbone}"
    if mixer is None or mixer.get("attention", mixer) is None:
        some = ", ".join(name for name in ATTENTIONS if name != NONE)
        raise ConfigurationError(f"{given} holds an attention; expected one of {some}")
    if attention["mixer"] not in (None, mixer, mixer.get("attention")):
        raise ConfigurationError(f"{given} holds no attention; leave it out")


def _check_numbers(cfg: dict[str, Any]) -> None:
    for key, (least, most) in WHOLE.items():
        expect_whole(key, at(cfg, key), least, most)
    for key, zero in _NUMBERS.items():
        value = at(cfg, key)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not _left_out(key, value) and not (number and 0 <= value <= 1e38 and (value or zero)):
            low = "0 or more" if zero else "above 0"
            raise ConfigurationError(f"{key}={value}: expected float, {low} and at most 1e38{_null(key)}")
    for key in ("model.dropout", "heads.dropout"):
        if isinstance(value := at(cfg, key), (int, float)) and not 0 <= value < 1:
            raise ConfigurationError(f"{key}={value}: expected a probability in [0, 1)")


def _check_values(cfg: dict[str, Any]) -> None:
    for key, allowed in _CHOICES.items():
        value = at(cfg, key)
        if value is not None and str(value) not in allowed:
            raise ConfigurationError(f"{key}={value}: expected one of {', '.join(allowed)}")
    for key in FREE:
        if not isinstance(value := at(cfg, key), dict):
            raise ConfigurationError(f"{key}={value}: expected settings, as in {key}.train=2000")
    _check_devices(cfg)
    limit = cfg["trainer"]["max_time"]
    if limit is not None and not re.fullmatch(r"\d{1,5}:\d\d:\d\d:\d\d", str(limit)):
        raise ConfigurationError(f'trainer.max_time={limit}: expected "DD:HH:MM:SS" in quotes, or null')
    for key, least in (("pictures_every", 0), ("patience", 1)):
        if key in cfg["logger"]:
            expect_whole(f"logger.{key}", cfg["logger"][key], least, 10**6)
    for key in (*_FLAGS, *(["logger.artifacts"] if "artifacts" in cfg["logger"] else [])):
        if not isinstance(at(cfg, key), bool):
            raise ConfigurationError(f"{key}={at(cfg, key)}: expected true or false")


def _check_devices(cfg: dict[str, Any]) -> None:
    trainer, batch = cfg["trainer"], cfg["recipe"]["batch_size"]
    count = trainer["devices"]
    if count != "all":
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 1024:
            raise ConfigurationError(f"trainer.devices={count}: expected a whole number, 1 to 1024, or all")
        if isinstance(batch, int) and 1 <= batch < count:
            raise ConfigurationError(
                f"trainer.devices={count}: recipe.batch_size={batch}, fewer; expected at most {batch}"
            )
    if trainer["find_batch"] is True and trainer["micro_batch"] is not None:
        raise ConfigurationError(
            f"trainer.micro_batch={trainer['micro_batch']}: trainer.find_batch=true finds it; expected one of both"
        )


def _check_sizes(cfg: dict[str, Any]) -> None:
    """Check what the constructors would refuse after torch is there."""
    model, buckets = cfg["model"], cfg["data"]["buckets"]
    if buckets > model["length"]:
        raise ConfigurationError(f"data.buckets={buckets}: expected 1 to task.length={model['length']}")
    attention, length, bands = 0, model["length"], 1
    for _, node in nodes(cfg["backbone"]["mixer"]):
        if "heads" in node:
            _check_heads(node)
            attention += 4 * model["d_model"] * node["qkv_dim"] + 2 * length * node.get("rank", 0)
        if node["_target_"] == _BANDED:
            _check_bands(node, -(-length // buckets) + (model["pool"] == "cls"), buckets)
            bands = 1 if node["fit_parameters"] else node["bank"]["level"] + 1
    block = bands * attention + 2 * model["d_model"] * model["mlp_dim"]
    weights = model["depth"] * block + model["d_model"] * (model["vocabulary"] + length)
    if weights > _WEIGHTS:
        keys = ("model.d_model", "model.depth", "model.mlp_dim", "heads.qkv_dim", "task.length")
        sizes = ", ".join(f"{key}={at(cfg, key)}" for key in keys)
        raise ConfigurationError(f"{sizes}: about {weights:,} weights; expected at most {_WEIGHTS:,}")


def _check_heads(attention: dict[str, Any]) -> None:
    heads, qkv_dim, dropout = attention["heads"], attention["qkv_dim"], attention.get("dropout", 0.0)
    expect_whole("heads.number", heads, 1, _WIDE)
    expect_whole("heads.qkv_dim", qkv_dim, 1, _WIDE)
    if qkv_dim % heads:
        raise ConfigurationError(
            f"heads.number={heads}: does not divide heads.qkv_dim={qkv_dim}; expected a divisor of it"
        )
    if not 0 <= dropout < 1:
        raise ConfigurationError(f"heads.dropout={dropout}: expected a probability in [0, 1)")
    for key in attention.keys() & {"rank", "features", "window"}:
        expect_whole(f"attention.mixer.{key}", attention[key], 1, _WIDE)
    if (window := attention.get("window", 2)) % 2:
        raise ConfigurationError(f"attention.mixer.window={window}: expected an even number, 2 or more")


def _check_bands(node: dict[str, Any], positions: int, buckets: int) -> None:
    """Check the bank of a backbone against the shortest input that it will get."""
    bank, attention = node["bank"], node["attention"]
    level, taps = bank["level"], bank.get("taps")
    expect_whole("wavelet.level", level, 1, _WIDE)
    if "mode" not in bank:  # lifting halves any length
        if taps is not None:
            expect_whole("backbone.mixer.bank.taps", taps, 1, 256)
        deepest, what = max(0, positions - 1).bit_length(), "lifting"
    else:
        if "wavelet" in bank:
            taps = _filter_length(bank["wavelet"])
        elif not isinstance(taps, int) or not 2 <= taps <= 256 or taps % 2:
            raise ConfigurationError(f"wavelet.taps={taps}: expected an even number from 2 to 256")
        deepest, what = max(1, pywt.dwt_max_level(positions, taps)), f"filters of {taps} taps"
    if level > deepest:
        shortest = f", the shortest of data.buckets={buckets}," if buckets > 1 else ""
        raise ConfigurationError(
            f"wavelet.level={level}: too deep for {positions} positions{shortest} and {what}; "
            f"expected 1 to {deepest}"
        )
    if node["fit_parameters"] and "heads" in attention:
        bands, width = level + 1, attention["qkv_dim"]
        if width // bands == 0 or (width // bands) % attention["heads"]:
            raise ConfigurationError(
                f"heads.number={attention['heads']}: does not divide {width // bands}, the share of "
                f"heads.qkv_dim={width} of each of {bands} bands; change one of them or wavelet.level, "
                "or set preset.fit_parameters=false"
            )


def _filter_length(wavelet: str) -> int:
    """Return the taps of a PyWavelets name, or of db39 to db128, which PyWavelets lacks."""
    if wavelet in pywt.wavelist(kind="discrete"):
        return int(pywt.Wavelet(wavelet).dec_len)
    name = re.fullmatch(r"db([1-9]\d{0,2})", wavelet)
    if name and int(name[1]) <= 128:
        return 2 * int(name[1])
    near = difflib.get_close_matches(wavelet, pywt.wavelist(kind="discrete"), n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "expected a discrete wavelet of PyWavelets"
    raise ConfigurationError(f"wavelet.name={wavelet}: no such wavelet; {hint}")


def expect_whole(key: str, value: Any, least: int, most: int) -> None:
    """Raise ConfigurationError where a setting is not a whole number from `least` to `most`."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not _left_out(key, value) and not (whole and least <= value <= most):
        allowed = f"{least} to {most}" if whole and value > most else f"{least} or more"
        raise ConfigurationError(f"{key}={value}: expected a whole number, {allowed}{_null(key)}")


def _left_out(key: str, value: Any) -> bool:
    """Tell whether a setting may be null, or is an argument that `_bind` will miss."""
    return value is None and (key in _OPTIONAL or key.startswith(("recipe.", "model.", "task.", "preset.")))


def _null(key: str) -> str:
    return " or null" if key in _OPTIONAL else ""


def at(cfg: dict[str, Any], key: str) -> Any:
    """Return the value at a dotted key, None where there is none."""
    node: Any = cfg
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node
