"""Composing a run's configuration and checking all of it, in well under two seconds: nothing here imports torch."""

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pywt
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from wise_lra.signatures import parameters

CONFIGS = Path(__file__).parents[2] / "configs"
TASKS = ("listops", "text", "retrieval", "image", "pathfinder")

_GIVEN_LATER = {"d_model", "length", "channels"}  # arguments of a mixer or a bank that the model knows
_BANDED = "wise_lra.mixers.WaveletSpace"
_CHOICES = {
    "data.source": ("auto", "release", "generated", "standin"),
    "data.protocol": ("held-out", "lra"),
    "trainer.accelerator": ("auto", "cpu", "gpu"),
    "trainer.precision": ("auto", "32", "bf16"),
    "trainer.progress": ("auto", "bar", "lines", "none"),
    "logger.name": ("wandb", "csv"),
    "logger.mode": ("auto", "online", "offline"),
}
_OPTIONAL = (
    *("trainer.threads", "trainer.micro_batch", "trainer.mlp_chunk"),
    *("data.validation_examples", "data.test_examples"),
)
_FREE = ("data.generated", "data.standin")  # nodes whose keys depend on the task; `prepare` judges them
_REQUESTS = ("cluster.minutes", "cluster.memory_gb", "cluster.cpus")
_WHOLE = ("seed", "data.seed", "trainer.workers", "cluster.gpus", *_REQUESTS, *_OPTIONAL)
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


def compose(overrides: Sequence[str]) -> DictConfig:
    """Return the checked configuration of one run.

    Raises ConfigurationError, with one message for the user, on an unknown key or option, a missing or mistyped
    argument, and sizes that do not fit together.
    """
    cfg = _composed(overrides)
    check(cfg)
    return cfg


def check(cfg: DictConfig) -> None:
    """Raise ConfigurationError if a run of this configuration could not even be built."""
    try:
        plain = plain_dict(cfg)
    except OmegaConfBaseException as error:
        raise ConfigurationError(f"{error.full_key}: {str(error).splitlines()[0]}") from None
    _check_attention(plain)
    for path, node in _nodes(plain):
        _bind(path, node)
    _check_values(plain)
    _check_sizes(plain)


def plain_dict(cfg: DictConfig, resolve: bool = True) -> dict[str, Any]:
    """Return a configuration as plain dictionaries and lists."""
    return cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=resolve, throw_on_missing=resolve))


def options(group: str) -> list[str]:
    """Return what may be chosen for a config group: the names of its files."""
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def purpose(group: str, option: str) -> str:
    """Return what an option is for: the comment in the first line of its file."""
    with (CONFIGS / group / f"{option}.yaml").open(encoding="utf-8") as file:
        return file.readline().lstrip("# ").strip()


def _composed(overrides: Sequence[str]) -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        try:
            return hydra_compose("train", overrides=opened(overrides))
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigurationError(_explained(str(error), overrides)) from None


def opened(overrides: Sequence[str]) -> list[str]:
    """Return overrides as Hydra wants them: a key that a node does not have yet takes "++" before it."""
    free = re.compile(rf"\+*(?=({'|'.join(map(re.escape, _FREE))})[.=])")
    return [free.sub("++", override, count=1) if free.match(override) else override for override in overrides]


def _explained(message: str, overrides: Sequence[str]) -> str:
    """Turn Hydra's message into one line that names key, value and what was expected."""
    if unknown := re.search(r"Could not override '([^'@]+)", message):
        key = unknown[1]
        known = _keys(plain_dict(hydra_compose("train"), resolve=False))
        parent = key.rpartition(".")[0]
        near = difflib.get_close_matches(key, [*known, *_groups()], n=1, cutoff=0.6)
        siblings = [name for name in known if name.rpartition(".")[0] == parent and "_target_" not in name]
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(siblings or _groups())}"
        return f"{_given(key, overrides)}: no such key; {hint}"
    if missing := re.search(r"Could not find '([\w/]+)/([^/']+)'", message):
        group, option = missing.groups()
        if group.startswith("recipe"):
            return f"recipe={group.removeprefix('recipe/')}/{option}: no such file in configs/recipe"
        return f"{group}={option}: no such option; expected one of {', '.join(options(group))}"
    return " ".join(message.split())


def _given(key: str, overrides: Sequence[str]) -> str:
    return next((text for text in overrides if text.lstrip("+~").startswith(f"{key}=")), key)


def _groups() -> list[str]:
    return sorted(path.name for path in CONFIGS.iterdir() if path.is_dir() and path.name != "hydra")


def _keys(node: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, value in node.items():
        found.append(f"{prefix}{key}")
        if isinstance(value, dict):
            found += _keys(value, f"{prefix}{key}.")
    return found


def _nodes(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (path, node) for every node that names its constructor."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield path, node
        for key, value in node.items():
            yield from _nodes(value, f"{path}.{key}" if path else str(key))


def _bind(path: str, node: dict[str, Any]) -> None:
    """Hold a node against the signature of the constructor that it names."""
    target = node["_target_"]
    try:
        accepted = parameters(target)
    except LookupError as error:
        raise ConfigurationError(f"{path}._target_={error}") from None
    name = target.rpartition(".")[2]
    for key, value in node.items():
        if key in ("_target_", "_partial_"):
            continue
        if key not in accepted:
            near = difflib.get_close_matches(key, accepted, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(accepted)}"
            raise ConfigurationError(f"{path}.{key}={value}: {name} takes no such argument; {hint}")
        if not isinstance(value, dict) and (expected := accepted[key].expects(value)):
            raise ConfigurationError(f"{path}.{key}={value}: expected {expected}")
    later = _GIVEN_LATER if node.get("_partial_") else set()
    for key, parameter in accepted.items():
        if parameter.required and key not in node and key not in later:
            raise ConfigurationError(f"{path}.{key}: missing; {name} needs it ({parameter.annotation})")


def _check_attention(cfg: dict[str, Any]) -> None:
    """Check that a backbone that holds an attention has one, and that another is not given one in vain."""
    attention, backbone, mixer = cfg["attention"], cfg["backbone"]["name"], cfg["backbone"]["mixer"]
    given = f"attention={attention['name']}: backbone={backbone}"
    if mixer is None or mixer.get("attention", mixer) is None:
        some = ", ".join(name for name in options("attention") if name != "none")
        raise ConfigurationError(f"{given} holds an attention; expected one of {some}")
    if attention["mixer"] not in (None, mixer, mixer.get("attention")):
        raise ConfigurationError(f"{given} holds no attention; leave it out")


def _check_values(cfg: dict[str, Any]) -> None:
    for key, allowed in _CHOICES.items():
        value = _at(cfg, key)
        if value is not None and str(value) not in allowed:
            raise ConfigurationError(f"{key}={value}: expected one of {', '.join(allowed)}")
    for key in _FREE:
        if not isinstance(value := _at(cfg, key), dict):
            raise ConfigurationError(f"{key}={value}: expected settings, as in {key}.train=2000")
    for key in _WHOLE:
        value = _at(cfg, key)
        least = 1 if key in (*_OPTIONAL, *_REQUESTS) else 0
        if value is None and key in _OPTIONAL:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            more = " or null" if key in _OPTIONAL else ""
            raise ConfigurationError(f"{key}={value}: expected a whole number, {least} or more{more}")
    _check_devices(cfg)
    limit = cfg["trainer"]["max_time"]
    if limit is not None and not re.fullmatch(r"\d+:\d\d:\d\d:\d\d", str(limit)):
        raise ConfigurationError(f'trainer.max_time={limit}: expected "DD:HH:MM:SS" in quotes, or null')
    for key, least in (("pictures_every", 0), ("patience", 1)):
        if key in cfg["logger"]:
            _at_least(f"logger.{key}", cfg["logger"][key], least)
    for key in (*_FLAGS, *(["logger.artifacts"] if "artifacts" in cfg["logger"] else [])):
        if not isinstance(_at(cfg, key), bool):
            raise ConfigurationError(f"{key}={_at(cfg, key)}: expected true or false")


def _check_devices(cfg: dict[str, Any]) -> None:
    trainer, batch = cfg["trainer"], cfg["recipe"]["batch_size"]
    count = trainer["devices"]
    if count != "all":
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ConfigurationError(f"trainer.devices={count}: expected a whole number, 1 or more, or all")
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
    model, recipe = cfg["model"], cfg["recipe"]
    for key in ("d_model", "depth", "mlp_dim", "length"):
        _at_least(f"model.{key}", model[key], 1)
    for key in ("steps", "batch_size", "warmup_steps", "validate_every"):
        _at_least(f"recipe.{key}", recipe[key], 1)
    _at_least("data.buckets", buckets := cfg["data"]["buckets"], 1)
    if buckets > model["length"]:
        raise ConfigurationError(f"data.buckets={buckets}: expected 1 to task.length={model['length']}")
    if not 0 <= model["dropout"] < 1:
        raise ConfigurationError(f"model.dropout={model['dropout']}: expected a probability in [0, 1)")
    for _, node in _nodes(cfg["backbone"]["mixer"]):
        if "heads" in node:
            _check_heads(node)
        if node["_target_"] == _BANDED:
            _check_bands(node, -(-model["length"] // buckets) + (model["pool"] == "cls"), buckets)


def _check_heads(attention: dict[str, Any]) -> None:
    heads, qkv_dim, dropout = attention["heads"], attention["qkv_dim"], attention.get("dropout", 0.0)
    _at_least("heads.number", heads, 1)
    _at_least("heads.qkv_dim", qkv_dim, 1)
    if qkv_dim % heads:
        raise ConfigurationError(
            f"heads.number={heads}: does not divide heads.qkv_dim={qkv_dim}; expected a divisor of it"
        )
    if not 0 <= dropout < 1:
        raise ConfigurationError(f"heads.dropout={dropout}: expected a probability in [0, 1)")
    for key in attention.keys() & {"rank", "features", "window"}:
        _at_least(f"attention.mixer.{key}", attention[key], 1)
    if (window := attention.get("window", 2)) % 2:
        raise ConfigurationError(f"attention.mixer.window={window}: expected an even number, 2 or more")


def _check_bands(node: dict[str, Any], positions: int, buckets: int) -> None:
    """Check the bank of a backbone against the shortest input that it will get."""
    bank, attention = node["bank"], node["attention"]
    level, taps = bank["level"], bank.get("taps")
    _at_least("wavelet.level", level, 1)
    if "mode" not in bank:  # lifting halves any length
        if taps is not None:
            _at_least("backbone.mixer.bank.taps", taps, 1)
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


def _at_least(key: str, value: Any, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigurationError(f"{key}={value}: expected a whole number, {least} or more")


def _at(cfg: dict[str, Any], key: str) -> Any:
    node: Any = cfg
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node
