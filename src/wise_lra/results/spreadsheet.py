"""Tables as one long CSV: results/TABLE.csv, a line a cell, for plots and other programs."""

import csv
import io
import re
from collections.abc import Sequence
from itertools import zip_longest

from wise_lra.results.columns import Column
from wise_lra.results.statistics import Interval
from wise_lra.results.tables import Cell, Table

Value = str | int | None

_AXES = ("preset", "task", "variant", "backbone", "attention")
_RESULT = ("seeds", "accuracy", "low", "high", "interval", "at_chance", "majority", "dirty")
_PUBLISHED = ("published", "published_source", "difference")
_GAIN = ("gain", "gain_low", "gain_high", "gain_seeds")  # over vanilla, at equal seeds
_COST = ("parameters", "seconds", "tokens_per_second", "peak_memory_bytes")
_SETTING = ("steps", "batch_size", "length", "protocol", "data_sha256")
_FORMULA = re.compile(r"[=@\t\r\n＝＋－＠]|[+-](?!\d+(\.\d+)?\Z)")  # noqa: RUF001
FIELDS = (*_AXES, *_RESULT, *_PUBLISHED, *_GAIN, *_COST, *_SETTING)


def to_csv(tables: Sequence[Table]) -> str:
    """Return the cells that hold runs; accuracies in per cent, empty where there is none."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, FIELDS, lineterminator="\n")
    writer.writeheader()
    for table in tables:
        for row in table.rows:
            for column, majority, cell in zip_longest(table.columns, table.majority, row.cells):
                if cell.ours:
                    axes = {"preset": table.preset, "backbone": row.backbone, "attention": row.attention}
                    values = axes | _numbers(cell.ours, cell, majority) | _place(column)
                    writer.writerow({field: _no_formula(value) for field, value in values.items()})
    return buffer.getvalue()


def _no_formula(value: Value) -> Value:
    """Return a text that a spreadsheet would take for a formula with an apostrophe before it; numbers stay."""
    if isinstance(value, str) and _FORMULA.match(value):
        return f"'{value}"
    return value


def _numbers(ours: Interval, cell: Cell, majority: float | None) -> dict[str, Value]:
    other = cell.published
    return {
        "seeds": ours.n,
        "accuracy": _per_cent(ours.mean),
        "low": _per_cent(ours.low),
        "high": _per_cent(ours.high),
        "interval": ours.method,
        "at_chance": int(cell.at_chance),
        "majority": _per_cent(majority),
        "dirty": int(cell.dirty),
        "published": _per_cent(other.accuracy) if other else None,
        "published_source": other.source if other else None,
        "difference": _per_cent(cell.difference),
        **_gain(cell.gain),
        "parameters": cell.parameters,
        "seconds": _rounded(cell.seconds),
        "tokens_per_second": _rounded(cell.tokens_per_second),
        "peak_memory_bytes": cell.peak_memory,
    }


def _gain(gain: Interval | None) -> dict[str, Value]:
    if gain is None:
        return {}
    ends = {"gain_low": _per_cent(gain.low), "gain_high": _per_cent(gain.high)} if gain.n > 1 else {}
    return {"gain": _per_cent(gain.mean), **ends, "gain_seeds": gain.n}


def _place(column: Column | None) -> dict[str, Value]:
    if column is None:
        return {"task": "average"}
    record = column.records[0]
    return {
        "task": column.task,
        "variant": column.variant,
        "steps": record.budget["steps"],
        "batch_size": record.budget["batch_size"],
        "length": record.data["length"],
        "protocol": record.protocol,
        "data_sha256": record.data["sha256"],
    }


def _per_cent(share: float | None) -> str | None:
    return None if share is None else _rounded(100 * share)


def _rounded(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"
