"""The page: tables, charts and what runs left, in one file that asks nothing of the network."""

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from wise_lra.registry import BACKBONES, TASKS
from wise_lra.report import charts, series
from wise_lra.report.runs import Run, compared, confusion, disagreements, examples, read_runs, without
from wise_lra.report.series import slug
from wise_lra.results.claims import grouped, tally
from wise_lra.results.published import CITATIONS, Numbers
from wise_lra.results.record import Record
from wise_lra.results.tables import Table, build_all
from wise_lra.results.text import Line, Section, changes, comparison, details, evidence, per_cent

PARTS = {
    "checklist": "Claims at a glance",
    "accuracy": "Accuracy by task",
    "curves": "Learning curves",
    "costs": "Accuracy against cost",
    "wavelets": "Learned wavelets",
    "confusion": "Confusion matrices",
    "disagreements": "Where the models disagree",
}
"""Anchor and title of the parts of a preset; the sections of results/text.py stand between costs and wavelets."""
VERDICTS = {"holds": "yes", "does not hold": "no", "not enough runs": "open"}
"""The verdicts on a claim, with the classes that page.css shows them by."""
DISAGREEMENTS = 8  # examples shown of a column
CHANGED = 4  # presets with changed settings that are shown where there is no other
Rows = dict[str, list[Run]]  # label of a row -> its runs, a seed each

_OWN = Path(__file__).parent


def build(
    records: Sequence[Record], numbers: Numbers, preset: str | None, runs: Path, data: Path, project: str
) -> tuple[str, list[str]]:
    """Return the page, and what could not be read for it.

    Args:
        records: all records; the page lists each of them.
        numbers: published numbers.
        preset: the one to show; None shows all true presets, or some changed ones where there is no other.
        runs: folder of the runs' folders.
        data: folder of prepared data, where examples are looked for.
        project: ENTITY/PROJECT in W&B, for links to curves, or "".

    Raises ValueError on a preset without records.
    """
    tables, saved = build_all(records, numbers), read_runs(records, runs)
    known = {table.preset: [table] for table in tables}
    if preset and preset not in known:
        raise ValueError(f"--preset {preset}: expected one that has records: {', '.join(known)}")
    true = [table for table in tables if not table.changed] or tables[:CHANGED]
    shown = known[preset] if preset else true
    parts = [part(table, saved, data) for table in shown if saved]
    text = render(parts, saved, [*changes(tables), published(numbers)], project)
    return text, [fault for of_preset in parts for fault in of_preset["faults"]]


def render(
    parts: Sequence[Mapping[str, Any]], runs: Sequence[Run], documents: Sequence[Section], project: str
) -> str:
    """Return the page of some presets, every run, and further sections.

    Every value is escaped; no script but the page's own may run.
    """
    drawn = [chart for part in parts for chart in part["charts"]]
    scripts = _scripts()
    loader = FileSystemLoader(_OWN)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.lstrip_blocks = True
    used = (
        slug,
        comparison,
        details,
        grouped,
        tally,
        evidence,
        charts.variable,
        charts.colour,
        charts.dashes,
    )
    environment.globals |= {function.__name__: function for function in used}
    return environment.get_template("page.html").render(
        parts=parts,
        documents=documents,
        runs=runs,
        facts=_facts([run.record for run in runs]),
        facts_of=lambda run: _facts_of(run, project),
        look=_look,
        titles=PARTS,
        measures={"curves": series.CURVES, "costs": series.COSTS},
        states=charts.STATES,
        backbones=BACKBONES,
        scripts=scripts,
        policy=_policy(scripts.values()),
        drawn={
            "specifications": charts.specifications() if drawn else {},
            "charts": {chart.anchor: chart.data() for chart in drawn},
        },
        json=json,
    )


def published(numbers: Numbers) -> Section:
    """Return the published numbers, a row a method, and who printed them."""
    sources = {(backbone, attention): number.source for (backbone, attention, _), number in numbers.items()}
    rows = []
    for method, source in sources.items():
        cells = [numbers.get((*method, task)) for task in TASKS]
        rows.append(
            Line(" + ".join(method), [*(per_cent(cell.accuracy if cell else None) for cell in cells), source])
        )
    text = (
        "Test accuracy in per cent, each trained by its authors' recipe."
        " A number stands beside ours only where data and length are the Arena's own."
    )
    cited = [f"{source}: {CITATIONS[source]}" for source in dict.fromkeys(sources.values())]
    return Section("Published numbers", text, ["", *TASKS, "source"], rows, cited)


def part(table: Table, runs: Sequence[Run], data: Path) -> dict[str, Any]:
    """Return what the page shows of one preset; examples are looked for in the prepared data under `data`."""
    anchor, own = slug(table.preset), {id(run.record): run for run in runs}
    columns: dict[str, Rows] = {}
    for column in table.columns:
        for row in table.rows:
            if records := column.by_seed((row.backbone, row.attention)):
                rows = columns.setdefault(column.label, {})
                rows[row.label] = [own[id(records[seed])] for seed in sorted(records)]
    figures = series.figures(table, anchor)
    learned = list(_learned(columns, anchor))
    here = [run for rows in columns.values() for of_row in rows.values() for run in of_row]
    problems = [f"{run.name}: {run.problem}" for run in here if run.problem]
    filters = [chart for run in learned for _, layer in run["layers"] for chart in layer]
    return {
        "table": table,
        "anchor": anchor,
        "figures": figures,
        "charts": [*(chart for drawn in figures.values() for chart in drawn), *filters],
        "learned": learned,
        "matrices": list(_matrices(columns)),
        "disagreements": list(_disagreements(columns, data)),
        "problems": problems,
        "faults": [*problems, *(f"{run['title']}: {run['problem']}" for run in learned if run["problem"])],
    }


def _learned(columns: Mapping[str, Rows], anchor: str) -> Iterator[dict[str, Any]]:
    """Yield the wavelets of the lowest seed of every row whose mixer holds a bank and whose weights are here."""
    for column, label, of_row in ((column, *row) for column, rows in columns.items() for row in rows.items()):
        run = next((run for run in of_row if run.weights and run.holds_bank), None)
        if run is None or run.folder is None:
            continue
        title, layers, problem = f"{column} · {label} · seed {run.record.seed}", [], ""
        try:
            layers = series.wavelets(run, title, slug(anchor, "wavelets", title))
        except (ValueError, OSError) as error:
            problem = f"cannot be drawn: {without(run.folder, error)}"
        if layers or problem:
            yield {"title": title, "layers": layers, "problem": problem}


def _matrices(columns: Mapping[str, Rows]) -> Iterator[tuple[str, Sequence[str], list[Any]]]:
    """Yield a column's label and classes, and label, seeds and matrix of each row with predictions."""
    for column, rows in columns.items():
        there = {label: [run for run in of_row if run.predictions] for label, of_row in rows.items()}
        tables = [
            (label, [run.record.seed for run in own], confusion(own)) for label, own in there.items() if own
        ]
        if tables:
            classes = next(run.classes for own in there.values() for run in own)
            yield column, classes, tables


def _disagreements(columns: Mapping[str, Rows], data: Path) -> Iterator[dict[str, Any]]:
    """Yield the examples of each column on which the runs of one seed disagree."""
    for column, rows in columns.items():
        pairs = compared(rows)
        if len(pairs) < 2:
            continue
        run, split = pairs[0][1], disagreements(pairs, DISAGREEMENTS)
        shown = examples(run.record, [disagreement.example for disagreement in split], data)
        yield {
            "label": column,
            "seed": run.record.seed,
            "classes": run.classes,
            "prepared": shown is not None,
            "examples": list(zip(split, shown or [("", [])] * len(split), strict=True)),
        }


def _look(text: str, best: bool = False) -> str:
    """Return the class by which page.css shows the text of a cell."""
    if text in VERDICTS:
        return f"verdict {VERDICTS[text]}"
    return "fail" if text.startswith("FAIL") else "best" * best


def _facts(records: Sequence[Record]) -> dict[str, str]:
    """Return what the page is about, in a few numbers; {} without records."""
    if not records:
        return {}
    dirty = sum(record.dirty for record in records)
    return {
        "runs": f"{len(records):,}",
        "presets": _some(record.preset for record in records),
        "tasks": _some(record.label for record in records),
        "backbones": _some(record.backbone for record in records),
        "attentions": _some(record.attention for record in records),
        "seeds": _some(record.seed for record in records),
        "devices": _some(record.device for record in records),
        "commits": _some(record.commit[:10] for record in records)
        + (f"; {dirty:,} runs with uncommitted changes" if dirty else ""),
        "newest run": max(record.finished for record in records)[:16].replace("T", " ") + " UTC",
    }


def _some(values: Iterable[Any], most: int = 8) -> str:
    names = [str(value) for value in sorted(set(values))]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _facts_of(run: Run, project: str) -> dict[str, str]:
    """Return what there is to say of one run."""
    record = run.record
    metrics, data = record.metrics, record.data
    address, curves = run.curves(project)
    tested = f"{per_cent(metrics['test_accuracy'])} % of {metrics['test_examples']:,}"
    validated = f"{per_cent(metrics['validation_accuracy'])} % at step {metrics['best_step']:,}"
    memory = f", {record.peak_memory_bytes / 1e6:,.0f} MB" if record.peak_memory_bytes else ""
    speed = f"{record.seconds['total']:,.0f} s, {record.tokens_per_second:,.0f} tokens/s"
    return {
        "Test": f"{tested}; majority class {per_cent(data['majority'])} %",
        "Validation": f"{validated} of {record.budget['steps']:,}",
        "Data": f"{record.label}, {data['source']}, length {data['length']:,}, sha256 {data['sha256'][:16]}",
        "Protocol": record.protocol + "; not comparable with published numbers" * (not record.comparable),
        "Cost": f"{record.parameters:,} parameters, {speed}{memory}",
        "Machine": f"{record.device}, {record.precision}",
        "Commit": record.commit + " with uncommitted changes" * record.dirty,
        "Versions": ", ".join(f"{name} {version}" for name, version in record.versions.items()),
        "Time": f"{record.started} to {record.finished}",
        "W&B": Markup('<a href="{}" rel="noreferrer">{}</a>').format(address, curves) if address else curves,
    }


def _scripts() -> dict[str, Markup]:
    """Return the scripts of the page, Vega-Lite among them, as HTML holds them: nothing may look like their end."""
    texts = {name: (_OWN / f"{name}.js").read_text(encoding="utf-8") for name in ("theme", "page")}
    texts["vega"] = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("\r\n", "\n")
    safe = {name: re.sub(r"(?i)<(?=/script|!--)", r"<\\", text) for name, text in texts.items()}
    return {name: Markup(text) for name, text in safe.items()}


def _policy(scripts: Iterable[str]) -> str:
    """Return a Content-Security-Policy: no request, no script but these."""
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    hashes = " ".join(f"'sha256-{b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )
