"""What Weights & Biases gets of a recorded run: the comparison as it stands then, the record, the weights."""

import csv
import io
import logging
import tempfile
from pathlib import Path
from typing import Any

import torch

from wise_lra.results import spreadsheet, tables
from wise_lra.results.published import read_published
from wise_lra.results.record import Record, read_all
from wise_lra.tracking import TABLE

log = logging.getLogger(__name__)

_WORDS = (
    *("preset", "task", "variant", "backbone", "attention"),
    *("interval", "published_source", "protocol", "data_sha256"),
)


def publish(logger: Any, record: Record, records: Path, checkpoint: Path, published: Path) -> None:
    """Send table and artifacts to a `wandb_logger.LastingLogger`; never fails a run, whose record is written.

    Args:
        records: folder of records, with this one in it.
        checkpoint: the best one; its weights alone are sent, a third of it and free of this machine's paths.
        published: folder of published numbers.
    """
    facts = {"test_accuracy": record.metrics["test_accuracy"], "steps": record.metrics["best_step"]}
    facts |= {"commit": record.commit, "data_sha256": record.data["sha256"]}
    try:
        columns, rows = comparison(records, record.preset, published)
        logger.log_rows(TABLE, columns, rows)
        logger.log_file("record", "record.json", record.path(records), facts)
        with tempfile.TemporaryDirectory() as folder:
            weights = Path(folder) / "best.ckpt"
            state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
            torch.save({"state_dict": state}, weights)
            logger.log_file("model", weights.name, weights, facts)
    except (ValueError, OSError) as error:  # a neighbour's record that is broken, a disk that is full
        log.warning("W&B gets no table or artifacts of this run: %s", error)


def comparison(records: Path, preset: str, published: Path) -> tuple[list[str], list[list[Any]]]:
    """Return columns and rows of a preset as results/TABLE.csv has them: texts, and numbers or None."""
    faults: list[str] = []
    own = [record for record in read_all(records, faults) if record.preset == preset]
    for fault in faults:
        log.warning("left out of the comparison in W&B: %s", fault)
    table = tables.build(own, read_published(published), preset)
    rows = csv.DictReader(io.StringIO(spreadsheet.to_csv([table])))
    columns = list(spreadsheet.FIELDS)
    return columns, [[_value(name, row[name]) for name in columns] for row in rows]


def _value(name: str, text: str) -> Any:
    if name in _WORDS:
        return text
    return float(text) if text else None
