"""The configuration of a run: composed by Hydra from configs/, and checked; mistakes are explained in one line."""

import difflib
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from wise_lra import checks
from wise_lra.checks import FREE
from wise_lra.constructors import CONFIGS as CONFIGS
from wise_lra.constructors import ConfigurationError
from wise_lra.data.sources import allowed


def compose(overrides: Sequence[str]) -> DictConfig:
    """Return the checked configuration of one run.

    Raises ConfigurationError, with one message for the user, on an unknown key or option, a missing or mistyped
    argument, and sizes that do not fit together.
    """
    cfg = composed(overrides)
    check(cfg)
    return cfg


def check(cfg: DictConfig) -> None:
    """Raise ConfigurationError if a run of this configuration could not even be built."""
    try:
        checks.check(cfg)
    except OmegaConfBaseException as error:
        raise ConfigurationError(f"{error.full_key}: {str(error).splitlines()[0]}") from None
    if cfg.logger.name == "wandb":
        wandb_project(cfg.logger.project)
        wandb_mode(cfg.logger.mode)


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


def wandb_project(setting: Any = None) -> str:
    """Return the W&B project: the setting, else WANDB_PROJECT, else wise-lra.

    Raises ConfigurationError on a name that W&B forbids.
    """
    name = str(setting or os.environ.get("WANDB_PROJECT") or "wise-lra")
    if len(name) > 128 or set(name) & set("/\\#?%:"):
        source = "logger.project" if setting else "WANDB_PROJECT"
        raise ConfigurationError(
            f"{source}={name}: expected at most 128 characters, none of them / \\ # ? % :"
        )
    return name


def wandb_mode(setting: str = "auto") -> str:
    """Return online, offline, disabled or auto: the setting, else WANDB_MODE.

    Raises ConfigurationError on a value of WANDB_MODE that W&B does not know.
    """
    mode = os.environ.get("WANDB_MODE") or "auto"
    known = {"dryrun": "offline", "run": "online", "shared": "online"}  # W&B's other names
    if setting != "auto":
        return setting
    if mode not in ("auto", "online", "offline", "disabled", *known):
        raise ConfigurationError(f"WANDB_MODE={mode}: expected online, offline or disabled")
    return known.get(mode, mode)


def composed(overrides: Sequence[str]) -> DictConfig:
    """Return a configuration as Hydra composes it, not checked. Raises ConfigurationError where Hydra cannot."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        try:
            return hydra_compose("train", overrides=opened(overrides))
        except (HydraException, OmegaConfBaseException, ValueError, RecursionError) as error:
            raise ConfigurationError(explained(error, overrides)) from None


def preparation(cfg: DictConfig) -> dict[str, Any]:
    """Return the keyword arguments of `prepare` for a run."""
    data = plain_dict(cfg)["data"]
    same = {key: data[key] for key in ("source", "protocol", "generated", "standin", "seed")}
    paths = {key: Path(data[key]) if data[key] else None for key in ("root", "archives", "release")}
    return {"task": instantiate(cfg.task), **same, **paths}


def preparations(
    tasks: Iterable[str], preset: str, overrides: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """Return the keyword arguments of `prepare` for each of these tasks and a preset.

    Raises ConfigurationError on an unknown task, preset or override, and on a source that some of them do not have.
    """
    asked = {task: preparation(compose([f"task={task}", f"preset={preset}", *overrides])) for task in tasks}
    if lacking := [task for task, settings in asked.items() if settings["source"] not in allowed(task)]:
        others = ",".join(task for task in asked if task not in lacking)
        raise ConfigurationError(
            f"data.source={asked[lacking[0]]['source']}: {', '.join(lacking)} cannot be generated; "
            + (f"leave them out (TASKS={others}), or " if others else "")
            + f"take another of {', '.join(allowed(lacking[0]))}"
        )
    return asked


def opened(overrides: Sequence[str]) -> list[str]:
    """Return overrides as Hydra wants them: a key that a node does not have yet takes "++" before it.

    Raises ConfigurationError on a value that Hydra's grammar cannot read, and on an experiment that is more than
    plain values.
    """
    free = re.compile(rf"\+*(?=({'|'.join(map(re.escape, FREE))})[.=])")
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
                call = re.search(r"\$\{[^}]*:", str(content))
            except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
                raise ConfigurationError(f"{file}: not YAML: {' '.join(str(error).split())}") from None
            if isinstance(content, dict) and "hydra" in content:
                raise ConfigurationError(f"{file}: hydra: expected settings of a run alone")
            if call:
                raise ConfigurationError(f"{file}: {call[0]}...}}: expected plain values")


def explained(error: Exception, overrides: Sequence[str]) -> str:
    """Return an error of Hydra's as one line that names key, value and what was expected."""
    message = str(error)
    if unknown := re.search(r"Could not override '([^'@]+)", message):
        key = unknown[1]
        known = _keys(plain_dict(_defaults(), resolve=False))
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


def _defaults() -> DictConfig:
    if GlobalHydra.instance().is_initialized():
        return hydra_compose("train")
    return composed([])


def _given(key: str, overrides: Sequence[str]) -> str:
    return next((text for text in overrides if text.lstrip("+~").startswith(f"{key}=")), key)


def _groups() -> list[str]:
    return sorted(path.name for path in CONFIGS.iterdir() if path.is_dir() and path.name != "hydra")


def _keys(node: dict[str, Any], prefix: str = "") -> list[str]:
    keys = []
    for key, value in node.items():
        keys.append(f"{prefix}{key}")
        if isinstance(value, dict):
            keys += _keys(value, f"{prefix}{key}.")
    return keys
