"""The parts of the page that belong to one preset, gathered from its table and what its runs kept."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from wise_lra.report import answers, figures
from wise_lra.report.answers import Confusion, Dispute
from wise_lra.report.charts import COLOURS, DASHES
from wise_lra.report.figures import Chart
from wise_lra.report.kept import Kept, without
from wise_lra.report.prose import VERDICTS, Heading, html, slug
from wise_lra.results import markdown
from wise_lra.results.claims import Claim
from wise_lra.results.columns import Column
from wise_lra.results.lines import found
from wise_lra.results.tables import Row, Table

DISPUTES = 8  # examples shown of a column


@dataclass(frozen=True)
class Swatch:
    """A row of the table as the legend shows it."""

    label: str
    colour: str
    dashes: str


@dataclass(frozen=True)
class Checked:
    """A claim with how many of its lines came to each verdict, and what the first of them rests on."""

    name: str
    counts: dict[str, int]
    first: str


@dataclass(frozen=True)
class Learned:
    """The wavelets of one run: its title and the charts of each layer; `trouble` where they cannot be drawn."""

    title: str
    layers: tuple[tuple[int, tuple[Chart, ...]], ...] = ()
    trouble: str = ""


@dataclass(frozen=True)
class Matrices:
    """The confusion matrices of one column, and the names of its classes."""

    label: str
    classes: tuple[str, ...]
    tables: tuple[Confusion, ...]


@dataclass(frozen=True)
class Disputes:
    """The examples of one column on which the runs of one seed disagree; `shown` is None without prepared data."""

    label: str
    seed: int
    classes: tuple[str, ...]
    disputes: tuple[Dispute, ...]
    shown: tuple[Any, ...] | None


@dataclass(frozen=True)
class Section:
    """All of one preset."""

    preset: str
    anchor: str
    comparison: Markup
    checklist: tuple[Checked, ...]
    details: Markup
    headings: tuple[Heading, ...]
    legend: tuple[Swatch, ...]
    accuracies: tuple[Chart, ...]
    curves: tuple[Chart, ...]
    costs: tuple[Chart, ...]
    learned: tuple[Learned, ...] = ()
    matrices: tuple[Matrices, ...] = ()
    disputes: tuple[Disputes, ...] = ()
    troubles: tuple[str, ...] = ()

    @property
    def faults(self) -> Iterator[str]:
        """What of its runs' folders is left out, a line each."""
        yield from self.troubles
        yield from (f"{run.title}: {run.trouble}" for run in self.learned if run.trouble)

    @property
    def charts(self) -> Iterator[Chart]:
        """All its charts, in the order of the page."""
        yield from (*self.accuracies, *self.curves, *self.costs)
        yield from (chart for run in self.learned for _, charts in run.layers for chart in charts)


def section(table: Table, kept: Sequence[Kept], data: Path) -> Section:
    """Gather the parts of one preset; examples are looked for in the prepared data under `data`."""
    anchor = slug(table.preset)
    comparison, _ = html(markdown.comparison(table), anchor, f"Test accuracy, preset={table.preset}")
    details, headings = html("\n\n".join(markdown.details(table)), anchor, table.preset)
    runs = {column.label: _rows(table, column, kept) for column in table.columns if column.records}
    used = [row for row in table.rows if any(cell.ours or cell.published for cell in row.cells)]
    return Section(
        preset=table.preset,
        anchor=anchor,
        comparison=comparison,
        checklist=tuple(_checked(table.claims)) if not table.empty else (),
        details=details,
        headings=tuple(headings),
        legend=tuple(map(_swatch, used)),
        accuracies=tuple(figures.accuracies(table, anchor)),
        curves=tuple(figures.curves(table, anchor)),
        costs=tuple(figures.costs(table, anchor)),
        learned=tuple(_learned(runs, anchor)),
        matrices=tuple(_matrices(runs)),
        disputes=tuple(_disputes(runs, data)),
        troubles=tuple(f"{run.name}: {run.trouble}" for run in _all(runs) if run.trouble),
    )


Runs = dict[str, dict[str, list[Kept]]]  # label of a column -> label of a row -> its runs, a seed each


def _rows(table: Table, column: Column, kept: Sequence[Kept]) -> dict[str, list[Kept]]:
    own = {id(record) for record in column.records}
    rows: dict[str, list[Kept]] = {}
    for row in table.rows:
        method = row.backbone, row.attention
        runs = [k for k in kept if id(k.record) in own and (k.record.backbone, k.record.attention) == method]
        if runs:
            rows[row.label] = sorted(runs, key=lambda k: k.record.seed)
    return rows


def _all(runs: Runs) -> Iterator[Kept]:
    return (run for rows in runs.values() for of_row in rows.values() for run in of_row)


def _checked(claims: Sequence[Claim]) -> Iterator[Checked]:
    for name, group in groupby(claims, key=lambda claim: claim.name):
        lines = list(group)
        counts = {verdict: sum(line.verdict == verdict for line in lines) for verdict in VERDICTS}
        yield Checked(name, counts, f"{lines[0].of} {found(lines[0])}")


def _swatch(row: Row) -> Swatch:
    dashes = ",".join(map(str, DASHES.get(row.attention, (1, 0))))
    return Swatch(row.label, COLOURS.get(row.backbone, "var(--ink)"), dashes)


def _learned(runs: Runs, anchor: str) -> Iterator[Learned]:
    """Yield the lowest seed of every row whose mixer holds a bank and whose weights are here."""
    for column, rows in runs.items():
        for label, of_row in rows.items():
            run = next((kept for kept in of_row if kept.weights), None)
            if run is not None and _holds_bank(run.record.config):
                title = f"{column} · {label} · seed {run.record.seed}"
                found = _layers(run, title, slug(anchor, "wavelets", title))
                if found.layers or found.trouble:
                    yield found


def _holds_bank(config: dict[str, Any]) -> bool:
    model = config.get("model")
    mixer = model.get("mixer") if isinstance(model, dict) else None
    return isinstance(mixer, dict) and "bank" in mixer


def _layers(run: Kept, title: str, anchor: str) -> Learned:
    from wise_lra.report.wavelets import PANELS, learned  # here, because it imports torch

    try:
        found = learned(run)
    except (ValueError, OSError) as error:
        assert run.folder is not None
        return Learned(title, trouble=f"cannot be drawn: {without(run.folder, error)}")
    layers = []
    for layer in found:
        charts = [
            Chart(
                slug(anchor, str(layer.number), str(place)),
                PANELS[name],
                data,
                name,
                f"{name.capitalize()} in layer {layer.number} of {title}, before and after training",
            )
            for place, (name, data) in enumerate(layer.panels.items())
        ]
        layers.append((layer.number, tuple(charts)))
    return Learned(title, tuple(layers))


def _matrices(runs: Runs) -> Iterator[Matrices]:
    for column, rows in runs.items():
        there = {label: [kept for kept in of_row if kept.predictions] for label, of_row in rows.items()}
        tables = [answers.confusion(label, of_row) for label, of_row in there.items() if of_row]
        if tables:
            yield Matrices(column, _classes(_all({column: rows})), tuple(tables))


def _disputes(runs: Runs, data: Path) -> Iterator[Disputes]:
    for column, rows in runs.items():
        seed, compared = _fullest_seed(rows)
        if len(compared) < 2:
            continue
        found = answers.disputes(compared, DISPUTES)
        shown = _shown(compared[0][1], [dispute.example for dispute in found], data)
        yield Disputes(column, seed, _classes([compared[0][1]]), tuple(found), shown)


def _fullest_seed(rows: dict[str, list[Kept]]) -> tuple[int, list[tuple[str, Kept]]]:
    """Return the seed of which most rows have predictions of the same examples, and these."""
    pairs = [(label, kept) for label, of_row in rows.items() for kept in of_row if kept.predictions]
    best: tuple[int, list[tuple[str, Kept]]] = (0, [])
    for seed in sorted({kept.record.seed for _, kept in pairs}):
        own = [(label, kept) for label, kept in pairs if kept.record.seed == seed]
        first = own[0][1].predictions
        same = [
            (label, kept)
            for label, kept in own
            if first and kept.predictions and np.array_equal(kept.predictions.example, first.example)
        ]
        best = (seed, same) if len(same) > len(best[1]) else best
    return best


def _classes(runs: Iterable[Kept]) -> tuple[str, ...]:
    from wise_lra.report.examples import classes_of  # here, because it imports torch

    return classes_of(next(iter(runs)).record)


def _shown(run: Kept, places: Sequence[int], data: Path) -> tuple[Any, ...] | None:
    from wise_lra.report.examples import Examples  # here, because it imports torch

    try:
        examples = Examples(run.record, data)
        return tuple(examples[place] for place in places)
    except (FileNotFoundError, ValueError, IndexError):
        return None
