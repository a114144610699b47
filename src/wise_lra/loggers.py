"""Loggers of a run: Weights & Biases, online or offline, or a CSV file. None of them can fail or delay a run."""

import csv
import io
import logging
import netrc
import os
import shlex
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger

from wise_lra.config import wandb_mode, wandb_project
from wise_lra.results import spreadsheet, tables
from wise_lra.results.published import read_published
from wise_lra.results.reading import one_line
from wise_lra.results.record import Record, read_all

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
_TEXTS = (
    *("preset", "task", "variant", "backbone", "attention"),
    *("interval", "published_source", "protocol", "data_sha256"),
)  # columns of the comparison table that hold no number


def csv_logger(folder: Path, run: dict[str, Any], config: dict[str, Any], **settings: Any) -> Logger:
    """Return a logger that writes csv/metrics.csv in the run folder; see `wandb_logger` for the arguments."""
    return CSVLogger(folder, name=None, version="csv")


def wandb_logger(
    folder: Path, run: dict[str, Any], config: dict[str, Any], **settings: Any
) -> "TolerantWandbLogger | None":
    """Return the W&B logger of a run, None where W&B is disabled or cannot start at all.

    Where W&B cannot go online the run is offline. The reason is logged once.

    Args:
        folder: the run folder, where W&B keeps its files.
        run: id, name, group, job_type and tags, as W&B calls them.
        config: what W&B shows as the configuration.
        settings: project, entity, mode and patience of the config's `logger` node.
    """
    if (mode := wandb_mode(settings["mode"])) == "disabled":
        return None
    reason = offline_reason(mode)
    if not reason:
        before = _online(folder)
        try:
            return _started(settings, folder, run, config, offline=False)
        except Exception as error:  # an odd server or an invalid key makes W&B raise anything
            reason = f"the server refuses this run: {_text(error)}"
            forget_wandb()
            for empty in _online(folder) - before:
                shutil.rmtree(empty, ignore_errors=True)
    if reason != ASKED:
        log.warning("W&B: offline, because %s", reason)
    try:
        return _started(settings, folder, run, config, offline=True)
    except Exception as error:
        log.warning("W&B cannot start, the curves are in the record alone: %s", _text(error))
        return None


def offline_reason(mode: str) -> str:
    """Return why runs cannot or shall not go online, "" if they can; `mode` is one of `wandb_mode`'s."""
    if mode in ("offline", "disabled"):
        return ASKED
    if mode == "online":  # key and network are not checked: there are proxies, and keys in other places
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


class TolerantWandbLogger(WandbLogger):
    """W&B's logger, but no error of W&B ends the run.

    What W&B raises, on a full disk or once its service is gone, is logged once; then nothing more is sent. A lost
    network raises nothing: W&B keeps everything on disk, and `close` waits no longer than `patience`.

    Args:
        experiment: what `wandb.init` returned.
        task: the name under which the task's section of the workspace finds its values.
        offline: whether the run is offline.
    """

    def __init__(self, experiment: Any, id: str, task: str, offline: bool) -> None:
        super().__init__(experiment=experiment, id=id)
        self.task, self.offline, self.lost = task, offline, ""

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Send a step's values."""
        self._attempt(lambda: super(TolerantWandbLogger, self).log_metrics(self._twice(metrics), step))

    def log_rows(self, key: str, columns: list[Any], rows: list[list[Any]]) -> None:
        """Send a table."""
        import wandb

        self._attempt(lambda: self.experiment.log({key: wandb.Table(columns, rows)}))

    def log_file(self, kind: str, name: str, path: Path, facts: Mapping[str, Any]) -> None:
        """Send a copy of a file as the artifact `kind`-<run id>, under `name` there, with `facts` about it."""
        import wandb

        def send() -> None:
            artifact = wandb.Artifact(f"{kind}-{self.version}", type=kind, metadata=dict(facts))
            artifact.add_file(str(path), name=name)
            self.experiment.log_artifact(artifact)

        self._attempt(send)

    def close(self, summary: Mapping[str, Any], exit_code: int) -> str:
        """End the run; return a line that says where it is, "" if W&B was lost."""
        folder = Path(os.path.relpath(Path(self.experiment.dir).parent))
        later = f"look at it with `wandb leet {shlex.quote(str(folder))}`, upload it with `make wandb-sync`"
        self._attempt(lambda: self.experiment.summary.update(self._twice(summary)))
        try:
            with _quiet_logging():
                self.experiment.finish(exit_code=exit_code)
        except TimeoutError:
            with suppress(OSError):
                (folder / UNSENT).touch()
            return f"W&B: the server stopped answering; {later}"
        except Exception as error:
            self._lose(error)
        if self.lost:
            return ""
        return f"W&B: offline; {later}" if self.offline else f"W&B: {self.experiment.url}"

    def _twice(self, values: Mapping[str, Any]) -> dict[str, Any]:
        shown = [name for name in values if name.startswith(IN_SECTION)]
        return dict(values) | {f"{self.task}/{name}": values[name] for name in shown}

    def _attempt(self, send: Callable[[], Any]) -> None:
        if self.lost:
            return
        try:
            send()
        except Exception as error:  # W&B's own, the system's, a broken pipe to its service
            self._lose(error)

    def _lose(self, error: Exception) -> None:
        if not self.lost:
            self.lost = _text(error)
            log.warning("W&B takes no more of this run, which goes on without it: %s", self.lost)


def finish(logger: Logger | None, summary: dict[str, Any], exit_code: int = 0) -> str:
    """Close the run; return the line that uploads it later, or its address, or ""."""
    if isinstance(logger, CSVLogger):
        logger.save()
    return logger.close(summary, exit_code) if isinstance(logger, TolerantWandbLogger) else ""


def publish(
    logger: TolerantWandbLogger, record: Record, records: Path, checkpoint: Path, published: Path
) -> None:
    """Send the comparison table, the record and the best weights to W&B. It never fails a run.

    Args:
        records: folder of records, with this one in it.
        checkpoint: the best one; only its weights are sent: a third of it, and free of this machine's paths.
        published: folder of published numbers.
    """
    facts = {"test_accuracy": record.metrics["test_accuracy"], "steps": record.metrics["best_step"]}
    facts |= {"commit": record.commit, "data_sha256": record.data["sha256"]}
    try:
        logger.log_rows(TABLE, *_comparison(records, record.preset, published))
        logger.log_file("record", "record.json", record.path(records), facts)
        with tempfile.TemporaryDirectory() as folder:
            weights = Path(folder) / "best.ckpt"
            state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
            torch.save({"state_dict": state}, weights)
            logger.log_file("model", weights.name, weights, facts)
    except (ValueError, OSError) as error:  # another run's record that is broken, a disk that is full
        log.warning("W&B gets no table or artifacts of this run: %s", error)


def _comparison(records: Path, preset: str, published: Path) -> tuple[list[str], list[list[Any]]]:
    """Return columns and rows of a preset as results/TABLE.csv has them: texts, and numbers or None."""
    faults: list[str] = []
    own = [record for record in read_all(records, faults) if record.preset == preset]
    for fault in faults:
        log.warning("left out of the comparison in W&B: %s", fault)
    table = spreadsheet.to_csv([tables.build(own, read_published(published), preset)])
    columns = list(spreadsheet.FIELDS)
    return columns, [
        [row[name] if name in _TEXTS else float(row[name]) if row[name] else None for name in columns]
        for row in csv.DictReader(io.StringIO(table))
    ]


def forget_wandb() -> None:
    """End W&B's service, which takes a run that could not start for one that is in use."""
    import wandb

    with _quiet_logging(), suppress(Exception):  # it may have ended already
        wandb.teardown()


@contextmanager
def _quiet_logging() -> Iterator[None]:
    """Keep W&B's own log from printing a page of errors for every line that a full disk refuses."""
    before, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        yield
    finally:
        logging.raiseExceptions = before


def _started(
    settings: dict[str, Any], folder: Path, run: dict[str, Any], config: dict[str, Any], offline: bool
) -> TolerantWandbLogger:
    """Begin a run of W&B. Raises what W&B raises."""
    for name, value in {
        "WANDB_SILENT": "true",  # its notes repeat on every run; `finish` returns the one that matters
        "WANDB_ERROR_REPORTING": "false",  # else it reports on itself, and says so where that fails
        "WANDB_DATA_DIR": str(folder / "wandb"),  # else artifacts are staged in the home folder
    }.items():
        os.environ.setdefault(name, value)
    import wandb  # here, not above: it takes a second

    folder.mkdir(parents=True, exist_ok=True)
    with _quiet_logging():
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
    return TolerantWandbLogger(experiment, run["id"], run["job_type"], offline)


def _online(folder: Path) -> set[Path]:
    return set(folder.glob("wandb/run-*"))


def _text(error: BaseException) -> str:
    return one_line(f"{type(error).__name__}: {error}")


def _key_in_netrc(host: str) -> bool:
    try:
        return netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
