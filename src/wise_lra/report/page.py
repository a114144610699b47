"""The page: tables, charts and what runs kept, in one file that asks nothing of the network."""

import hashlib
import json
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from wise_lra.registry import BACKBONES, TASKS
from wise_lra.report import charts, series
from wise_lra.report.prose import VERDICTS, html, slug
from wise_lra.report.runs import Run, compared, confusion, disputes, examples, without
from wise_lra.results import markdown
from wise_lra.results.claims import Claim
from wise_lra.results.lines import found, per_cent
from wise_lra.results.pairs import by_seed
from wise_lra.results.published import CITATIONS, Numbers
from wise_lra.results.tables import Table

ABOVE = {
    "checklist": "Claims at a glance",
    "accuracy": "Accuracy by task",
    "curves": "Learning curves",
    "costs": "Accuracy against cost",
}
"""Anchor and title of the parts of a preset above the texts of results/markdown.py; BELOW has those below."""
BELOW = {
    "wavelets": "Learned wavelets",
    "confusion": "Confusion matrices",
    "disagreements": "Where the models disagree",
}
DISPUTES = 8  # examples shown of a column
Rows = dict[str, list[Run]]  # label of a row -> its runs, a seed each

_OWN = Path(__file__).parent


def render(
    sections: Sequence[Mapping[str, Any]], runs: Sequence[Run], documents: Iterable[str], project: str
) -> str:
    """Return the page of some presets, every run, and Markdown documents, each with its heading.

    Every value is escaped; no script but the page's own may run. `project` is ENTITY/PROJECT in W&B, or "".
    """
    environment = Environment(
        loader=FileSystemLoader(_OWN),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    parts = [html(text, "", "") for text in documents]
    contents = [(part["anchor"], f"preset={part['preset']}", part["contents"]) for part in sections]
    contents += [(*headings[0], []) for _, headings in parts]
    drawn = [chart for part in sections for chart in part["charts"]]
    scripts = _scripts()
    return environment.get_template("page.html").render(
        sections=sections,
        contents=[*contents, ("runs", "Every run", [])],
        documents=[text for text, _ in parts],
        runs=runs,
        facts=_facts(runs),
        facts_of=lambda run: _facts_of(run, project),
        titles=ABOVE | BELOW,
        measures={"curves": series.CURVES, "costs": series.COSTS},
        states=charts.STATES,
        verdicts=VERDICTS,
        backbones=BACKBONES,
        variable=charts.variable,
        scripts=scripts,
        policy=_policy(scripts.values()),
        drawn={
            "specifications": charts.specifications() if drawn else {},
            "charts": {chart.anchor: chart.data() for chart in drawn},
        },
        json=json,
    )


def published(numbers: Numbers) -> str:
    """Return the published numbers, a row a method, and who printed them, as Markdown."""
    sources = {(backbone, attention): number.source for (backbone, attention, _), number in numbers.items()}
    rows = []
    for method, source in sources.items():
        cells = [numbers.get((*method, task)) for task in TASKS]
        rows.append(
            [" + ".join(method), *(per_cent(cell.accuracy if cell else None) for cell in cells), source]
        )
    return "\n\n".join(
        [
            "## Published numbers",
            "Test accuracy in per cent, each trained by its authors' recipe."
            " A number stands beside ours only where data and length are the Arena's own.",
            markdown.grid(["", *TASKS, "source"], rows),
            "\n".join(f"- {source}: {CITATIONS[source]}" for source in dict.fromkeys(sources.values())),
        ]
    )


def section(table: Table, runs: Sequence[Run], data: Path) -> dict[str, Any]:
    """Return what the page shows of one preset; examples are looked for in the prepared data under `data`."""
    anchor = slug(table.preset)
    comparison, _ = html(markdown.comparison(table), anchor, f"Test accuracy, preset={table.preset}")
    details, headings = html("\n\n".join(markdown.details(table)), anchor, table.preset)
    own = {id(run.record): run for run in runs}
    columns: dict[str, Rows] = {}
    for column in table.columns:
        for row in table.rows:
            if records := by_seed(column, (row.backbone, row.attention)):
                rows = columns.setdefault(column.label, {})
                rows[row.label] = [own[id(records[seed])] for seed in sorted(records)]
    accuracies, curves, costs = (
        list(make(table, anchor)) for make in (series.accuracies, series.curves, series.costs)
    )
    learned = list(_learned(columns, anchor))
    here = [run for rows in columns.values() for of_row in rows.values() for run in of_row]
    troubles = [f"{run.name}: {run.trouble}" for run in here if run.trouble]
    filters = [chart for run in learned for _, layer in run["layers"] for chart in layer]
    return {
        "preset": table.preset,
        "anchor": anchor,
        "comparison": comparison,
        "contents": [*_anchored(anchor, ABOVE), *headings, *_anchored(anchor, BELOW)]
        if not table.empty
        else [],
        "claims": list(_claims(table.claims)),
        "details": details,
        "legend": [
            (row.label, charts.colour(row.backbone), charts.dashes(row.attention))
            for row in table.rows
            if any(cell.ours or cell.published for cell in row.cells)
        ],
        "accuracies": accuracies,
        "curves": curves,
        "costs": costs,
        "charts": [*accuracies, *curves, *costs, *filters],
        "learned": learned,
        "matrices": list(_matrices(columns)),
        "disputes": list(_disputes(columns, data)),
        "troubles": troubles,
        "faults": [*troubles, *(f"{run['title']}: {run['trouble']}" for run in learned if run["trouble"])],
    }


def _anchored(anchor: str, parts: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(f"{anchor}-{name}", title) for name, title in parts.items()]


def _claims(claims: Iterable[Claim]) -> Iterator[tuple[str, Counter[str], str]]:
    """Yield each claim with how many of its lines came to each verdict, and what the first of them rests on."""
    for name, group in groupby(claims, key=lambda claim: claim.name):
        lines = list(group)
        yield name, Counter(line.verdict for line in lines), f"{lines[0].of} {found(lines[0])}"


def _learned(columns: Mapping[str, Rows], anchor: str) -> Iterator[dict[str, Any]]:
    """Yield the wavelets of the lowest seed of every row whose mixer holds a bank and whose weights are here."""
    for column, rows in columns.items():
        for label, of_row in rows.items():
            run = next((run for run in of_row if run.weights), None)
            if run is None or not _holds_bank(run.record.config):
                continue
            title, layers, trouble = f"{column} · {label} · seed {run.record.seed}", [], ""
            try:
                layers = series.wavelets(run, title, slug(anchor, "wavelets", title))
            except (ValueError, OSError) as error:
                assert run.folder is not None
                trouble = f"cannot be drawn: {without(run.folder, error)}"
            if layers or trouble:
                yield {"title": title, "layers": layers, "trouble": trouble}


def _holds_bank(config: dict[str, Any]) -> bool:
    model = config.get("model")
    mixer = model.get("mixer") if isinstance(model, dict) else None
    return isinstance(mixer, dict) and "bank" in mixer


def _matrices(columns: Mapping[str, Rows]) -> Iterator[tuple[str, Sequence[str], list[Any]]]:
    """Yield a column's label and classes, and label, seeds and matrix of each row with predictions."""
    for column, rows in columns.items():
        there = {label: [run for run in of_row if run.predictions] for label, of_row in rows.items()}
        tables = [
            (label, [run.record.seed for run in own], confusion(own)) for label, own in there.items() if own
        ]
        if tables:
            yield column, _classes(run for own in there.values() for run in own), tables


def _classes(runs: Iterable[Run]) -> tuple[str, ...]:
    """Return names for all classes that runs predicted: a record may be anybody's, and have more than another."""
    return max((run.classes for run in runs), key=len)


def _disputes(columns: Mapping[str, Rows], data: Path) -> Iterator[dict[str, Any]]:
    """Yield the examples of each column on which the runs of one seed disagree."""
    for column, rows in columns.items():
        pairs = compared(rows)
        if len(pairs) < 2:
            continue
        run, found = pairs[0][1], disputes(pairs, DISPUTES)
        shown = examples(run.record, [dispute.example for dispute in found], data)
        yield {
            "label": column,
            "seed": run.record.seed,
            "classes": _classes(run for _, run in pairs),
            "prepared": shown is not None,
            "examples": list(zip(found, shown or [("", [])] * len(found), strict=True)),
        }


def _facts(runs: Sequence[Run]) -> dict[str, str]:
    """Return what the page is about, in a few numbers."""
    records = [run.record for run in runs]
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
        "Protocol": record.protocol
        + ("" if record.comparable else "; not comparable with published numbers"),
        "Cost": f"{record.parameters:,} parameters, {speed}{memory}",
        "Machine": f"{record.device}, {record.precision}",
        "Commit": record.commit + (" with uncommitted changes" if record.dirty else ""),
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
