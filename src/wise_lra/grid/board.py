"""The board of a grid: a column a task, a row a model and seed, and in each field how that cell stands."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from wise_lra.grid.cells import NONE, Cell, cells, discovered
from wise_lra.grid.standing import Standing, State
from wise_lra.grid.wishes import Wishes
from wise_lra.results.record import SLUG

STYLES = {
    State.DONE: "green",
    State.RUNNING: "cyan",
    State.FAILED: "bold red",
    State.STOPPED: "yellow",
    State.MISSING: "dim",
}


def presets(records: Path, runs: Path) -> list[str]:
    """Return the presets that left something on disk, in the order of their names.

    Runs whose overrides make them others than those of their preset are filed under its name, "-" and a hash.
    """
    folders = [folder for root in (records, runs) for folder in root.glob("*") if folder.is_dir()]
    return sorted({folder.name for folder in folders if SLUG.fullmatch(folder.name)})


def listed(preset: str, wishes: Wishes, said: Sequence[str], records: Path, runs: Path) -> list[Cell]:
    """Return the grid wished for, and what else of the preset is on disk and fits the options that were `said`.

    Of a preset with overrides, only what is on disk. A task is looked for in the data that its runs on disk have:
    the variant is not known from elsewhere.
    """
    found = [cell for cell in discovered(preset, records, runs) if _fits(cell, wishes, said)]
    if "-" in preset:
        return found
    variants = {task: min((c.variant for c in found if c.task == task), default="") for task in wishes.tasks}
    grid = cells(preset, variants, wishes.backbones, wishes.attentions, wishes.seeds)
    return list(dict.fromkeys([*grid, *found]))


def board(title: str, standings: Sequence[Standing]) -> Group:
    """Return what rich prints: the board, the counts, and the reason of every failure."""
    columns = list(dict.fromkeys(_column(standing) for standing in standings))
    rows = list(dict.fromkeys(_row(standing) for standing in standings))
    fields = {(_row(standing), _column(standing)): standing for standing in standings}
    grid = Table(title=title, title_justify="left")
    grid.add_column("")
    for column in columns:
        grid.add_column(column, justify="right")
    for row in rows:
        grid.add_row(row, *(_field(fields.get((row, column))) for column in columns))
    counts = Counter(standing.state for standing in standings)
    line = " · ".join(f"{counts[state]} {state}" for state in State)
    failed = [
        Text.assemble((f"failed  {s.cell.name}: ", "red"), s.reason)
        for s in standings
        if s.state == State.FAILED
    ]
    return Group(grid, Text(f"{len(standings)} cells: {line}"), *failed)


def _fits(cell: Cell, wishes: Wishes, said: Sequence[str]) -> bool:
    fits = {
        "tasks": cell.task in wishes.tasks,
        "backbones": cell.backbone in wishes.backbones,
        "attentions": cell.attention in (NONE, *wishes.attentions),
        "seeds": cell.seed in wishes.seeds,
    }
    return all(fits[name] for name in said if name in fits)


def _column(standing: Standing) -> str:
    cell = standing.cell
    return f"{cell.task} ({cell.variant})" if cell.variant else cell.task


def _row(standing: Standing) -> str:
    cell = standing.cell
    held = "" if cell.attention in ("none", "softmax") else f" + {cell.attention}"
    changed = cell.preset.partition("-")[2]
    return f"{cell.backbone}{held} seed {cell.seed}" + f" ({changed})" * bool(changed)


def _field(standing: Standing | None) -> Text:
    if standing is None:
        return Text("")
    state, share = standing.state, f"{100 * standing.progress.share:.0f} %"
    text = {
        State.DONE: f"{100 * (standing.accuracy or 0.0):.2f} %",
        State.RUNNING: f"running {share}",
        State.FAILED: "failed",
        State.STOPPED: f"stopped {share}",
        State.MISSING: "—",
    }[state]
    return Text(text, STYLES[state])
