"""The printed lines of a table, before any markup: per cent, two decimals, a dash where nothing is."""

from dataclasses import dataclass

from wise_lra.results.tables import Cell, Table

DASH = "—"
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Line:
    """A label, a text for each column and the average, and which of them are the best of their column."""

    label: str
    texts: tuple[str, ...]
    bold: tuple[bool, ...]


def lines(table: Table) -> list[Line]:
    """Return the lines of a table: the majority class, then ours, published and difference of each row.

    The latter two are there only for a row that has a published number in a column where one may stand.
    """
    plain = (False,) * len(table.majority)
    best = [table.best(index) for index in range(len(table.majority))]
    result = [Line("majority class", tuple(map(per_cent, table.majority)), plain)]
    for row in table.rows:
        bold = tuple(_is_best(cell, mean) for cell, mean in zip(row.cells, best, strict=True))
        result.append(Line(row.label, tuple(map(_ours, row.cells)), bold))
        if any(cell.published for cell in row.cells):
            printed = [cell.published.accuracy if cell.published else None for cell in row.cells]
            result.append(Line("published", tuple(map(per_cent, printed)), plain))
            result.append(Line("difference", tuple(map(_difference, row.cells)), plain))
    return result


def per_cent(share: float | None) -> str:
    """Return 0.6427 as "64.27", None as a dash."""
    return DASH if share is None else f"{100 * share:.2f}"


def _ours(cell: Cell) -> str:
    if cell.ours is None:
        return DASH
    text = f"{per_cent(cell.ours.mean)} ± {per_cent(cell.ours.half_width)} (n={cell.ours.n})"
    return (f"FAIL [{text}]" if cell.at_chance else text) + "*" * cell.dirty


def _difference(cell: Cell) -> str:
    if cell.ours is None or cell.difference is None:
        return DASH
    return f"{100 * cell.difference:+.2f} ± {per_cent(cell.ours.half_width)}".replace("-", MINUS)


def _is_best(cell: Cell, best: float | None) -> bool:
    return cell.ours is not None and not cell.at_chance and cell.ours.mean == best
