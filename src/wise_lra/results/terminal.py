"""Tables for a terminal, drawn by rich."""

from rich.console import Group
from rich.table import Table as Grid
from rich.text import Text

from wise_lra.results.lines import checklist, lines
from wise_lra.results.tables import Table


def drawn(table: Table) -> Group:
    """Return what rich's `Console.print` shows: the table, its notes, and a line a claim of the paper."""
    grid = Grid(title=f"preset={table.preset}", title_justify="left")
    grid.add_column("")
    for label in table.header:
        grid.add_column(label, justify="right")
    for line in lines(table):
        texts = [Text(t, "bold green" if b else "") for t, b in zip(line.texts, line.bold, strict=True)]
        grid.add_row(line.label, *texts)
    claims = (
        []
        if table.empty
        else ["The paper's claims (TABLE.md says when one holds):", *checklist(table.claims)]
    )
    return Group(grid, *(Text(note, "dim") for note in table.notes), *map(Text, claims))
