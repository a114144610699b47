"""Where curves go: Weights & Biases, online or offline, or a CSV file. No run fails or waits for lack of either."""

import logging
import netrc
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard
from urllib.parse import urlsplit

from pytorch_lightning.loggers import CSVLogger, Logger

from wise_lra.configuration import wandb_mode, wandb_project

if TYPE_CHECKING:
    from wise_lra.wandb_logger import LastingLogger

log = logging.getLogger(__name__)

ASKED = "it was asked for"
UNSENT = "unsent"  # a file in the folder of an online run that was not sent as a whole
TABLE = "comparison"  # the key of the comparison table
IN_SECTION = (
    *("validation/accuracy", "gradients/total", "tokens_per_second", "wavelets/"),
    *("test_accuracy", "seconds_total"),
)
"""What a run logs under its task's name too, for that task's section of the workspace; names or beginnings."""

_SECONDS = 2.0  # to wait for the server before a run goes offline
_START = 15.0  # seconds that a server which answers has to open the run


def make_logger(
    settings: dict[str, Any], folder: Path, run: dict[str, Any], config: dict[str, Any]
) -> Logger | None:
    """Return the logger of a run that keeps its files in `folder`.

    Where W&B cannot go online the run is kept offline; where it cannot start at all, there is none. Either is said
    once. Where it is disabled there is none.

    Args:
        settings: the config's `logger` node: name (wandb or csv); for wandb also project, entity, mode, patience.
        run: id, name, group, job_type and tags, as W&B calls them.
        config: what W&B shows as the configuration.
    """
    if settings["name"] == "csv":
        return CSVLogger(folder, name=None, version="csv")
    if (mode := wandb_mode(settings["mode"])) == "disabled":
        return None
    reason = offline_reason(mode)
    if not reason:
        before = _online(folder)
        try:
            return _wandb_logger(settings, folder, run, config, offline=False)
        except (
            Exception
        ) as error:  # what an odd server or a key that is none makes W&B raise is without limit
            reason = f"the server refuses this run: {one_line(error)}"
            forget_wandb()
            for empty in _online(folder) - before:
                shutil.rmtree(empty, ignore_errors=True)
    if reason != ASKED:
        log.warning("W&B: offline, because %s", reason)
    try:
        return _wandb_logger(settings, folder, run, config, offline=True)
    except Exception as error:
        log.warning("W&B cannot start, the curves are in the record alone: %s", one_line(error))
        return None


def offline_reason(mode: str) -> str:
    """Return why runs cannot or shall not go online, "" if they can; `mode` is one of `wandb_mode`'s."""
    if mode in ("offline", "disabled"):
        return ASKED
    if mode == "online":  # no look at key and network: there are proxies, and keys in other places
        return ""
    address = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))
    host = address.hostname or "api.wandb.ai"
    port = address.port or {"http": 80}.get(address.scheme, 443)
    if not (os.environ.get("WANDB_API_KEY") or _key_in_netrc(host)):
        return "there is no API key here"
    try:
        socket.create_connection((host, port), timeout=_SECONDS).close()
    except OSError as error:
        return f"{host} does not answer ({error})"
    return ""


def finish(logger: Logger | None, summary: dict[str, Any], exit_code: int = 0) -> str:
    """Close the run; return the line that uploads it later, or its address, or "" where nothing is to be said."""
    if isinstance(logger, CSVLogger):
        logger.save()
    return str(logger.close(summary, exit_code)) if is_wandb(logger) else ""


def is_wandb(logger: Any) -> TypeGuard["LastingLogger"]:
    """Tell W&B's logger from the others without importing W&B."""
    return hasattr(logger, "offline")


def one_line(error: BaseException) -> str:
    """Return what an error says, in a line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def forget_wandb() -> None:
    """End W&B's service, which takes a run that could not start for one that is in use."""
    import wandb

    with unhindered(), suppress(Exception):  # it may be gone
        wandb.teardown()


@contextmanager
def unhindered() -> Iterator[None]:
    """Keep W&B's own log from printing a page of errors to the terminal for every line that a full disk refuses."""
    before, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        yield
    finally:
        logging.raiseExceptions = before


def _wandb_logger(
    settings: dict[str, Any], folder: Path, run: dict[str, Any], config: dict[str, Any], offline: bool
) -> Logger:
    """Begin a run of W&B. Raises what W&B raises."""
    for name, value in {
        "WANDB_SILENT": "true",  # its notes repeat on every run; `finish` returns the one that matters
        "WANDB_ERROR_REPORTING": "false",  # else it reports on itself, and says so where that fails
        "WANDB_DATA_DIR": str(folder / "wandb"),  # else artifacts are staged in the home folder
    }.items():
        os.environ.setdefault(name, value)
    import wandb

    from wise_lra.wandb_logger import LastingLogger

    folder.mkdir(parents=True, exist_ok=True)
    with unhindered():
        # Begun here, not by Lightning, which passes a setting that wandb warns of.
        experiment = wandb.init(
            project=wandb_project(settings["project"]),
            entity=str(settings["entity"] or os.environ.get("WANDB_ENTITY") or "") or None,
            dir=folder,
            mode="offline" if offline else "online",
            config=config,
            resume="allow",
            settings=wandb.Settings(
                silent=True,
                console="off",
                x_disable_machine_info=True,
                program="scripts/train.py",  # else its absolute path
                init_timeout=_START,
                finish_timeout=settings["patience"],
                finish_timeout_raises=True,
            ),
            **run,
        )
        experiment.define_metric("trainer/global_step")
        experiment.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    return LastingLogger(experiment, run["id"], run["job_type"], offline)


def _online(folder: Path) -> set[Path]:
    return set(folder.glob("wandb/run-*"))


def _key_in_netrc(host: str) -> bool:
    try:
        return netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
