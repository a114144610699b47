"""Weights & Biases as a run uses it. Apart from `tracking`, for it imports W&B, which takes a second."""

import logging
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import wandb
from pytorch_lightning.loggers import WandbLogger

from wise_lra.tracking import IN_SECTION, UNSENT, one_line, unhindered

log = logging.getLogger(__name__)


class LastingLogger(WandbLogger):
    """W&B's logger for a run that goes on whatever becomes of W&B.

    What W&B raises, on a full disk or once its service is gone, is said once; from then on nothing is sent. A
    network that is lost raises nothing: W&B keeps all on disk, and `close` waits no longer than it was told to.

    Args:
        task: the name under which its section of the workspace finds what it shows.
        offline: that the run is not online.
    """

    def __init__(self, experiment: Any, id: str, task: str, offline: bool) -> None:
        super().__init__(experiment=experiment, id=id)
        self.task, self.offline, self.lost = task, offline, ""

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Send a step's values."""
        self._attempt(lambda: super(LastingLogger, self).log_metrics(self._twice(metrics), step))

    def log_rows(self, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Send a table."""
        self._attempt(lambda: self.experiment.log({key: wandb.Table(list(columns), [list(r) for r in rows])}))

    def log_file(self, kind: str, name: str, path: Path, facts: Mapping[str, Any]) -> None:
        """Send a copy of a file as the artifact `kind`-<run id>, under `name` there, with `facts` about it."""

        def send() -> None:
            artifact = wandb.Artifact(f"{kind}-{self.version}", type=kind, metadata=dict(facts))
            artifact.add_file(str(path), name=name)
            self.experiment.log_artifact(artifact)

        self._attempt(send)

    def close(self, summary: Mapping[str, Any], exit_code: int) -> str:
        """End the run; return a line that says where it is."""
        place = Path(os.path.relpath(Path(self.experiment.dir).parent))
        later = f"look at it with `wandb leet {shlex.quote(str(place))}`, upload it with `make wandb-sync`"
        self._attempt(lambda: self.experiment.summary.update(self._twice(summary)))
        try:
            with unhindered():
                self.experiment.finish(exit_code=exit_code)
        except TimeoutError:
            with suppress(OSError):
                (place / UNSENT).touch()
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
            self.lost = one_line(error)
            log.warning("W&B takes no more of this run, which goes on without it: %s", self.lost)
