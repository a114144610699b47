"""The printed lines of a table, before any markup: per cent, two decimals, a dash where nothing is."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from wise_lra.results.claims import Claim, tally
from wise_lra.results.statistics import Interval
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
        texts = tuple(_ours(cell, not table.seeds) for cell in row.cells)
        result.append(Line(row.label, texts, bold))
        if any(cell.published for cell in row.cells):
            printed = [cell.published.accuracy if cell.published else None for cell in row.cells]
            result.append(Line("published", tuple(map(per_cent, printed)), plain))
            result.append(Line("difference", tuple(map(_difference, row.cells)), plain))
    return result


def per_cent(share: float | None) -> str:
    """Return 0.6427 as "64.27", None as a dash."""
    return DASH if share is None else f"{100 * share:.2f}"


def signed(share: float) -> str:
    """Return 0.0643 as "+6.43"."""
    return f"{round(100 * share, 2) + 0.0:+.2f}".replace("-", MINUS)


def spread(interval: Interval | None, text: Callable[[float], str] = signed) -> str:
    """Return "+1.20 [−0.30, +2.70] (n=3)", or a dash."""
    return DASH if interval is None else f"{bounds(interval, text)} (n={interval.n})"


def bounds(interval: Interval, text: Callable[[float], str]) -> str:
    """Return "+1.20 [−0.30, +2.70]"; without the ends where one seed gives none."""
    ends = f" [{text(interval.low)}, {text(interval.high)}]" if math.isfinite(interval.low) else ""
    return text(interval.mean) + ends


def found(claim: Claim) -> str:
    """Return what a claim rests on: points of accuracy, or per cent of time; and how much of a given gain."""
    if claim.unit == "time":
        return spread(claim.found, lambda share: f"{signed(share)} %")
    if claim.given is None or claim.found is None:
        return spread(claim.found)
    text = f"{spread(claim.found)} of the published {signed(claim.given)}"
    return f"{text}: {bounds(claim.remains, _whole)}" if claim.remains else text


def checklist(claims: Sequence[Claim]) -> list[str]:
    """Return a line a claim, whose own lines are counted, with what the first of them rests on."""
    groups = [list(group) for _, group in groupby(claims, key=lambda claim: claim.name)]
    return [f"{g[0].name}: {tally(g)}; {g[0].of} {found(g[0])}" for g in groups]


def _whole(share: float) -> str:
    return f"{round(100 * share)} %".replace("-", MINUS)


def _ours(cell: Cell, with_seeds: bool) -> str:
    if cell.ours is None:
        return DASH
    text = f"{per_cent(cell.ours.mean)} ± {per_cent(cell.ours.half_width)}"
    text += f" (n={cell.ours.n})" * with_seeds
    return (f"FAIL [{text}]" if cell.at_chance else text) + "*" * cell.dirty


def _difference(cell: Cell) -> str:
    if cell.ours is None or cell.difference is None:
        return DASH
    return f"{signed(cell.difference)} ± {per_cent(cell.ours.half_width)}"


def _is_best(cell: Cell, best: float | None) -> bool:
    return cell.ours is not None and not cell.at_chance and cell.ours.mean == best
