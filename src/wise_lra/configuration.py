"""Composing a run's configuration and checking all of it, in well under two seconds: nothing here imports torch."""

import difflib
import math
import re
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

import pywt
import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from wise_lra.signatures import exported, parameters

CONFIGS = Path(__file__).parents[2] / "configs"
TASKS = ("listops", "text", "retrieval", "image", "pathfinder")

_DEEPEST = 20  # levels of a stored configuration
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


def stored(config: Any, file: Path | str, only: str = "") -> DictConfig:
    """Return the configuration that a record or a run's config.json holds, checked: `file` may be anybody's.

    It holds plain values, and where a node names its constructor, one of `_constructors` with arguments of the
    types that it takes. Nothing is imported or resolved before all of it is checked. `only` asks for one node, as
    "task".
    Raises ConfigurationError naming file and key.
    """
    try:
        _expect_plain(config)
        if only:
            config = {only: config.get(only)}
        for key in [only] if only else ("model", "task", "recipe"):
            _expect_node(key, _at(config, key))
        for path, node in _nodes(config):
            _bind(path, node)
        if not only:
            _check_facts(config)
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: {error}") from None
    found = OmegaConf.create(config)
    assert isinstance(found, DictConfig)
    return found


def _check_facts(config: dict[str, Any]) -> None:
    """Check what is read of a stored configuration beside what its constructors take."""
    for name in ("vocabulary", "length", "classes", "documents"):
        if (value := _at(config, f"model.{name}")) != _at(config, f"task.{name}"):
            raise ConfigurationError(f"model.{name}={value}: expected task.{name}")
    for key in ("task.name", "backbone.name", "attention.name", "data.protocol"):
        if not isinstance(value := _at(config, key), str) or not re.fullmatch(r"[A-Za-z0-9_-]+", value):
            raise ConfigurationError(f"{key}={value}: expected a name")
    _at_least("seed", config.get("seed"), 0)
    _at_least("data.buckets", config["data"].get("buckets", 1), 1)  # old records have none
    for key in ("data.validation_examples", "data.test_examples"):
        if (value := _at(config, key)) is not None:
            _at_least(key, value, 1)


def _expect_plain(config: Any) -> None:
    """Check that a configuration from disk holds plain values alone: no interpolation, no word of Hydra's own."""
    if not isinstance(config, dict):
        raise ConfigurationError(f"{type(config).__name__}: expected a configuration")
    left: list[tuple[str, Any]] = [("", config)]
    while left:
        path, value = left.pop()
        if path.count(".") > _DEEPEST:
            raise ConfigurationError(f"{path}: nested deeper than {_DEEPEST} levels")
        for key in value if isinstance(value, dict) else ():
            if not isinstance(key, str) or (key[:1] == "_" and key not in ("_target_", "_partial_")):
                raise ConfigurationError(f"{path}.{key}: no such key in a stored configuration")
            if "${" in key or "." in key:
                raise ConfigurationError(f"{path}.{key}: expected a plain key")
        if isinstance(value, (dict, list)):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            left += [(f"{path}.{key}" if path else str(key), item) for key, item in items]
        elif isinstance(value, str) and ("${" in value or value == "???"):
            raise ConfigurationError(f"{path}={value}: expected a plain value")
        elif isinstance(value, float) and not math.isfinite(value):
            raise ConfigurationError(f"{path}={value}: expected a finite number")
        elif not isinstance(value, (str, int, float, type(None))):
            raise ConfigurationError(f"{path}={value!r}: expected a plain value")


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
    """Return overrides as Hydra wants them: a key that a node does not have yet takes "++" before it.

    Raises ConfigurationError on a value that Hydra's grammar cannot read, and on an experiment that is more than
    plain values.
    """
    free = re.compile(rf"\+*(?=({'|'.join(map(re.escape, _FREE))})[.=])")
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or key.startswith("-"):  # a flag of Hydra's, or its value
            continue
        if not _parses(override):
            raise ConfigurationError(f"{override}: {_quoting(key, value)}")
        if key.lstrip("+") == "experiment":
            _check_experiments(value)
    return [free.sub("++", override, count=1) if free.match(override) else override for override in overrides]


def _parses(override: str) -> bool:
    try:
        OverridesParser.create().parse_overrides([override])
    except HydraException:
        return False
    return True


def _quoting(key: str, value: str) -> str:
    mark = "'" if '"' in value else '"'
    quoted = f"{key}={mark}{value}{mark}"
    if _parses(quoted):
        return f"this value wants quotes for Hydra, and these quotes for the shell: {shlex.quote(quoted)}"
    return "expected KEY=VALUE in Hydra's grammar"


def _check_experiments(value: str) -> None:
    """Check the files of configs/experiment that a value of `experiment` names: they may be anybody's.

    Their constructors are checked with the whole configuration.
    """
    named = options("experiment") if "glob(" in value else re.split(r"[^\w./-]+", value)
    for file in (CONFIGS / "experiment" / f"{name}.yaml" for name in filter(None, named)):
        if file.is_file():
            try:
                content = yaml.safe_load(file.read_text(encoding="utf-8"))
                call = re.search(r"\$\{[^.}]*:", str(content))
            except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
                raise ConfigurationError(f"{file}: not YAML: {' '.join(str(error).split())}") from None
            if isinstance(content, dict) and "hydra" in content:
                raise ConfigurationError(f"{file}: hydra: expected settings of a run alone")
            if call:
                raise ConfigurationError(f"{file}: {call[0]}...}}: expected plain values")


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
    if several := re.match(r"Ambiguous value for argument '(.*)'\n", message):
        key, _, value = several[1].partition("=")
        return f"{several[1]}: several values are for -m; as one, {_quoting(key, value)}"
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
    """Yield (path, node) for every node that names its constructor, or speaks of one."""
    if isinstance(node, dict) and {"_target_", "_partial_"} & node.keys():
        yield path, node
    if isinstance(node, (dict, list)):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _nodes(value, f"{path}.{key}" if path else str(key))


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


def _expect_node(path: str, node: Any) -> None:
    if not isinstance(node, dict) or "_target_" not in node:
        raise ConfigurationError(f"{path}={node}: expected a node with _target_")


def _bind(path: str, node: dict[str, Any]) -> None:
    """Hold a node against the constructors that may stand at its key, and the signature of the one it names."""
    place = path.rpartition(".")[2]
    target, allowed = node.get("_target_"), _constructors().get(place, ())
    if target not in allowed:
        expected = f"one of {', '.join(allowed)}" if allowed else "a plain value"
        raise ConfigurationError(f"{path}._target_={target}: expected {expected}")
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
            _expect_node(f"{path}.{key}", value)
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
    if value >= 2**63:
        raise ConfigurationError(f"{key}={value}: expected less than 2**63")


def _at(cfg: dict[str, Any], key: str) -> Any:
    node: Any = cfg
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node
