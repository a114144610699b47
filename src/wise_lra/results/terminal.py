"""Tables for a terminal, drawn by rich."""

from rich.console import Group
from rich.table import Table as Grid
from rich.text import Text

from wise_lra.results.lines import lines
from wise_lra.results.tables import Table


def drawn(table: Table) -> Group:
    """Return what rich's `Console.print` shows: the table, then its notes."""
    grid = Grid(title=f"preset={table.preset}", title_justify="left")
    grid.add_column("")
    for label in table.header:
        grid.add_column(label, justify="right")
    for line in lines(table):
        texts = [Text(t, "bold green" if b else "") for t, b in zip(line.texts, line.bold, strict=True)]
        grid.add_row(line.label, *texts)
    return Group(grid, *(Text(note, "dim") for note in table.notes))
