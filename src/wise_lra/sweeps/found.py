"""What a search found, as a file of configs/experiment that `experiment=` loads, with where it comes from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from wise_lra.configuration import ConfigurationError
from wise_lra.results.atomic import write_text
from wise_lra.sweeps.space import is_group, is_science

AXES = ("preset", "task", "backbone", "attention")


def expect_own(path: Path, study: str) -> None:
    """Raise ConfigurationError where another file than one found by `study` would be overwritten."""
    if not path.exists():
        return
    try:
        found = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("found", {})
    except (yaml.YAMLError, AttributeError):
        found = {}
    if found.get("study") != study:
        raise ConfigurationError(
            f"hydra.sweeper.result={path}: holds something else than the best of study {study}; name another file"
        )


def write_found(path: Path, overrides: Sequence[str], cfg: DictConfig, found: dict[str, Any]) -> None:
    """Write the experiment that `overrides` make, whole or not at all; its record will hold `found`."""
    settings: dict[str, Any] = {}
    choices = {axis: cfg[axis].name for axis in AXES}
    if choices["attention"] == "none":  # the backbone's own choice
        del choices["attention"]
    for override in filter(is_science, overrides):
        key = override.lstrip("+~").partition("=")[0]
        if is_group(key):
            continue
        value = OmegaConf.select(cfg, key)
        node = settings
        *parents, last = key.split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    content = {
        "defaults": [{f"override /{group}": choice} for group, choice in choices.items()],
        **{key: value for key, value in settings.items() if key != "seed"},
        "found": found,
    }
    head = (
        "# @package _global_\n"
        f"# The best of a search by validation accuracy. To train and test it: train.py experiment={path.stem}\n"
    )
    write_text(path, head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
