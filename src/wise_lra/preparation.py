"""What `prepare` is asked for, out of a configuration; without Lightning, so that bad news comes within seconds."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from wise_lra.config import ConfigurationError, compose, plain_dict
from wise_lra.data.sources import allowed


def preparations(
    tasks: Iterable[str], preset: str, overrides: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """Return the keyword arguments of `prepare` for each of these tasks and a preset.

    Raises ConfigurationError on an unknown task, preset or override, and on a source that some of them do not have.
    """
    found = {task: preparation(compose([f"task={task}", f"preset={preset}", *overrides])) for task in tasks}
    if lacking := [task for task, asked in found.items() if asked["source"] not in allowed(task)]:
        kept = ",".join(task for task in found if task not in lacking)
        raise ConfigurationError(
            f"data.source={found[lacking[0]]['source']}: {', '.join(lacking)} cannot be generated; "
            + (f"leave them out (TASKS={kept}), or " if kept else "")
            + f"take another of {', '.join(allowed(lacking[0]))}"
        )
    return found


def preparation(cfg: DictConfig) -> dict[str, Any]:
    """Return the keyword arguments of `prepare` for a run."""
    data = plain_dict(cfg)["data"]
    same = {key: data[key] for key in ("source", "protocol", "generated", "standin", "seed")}
    places = {key: Path(data[key]) if data[key] else None for key in ("root", "archives", "release")}
    return {"task": instantiate(cfg.task), **same, **places}
