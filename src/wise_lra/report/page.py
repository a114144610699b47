"""The page itself: sections, charts, styles and scripts in one file that asks nothing of the network."""

import hashlib
import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from wise_lra.registry import TASKS
from wise_lra.report import charts, series
from wise_lra.report.kept import Kept
from wise_lra.report.prose import html, slug
from wise_lra.report.sections import Section
from wise_lra.results import markdown
from wise_lra.results.published import CITATIONS, Numbers
from wise_lra.results.tables import Table

_OWN = Path(__file__).parent


@dataclass(frozen=True)
class Sources:
    """What a page is made of; `project` is ENTITY/PROJECT in W&B, or ""."""

    tables: Sequence[Table]
    sections: Sequence[Section]
    kept: Sequence[Kept]
    numbers: Numbers
    project: str


def render(sources: Sources) -> str:
    """Return the page. Every value from records, configurations or data is escaped; scripts run by their hash."""
    environment = Environment(
        loader=FileSystemLoader(_OWN),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["slug"] = slug
    scripts = {name: _script(text) for name, text in _scripts().items()}
    changed, _ = html("\n\n".join(markdown.changes(sources.tables)), "", "Changed settings")
    return environment.get_template("page.html").render(
        sections=sources.sections,
        kept=sources.kept,
        project=sources.project,
        published=_published(sources.numbers),
        citations=CITATIONS,
        tasks=TASKS,
        changed=changed,
        facts=_facts(sources.kept),
        measures={"curves": series.CURVES, "costs": series.COSTS},
        states=charts.STATES,
        style=Markup((_OWN / "page.css").read_text(encoding="utf-8")),
        scripts=scripts,
        policy=_policy(list(scripts.values())),
        drawn=_drawn(sources.sections),
        json=json,
    )


def _drawn(sections: Sequence[Section]) -> dict[str, Any]:
    """Return what page.js reads: the specifications that are used, and the rows of every chart."""
    found = [chart for section in sections for chart in section.charts]
    kinds = {chart.kind for chart in found}
    return {
        "specifications": {k: v for k, v in charts.specifications().items() if k in kinds} if kinds else {},
        "charts": {chart.anchor: {"kind": chart.kind, **chart.data.to_data()} for chart in found},
    }


def _facts(kept: Sequence[Kept]) -> dict[str, str]:
    """Return what the page is about, in a few numbers."""
    records = [run.record for run in kept]
    if not records:
        return {}
    commits = sorted({record.commit[:10] for record in records})
    dirty = sum(record.dirty for record in records)
    return {
        "runs": f"{len(records):,}",
        "presets": _some(sorted({record.preset for record in records})),
        "tasks": _some(sorted({record.label for record in records})),
        "backbones": _some(sorted({record.backbone for record in records})),
        "attentions": _some(sorted({record.attention for record in records})),
        "seeds": _some([str(seed) for seed in sorted({record.seed for record in records})]),
        "devices": _some(sorted({record.device for record in records})),
        "commits": _some(commits) + (f"; {dirty:,} runs with uncommitted changes" if dirty else ""),
        "newest run": max(record.finished for record in records)[:16].replace("T", " ") + " UTC",
    }


def _some(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _published(numbers: Numbers) -> list[tuple[str, list[str], str]]:
    """Return a row a method: its label, accuracies of the five tasks in per cent, and who printed them."""
    methods = dict.fromkeys((backbone, attention) for backbone, attention, _ in numbers)
    rows = []
    for backbone, attention in methods:
        cells = [numbers.get((backbone, attention, task)) for task in TASKS]
        texts = ["—" if cell is None else f"{100 * cell.accuracy:.2f}" for cell in cells]
        source = next(cell.source for cell in cells if cell is not None)
        rows.append((f"{backbone} + {attention}", texts, source))
    return rows


def _scripts() -> dict[str, str]:
    """Return the scripts of the page: Vega-Lite, and what draws with it."""
    return {
        "theme": (_OWN / "theme.js").read_text(encoding="utf-8"),
        "vega": vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"),
        "page": (_OWN / "page.js").read_text(encoding="utf-8"),
    }


def _script(text: str) -> Markup:
    """Return a script as HTML holds it: nothing in it may look like its own end."""
    safe = text.replace("\r\n", "\n").replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return Markup(safe)


def _policy(scripts: Sequence[str]) -> str:
    """Return a Content-Security-Policy: no request, no script but these."""
    hashes = " ".join(
        f"'sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )
