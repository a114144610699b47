"""Where curves go: Weights & Biases, online or offline, or a CSV file. A run never fails for lack of either."""

import netrc
import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytorch_lightning.loggers import CSVLogger, Logger

_SECONDS = 2.0  # to wait for the server before a run goes offline


def make_logger(
    settings: dict[str, Any], folder: Path, run: dict[str, Any], config: dict[str, Any]
) -> Logger:
    """Return the logger of a run that keeps its files in `folder`.

    Args:
        settings: the config's `logger` node: name (wandb or csv); for wandb also project, entity, mode.
        run: id, name, group, job_type and tags, as W&B calls them.
        config: what W&B shows as the configuration.
    """
    if settings["name"] == "csv":
        return CSVLogger(folder, name=None, version="csv")
    return _wandb_logger(settings, folder, run, config)


def offline_reason(mode: str) -> str:
    """Return why runs cannot or shall not go online, "" if they can; `WANDB_MODE` overrides `mode`."""
    mode = {"auto": os.environ.get("WANDB_MODE", "auto")}.get(mode, mode)
    if mode in ("offline", "disabled", "dryrun"):
        return "asked for"
    address = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))
    host, port = address.hostname or "api.wandb.ai", address.port or 443
    if mode == "online":
        return ""
    if not (os.environ.get("WANDB_API_KEY") or _key_in_netrc(host)):
        return "no API key here"
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError as error:
        return f"{host} does not answer ({error})"
    return ""


def finish(logger: Logger, summary: dict[str, Any], exit_code: int = 0) -> str:
    """Close the run; return the line that uploads it later, or its address, or "" for a CSV file."""
    if isinstance(logger, CSVLogger):
        logger.save()
        return ""
    experiment: Any = getattr(logger, "experiment")  # noqa: B009 - only WandbLogger has it, and that import is slow
    experiment.summary.update(summary)
    offline, place = experiment.offline, os.path.relpath(Path(experiment.dir).parent)
    address = "" if offline else experiment.url
    experiment.finish(exit_code=exit_code)
    if not offline:
        return f"W&B: {address}"
    return f"W&B: offline; look at it with `wandb beta leet {place}`, upload it with `wandb sync {place}`"


def _wandb_logger(
    settings: dict[str, Any], folder: Path, run: dict[str, Any], config: dict[str, Any]
) -> Logger:
    os.environ.setdefault(
        "WANDB_SILENT", "true"
    )  # its notes repeat on every run; `finish` returns the one that matters
    os.environ.setdefault(
        "WANDB_DATA_DIR", str(folder / "wandb")
    )  # else artifacts are staged in the home folder
    import wandb
    from pytorch_lightning.loggers import WandbLogger

    folder.mkdir(parents=True, exist_ok=True)
    # Begun here, not by Lightning, which passes a setting that wandb warns of.
    experiment = wandb.init(
        project=settings["project"],
        entity=settings["entity"],
        dir=folder,
        mode="offline" if offline_reason(settings["mode"]) else "online",
        config=config,
        resume="allow",
        settings=wandb.Settings(silent=True, console="off", x_disable_machine_info=True),
        **run,
    )
    experiment.define_metric("trainer/global_step")
    experiment.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    return WandbLogger(experiment=experiment, id=run["id"])


def _key_in_netrc(host: str) -> bool:
    try:
        return netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
