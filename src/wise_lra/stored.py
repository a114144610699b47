"""Stored configurations: what a record or run of anybody holds, checked before a model is built from it."""

import math
import re
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from wise_lra.checks import (
    WHOLE,
    WHOLE_OR_NULL,
    ConfigurationError,
    at,
    bind,
    expect_node,
    expect_whole,
    nodes,
)

_DEEPEST = 20  # levels of a stored configuration


def stored(config: Any, file: Path | str, only: str = "") -> DictConfig:
    """Return the configuration that a record or a run's config.json holds, checked: anybody may have written it.

    It holds plain values, and nodes with the constructors that `bind` allows. Nothing is instantiated or resolved
    before all of it is checked. `only` takes one node, as "task". Raises ConfigurationError naming file and key.
    """
    try:
        _expect_plain(config)
        if only:
            config = {only: config.get(only)}
        for key in [only] if only else ("model", "task", "recipe"):
            expect_node(key, at(config, key))
        for path, node in nodes(config):
            bind(path, node)
        if not only:
            _check_facts(config)
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: {error}") from None
    checked = OmegaConf.create(config)
    assert isinstance(checked, DictConfig)
    return checked


def _check_facts(config: dict[str, Any]) -> None:
    """Check what is read of a stored configuration beside what its constructors take."""
    for name in ("vocabulary", "length", "classes", "documents"):
        if (value := at(config, f"model.{name}")) != at(config, f"task.{name}"):
            raise ConfigurationError(f"model.{name}={value}: expected task.{name}")
    for key in ("task.name", "backbone.name", "attention.name", "data.protocol"):
        if not isinstance(value := at(config, key), str) or not re.fullmatch(r"[A-Za-z0-9_-]+", value):
            raise ConfigurationError(f"{key}={value}: expected a name")
    for key in ("seed", "data.validation_examples", "data.test_examples", "data.buckets"):
        if key != "data.buckets" or "buckets" in config["data"]:  # old records have none
            expect_whole(key, at(config, key), *(WHOLE | WHOLE_OR_NULL)[key], null=key in WHOLE_OR_NULL)


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
