"""Tables as one long CSV: results/TABLE.csv, a line a cell, for plots and other programs."""

import csv
import io
import re
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from wise_lra.results.columns import Column
from wise_lra.results.tables import MEASURES, Cell, Row, Table

_FORMULA = re.compile(r"[=@\t\r\n＝＋－＠]|[+-](?!\d+(\.\d+)?\Z)")  # noqa: RUF001


def to_csv(tables: Sequence[Table]) -> str:
    """Return the cells that hold runs; accuracies in per cent, empty where there is none."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, FIELDS, lineterminator="\n")
    writer.writeheader()
    for table in tables:
        for row in table.rows:
            for column, majority, cell in zip_longest(table.columns, table.majority, row.cells):
                if cell.ours:
                    values = _values(table.preset, row, column, majority, cell)
                    writer.writerow({name: _no_formula(value) for name, value in values.items()})
    return buffer.getvalue()


def _values(
    preset: str, row: Row, column: Column | None, majority: float | None, cell: Cell
) -> dict[str, Any]:
    """Return the line of a cell by the names of its fields; `column` is None for the average."""
    ours, gain = cell.ours, cell.gain
    bounded = gain if gain and gain.n > 1 else None
    run = column.records[0] if column else None
    costs = {
        name: _fixed(cell.costs.get(name), m.digits) for name, m in MEASURES.items() if m.digits is not None
    }
    return {
        "preset": preset,
        "task": column.task if column else "average",
        "variant": column and column.variant,
        "backbone": row.backbone,
        "attention": row.attention,
        "seeds": ours and ours.n,
        "accuracy": _per_cent(getattr(ours, "mean", None)),
        "low": _per_cent(getattr(ours, "low", None)),
        "high": _per_cent(getattr(ours, "high", None)),
        "interval": ours and ours.method,
        "at_chance": int(cell.at_chance),
        "majority": _per_cent(majority),
        "dirty": int(cell.dirty),
        "published": _per_cent(cell.printed),
        "published_source": cell.published and cell.published.source,
        "difference": _per_cent(cell.difference),
        "gain": _per_cent(getattr(gain, "mean", None)),
        "gain_low": _per_cent(getattr(bounded, "low", None)),
        "gain_high": _per_cent(getattr(bounded, "high", None)),
        "gain_seeds": gain and gain.n,
        **costs,
        "steps": run and run.budget["steps"],
        "batch_size": run and run.budget["batch_size"],
        "length": run and run.data["length"],
        "protocol": run and run.protocol,
        "data_sha256": run and run.data["sha256"],
    }


def _no_formula(value: Any) -> Any:
    """Return a text that a spreadsheet would take for a formula with an apostrophe before it; numbers stay."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def _per_cent(share: float | None) -> str | None:
    return None if share is None else _fixed(100 * share, 2)


def _fixed(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"


FIELDS = tuple(_values("", Row("", "", ()), None, None, Cell()))
"""The header of TABLE.csv."""
