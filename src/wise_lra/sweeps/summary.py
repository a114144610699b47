"""The table that ends a sweep: a line a cell, read from its record; failures last, each with its reason."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rich.console import Group
from rich.table import Table
from rich.text import Text

from wise_lra.grid.board import STYLES
from wise_lra.grid.cells import Cell
from wise_lra.grid.estimate import clock
from wise_lra.grid.standing import State, standing
from wise_lra.results.lines import per_cent
from wise_lra.results.record import Record
from wise_lra.sweeps.outcome import Outcome


@dataclass(frozen=True)
class Line:
    """A cell as it stands after the sweep: what of the command is its own, and whether it was done `before`."""

    cell: Cell
    own: str
    state: State
    before: bool = False
    record: Record | None = None
    reason: str = ""

    @classmethod
    def of(
        cls, cell: Cell, own: str, records: Path, runs: Path, outcome: Outcome | None, again: bool = False
    ) -> Self:
        """Read how a cell stands; `outcome` is its job's or None, `again` says that its record was to go."""
        found = standing(cell, records, runs)
        reason = outcome.reason if outcome and outcome.status else found.reason
        if found.state != State.DONE:
            failed = outcome is not None and outcome.failed and found.state != State.RUNNING
            return cls(cell, own, State.FAILED if failed else found.state, reason=reason)
        if again and outcome and outcome.status:
            return cls(cell, own, State.FAILED, reason=f"{reason} (its old record is kept)")
        return cls(cell, own, State.DONE, outcome is None, cell.finished(records))

    @property
    def bad(self) -> bool:
        """Whether the sweep was to end this cell and did not."""
        return self.state in (State.FAILED, State.STOPPED, State.MISSING)


def summary(lines: Sequence[Line]) -> Group:
    """Return what rich prints: the cells with their accuracies, the counts, and why the failed ones failed."""
    grid = Table(title="sweep", title_justify="left")
    settings = [_settings(line) for line in lines]
    grid.add_column("cell")
    if any(settings):
        grid.add_column("setting")
    grid.add_column("state")
    for column in ("validation %", "test %", "steps", "time"):
        grid.add_column(column, justify="right")
    for line, setting in zip(lines, settings, strict=True):
        grid.add_row(
            _name(line.cell), *([setting] if any(settings) else []), _state(line), *_numbers(line.record)
        )
    counts = Counter(line.state for line in lines)
    total = " · ".join(f"{counts[state]} {state}" for state in State if counts[state])
    failed = [
        Text.assemble((f"failed  {_name(line.cell)}: ", "red"), line.reason) for line in lines if line.bad
    ]
    again = ["the same command runs these again, and only these"] if failed else []
    return Group(grid, Text(f"{len(lines)} cells: {total or 'none'}"), *failed, *again)


def _name(cell: Cell) -> str:
    return f"{cell.preset}/{cell.name}"


def _settings(line: Line) -> str:
    """Return what the name of a cell does not say: of the hash of a changed preset, what was changed."""
    axes = ("preset=", "task=", "backbone=", "attention=", "seed=")
    return "\n".join(text for text in line.own.split() if not text.startswith(axes))


def _state(line: Line) -> Text:
    text = f"{line.state} before" if line.before else str(line.state)
    return Text(text, STYLES[line.state])


def _numbers(record: Record | None) -> list[str]:
    if record is None:
        return ["", "", "", ""]
    accuracies = [per_cent(record.metrics[f"{split}_accuracy"]) for split in ("validation", "test")]
    return [*accuracies, f"{record.steps:,}", clock(record.seconds["total"])]
