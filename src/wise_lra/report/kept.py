"""What a run left besides its record: its folder's predictions, curves in W&B, and weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from wise_lra.configuration import stored
from wise_lra.results.predictions import PREDICTIONS, Predictions
from wise_lra.results.reading import one_line
from wise_lra.results.record import Record

WEIGHTS = Path("checkpoints", "best.ckpt")


@dataclass(frozen=True)
class Kept:
    """A record with its run's folder, None where that is not on this machine, and the predictions in it.

    `trouble` says why predictions that are there are not taken, "" where none are there or all is well.
    """

    record: Record
    folder: Path | None = None
    predictions: Predictions | None = None
    trouble: str = ""

    @property
    def name(self) -> str:
        """The run as its path has it: "quick/text/vanilla/softmax/seed0"."""
        return self.record.path("").with_suffix("").as_posix()

    @property
    def weights(self) -> bool:
        """Whether its best checkpoint is there."""
        return self.folder is not None and (self.folder / WEIGHTS).is_file()

    def curves(self, project: str) -> tuple[str, str]:
        """Return the address of its curves in W&B and a word on them; `project` is ENTITY/PROJECT, or ""."""
        if self.record.wandb_id is None:
            return "", "not logged to W&B (logger=csv)"
        if project:
            return (
                f"https://wandb.ai/{quote(project)}/runs/{quote(self.record.wandb_id)}",
                self.record.wandb_id,
            )
        online = self.folder is not None and any(self.folder.glob("wandb/run-*"))
        where = "online" if online else "offline"
        return "", f"{self.record.wandb_id}, logged {where}; WANDB=ENTITY/PROJECT makes this a link"


def keep(records: Sequence[Record], runs: Path) -> list[Kept]:
    """Return the records with what their folders under `runs` hold; a broken file is named, not fatal."""
    return [_kept(record, record.path(runs).with_suffix("")) for record in records]


def without(folder: Path, error: Exception) -> str:
    """Return an error without the place of a run's folder on this machine: the page is for others, too."""
    return one_line(error).replace(f"{folder}/", "")


def _kept(record: Record, folder: Path) -> Kept:
    if not folder.is_dir():
        return Kept(record)
    try:
        found = Predictions.read(folder / PREDICTIONS)
        classes = stored(record.config, record.path(""), "task").task.classes
    except FileNotFoundError:
        return Kept(record, folder)
    except (ValueError, OSError) as error:
        return Kept(record, folder, trouble=f"cannot be read: {without(folder, error)}")
    if found.probability.shape[1] != classes:
        said = f"{PREDICTIONS} is of {found.probability.shape[1]} classes, the task has {classes}"
        return Kept(record, folder, trouble=said)
    told = record.metrics["test_accuracy"], record.metrics["test_examples"]
    if (found.accuracy, len(found.label)) != told:
        return Kept(record, folder, trouble=f"{PREDICTIONS} is of another run than the record")
    return Kept(record, folder, found)
