"""What a run left besides its record: predictions, the examples that it was tested on, weights, curves in W&B."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from wise_lra.config import plain_dict
from wise_lra.results.predictions import PREDICTIONS, Predictions
from wise_lra.results.reading import one_line
from wise_lra.results.record import Record
from wise_lra.stored import stored

LONGEST = 700  # characters of a document that are shown


@dataclass(frozen=True)
class Run:
    """A record with its run's folder, None where that is not on this machine, and the predictions in it.

    `classes` are the names of the classes that were predicted. `problem` says why predictions that are there are
    not taken, "" where none are there or all is well.
    """

    record: Record
    folder: Path | None = None
    predictions: Predictions | None = None
    classes: tuple[str, ...] = ()
    problem: str = ""

    @property
    def name(self) -> str:
        """The run as its path has it: "quick/text/vanilla/softmax/seed0"."""
        return self.record.path("").with_suffix("").as_posix()

    @property
    def weights(self) -> bool:
        """Whether its best checkpoint is there."""
        return self.folder is not None and (self.folder / "checkpoints" / "best.ckpt").is_file()

    @property
    def holds_bank(self) -> bool:
        """Whether its configuration gives its mixer a bank of wavelets."""
        model = self.record.config.get("model")
        mixer = model.get("mixer") if isinstance(model, dict) else None
        return isinstance(mixer, dict) and "bank" in mixer

    def curves(self, project: str) -> tuple[str, str]:
        """Return the address of its curves in W&B and a word on them; `project` is ENTITY/PROJECT, or ""."""
        name = self.record.wandb_id
        if name is None:
            return "", "not logged to W&B (logger=csv)"
        if project:
            return f"https://wandb.ai/{quote(project)}/runs/{quote(name)}", name
        online = self.folder is not None and any(self.folder.glob("wandb/run-*"))
        where = "online" if online else "offline"
        return "", f"{name}, logged {where}; WANDB=ENTITY/PROJECT makes this a link"


@dataclass(frozen=True)
class Disagreement:
    """A test example that some runs got right and others wrong; an answer is label, class and its probability."""

    example: int
    true: int
    answers: tuple[tuple[str, int, float], ...]


def read_runs(records: Sequence[Record], runs: Path) -> list[Run]:
    """Return the records with what their folders under `runs` hold; a broken file is named, not fatal."""
    return [_read(record, record.path(runs).with_suffix("")) for record in records]


def _read(record: Record, folder: Path) -> Run:
    if not folder.is_dir():
        return Run(record)
    try:
        predictions = Predictions.read(folder / PREDICTIONS)
        classes = _classes(record)
    except FileNotFoundError:
        return Run(record, folder)
    except (ValueError, OSError) as error:
        return Run(record, folder, problem=f"cannot be read: {without(folder, error)}")
    if predictions.probability.shape[1] != len(classes):
        problem = (
            f"{PREDICTIONS} is of {predictions.probability.shape[1]} classes, the task has {len(classes)}"
        )
        return Run(record, folder, problem=problem)
    recorded = record.metrics["test_accuracy"], record.metrics["test_examples"]
    if (predictions.accuracy, len(predictions.label)) != recorded:
        return Run(record, folder, problem=f"{PREDICTIONS} is of another run than the record")
    return Run(record, folder, predictions, classes)


def without(folder: Path, error: Exception) -> str:
    """Return an error without the place of a run's folder on this machine: the page is for others, too."""
    return one_line(error).replace(f"{folder}/", "")


def confusion(runs: Sequence[Run]) -> np.ndarray:
    """Return [true, predicted]: how often the runs, which all have predictions, took each class for each."""
    tables = [run.predictions for run in runs if run.predictions]
    counts = np.zeros((tables[0].probability.shape[1],) * 2, np.int64)
    for table in tables:
        np.add.at(counts, (table.label, table.predicted), 1)
    return counts


def compared(rows: dict[str, list[Run]]) -> list[tuple[str, Run]]:
    """Return label and run of each row with predictions of the same examples, of the seed that has most of them."""
    most: list[tuple[str, Run]] = []
    pairs = [(label, run) for label, runs in rows.items() for run in runs if run.predictions]
    for seed in sorted({run.record.seed for _, run in pairs}):
        own = [(label, run, run.predictions) for label, run in pairs if run.record.seed == seed]
        first = own[0][2]
        same = [(r, k) for r, k, p in own if p and first and np.array_equal(p.example, first.example)]
        most = max(most, same, key=len)
    return most


def disagreements(runs: Sequence[tuple[str, Run]], most: int) -> list[Disagreement]:
    """Return the examples that split the runs, a label and a run each, all tested on the same examples.

    Each pattern of right and wrong gives one in turn, most even split first; within a pattern the one comes first
    that the runs were surest of. So every pair of rows that differ is shown before any is shown twice.
    """
    tables = [(label, run.predictions) for label, run in runs if run.predictions]
    right = np.stack([table.predicted == table.label for _, table in tables])
    sure = np.stack([table.probability.astype(np.float64).max(axis=1) for _, table in tables]).mean(axis=0)
    patterns, member = np.unique(right, axis=1, return_inverse=True)
    share = patterns.mean(axis=0)
    order = []  # (turn of its pattern, place of the pattern, example)
    for place, index in enumerate(np.argsort(abs(share - 0.5), kind="stable")):
        members = np.flatnonzero(member.ravel() == index)
        if 0 < share[index] < 1:
            surest = members[np.argsort(-sure[members], kind="stable")]
            order += [(turn, place, example) for turn, example in enumerate(surest.tolist())]
    _, first = tables[0]
    return [
        Disagreement(
            int(first.example[i]),
            int(first.label[i]),
            tuple(
                (label, int(t.predicted[i]), float(t.probability[i, t.predicted[i]])) for label, t in tables
            ),
        )
        for _, _, i in sorted(order)[:most]
    ]


def examples(record: Record, places: Sequence[int], root: Path) -> list[tuple[str, list[str]]] | None:
    """Return test examples of a record's data: a data: address of each one's picture, or its documents.

    A document is cut to LONGEST characters. None where the data are not prepared under `root`, or have fewer.
    """
    from wise_lra.data.look import example, find  # here, because they import torch
    from wise_lra.data.packed import PackedSplit

    try:
        folder = find(root, record.data["sha256"])
        split = PackedSplit(folder, "test", _task(record)) if folder else None
    except (FileNotFoundError, ValueError):
        return None
    if split is None or not all(0 <= place < len(split) for place in places):
        return None
    return [_shown(example(split, place)) for place in places]


def _shown(example: Any) -> tuple[str, list[str]]:
    if isinstance(example, list):
        return "", [t if len(t) <= LONGEST else f"{t[:LONGEST].rstrip()} …" for t in example]
    content = io.BytesIO()
    example.save(content, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}", []


def _classes(record: Record) -> tuple[str, ...]:
    from wise_lra.data.look import class_names

    return class_names(_task(record), record.variant)


def _task(record: Record) -> Any:
    """Return the facts of a run's task. Raises ValueError where its configuration has none."""
    from wise_lra.data.task import Task

    facts = plain_dict(stored(record.config, record.path(""), "task"))["task"]
    return Task(**{key: value for key, value in facts.items() if key != "_target_"})
