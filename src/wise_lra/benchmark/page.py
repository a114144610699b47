"""The measurements as a page of Markdown, targets first and then a table a section, and as pictures."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from wise_lra.plots.draw import draw_costs, save
from wise_lra.results.atomic import write_text

from .measure import Setting
from .models import VANILLA
from .targets import FLOAT32, TRANSFORM, Cases, bandwidth, growth, ratio, series, targets
from .transforms import BOTH

SECTIONS = ("transforms", "layers", "steps", "pipeline")
_PICTURES: dict[str, tuple[str, Setting, tuple[str, ...]]] = {
    "transforms": (
        "wavedec + waverec, 16 taps, level 1, (4, length, 128)",
        TRANSFORM,
        (*(f"{name}, {BOTH}" for name in ("fixed filters", "filters per channel", "rfft + irfft", "ptwt")),
         "copy, forward"),
    ),
    "steps": (
        "One training step of one document, one block of width 128",
        FLOAT32,
        (VANILLA, "vanilla linear", "fnet none", "wise_fixed softmax", "wise_fixed linear",
         "wise_fixed performer", "wise_fixed longformer", "wise_adaptive softmax"),
    ),
}  # fmt: skip
"""Section -> title of its picture, the setting of which the length varies, and the contenders that are drawn."""


def write(results: Path) -> list[Path]:
    """Write page and pictures of a file of results beside it; return their paths."""
    content = json.loads(results.read_text(encoding="utf-8"))
    device, cases, page = content["device"], content["cases"], results.with_suffix(".md")
    drawn: list[Path] = []
    for section, (title, setting, names) in _PICTURES.items():
        panels: dict[str, dict[str, dict[int, float]]] = {"ms": {}, "memory (MB)": {}}
        for name in names:
            for length, one in series(cases, section, setting, name).items():
                panels["ms"].setdefault(name, {})[length] = 1e3 * median(one["samples"])
                if section == "steps" and "memory" in one:
                    panels["memory (MB)"].setdefault(name, {})[length] = one["memory"] / 1e6
        if panels := {label: lines for label, lines in panels.items() if lines}:
            drawn += save(draw_costs(panels, f"{title} · {device}"), page.parent, f"{page.stem}-{section}")
    shown = [path.name for path in drawn if path.suffix == ".png"]
    write_text(page, markdown(device, cases, shown))
    return [page, *drawn]


def markdown(device: str, cases: Cases, pictures: Iterable[str]) -> str:
    """Return the page of a device; ``pictures`` are names of files beside it."""
    commits = {f"{case['commit'][:8]}{' with changes' * case['dirty']}" for case in cases.values()}
    torches = {case["made_by"]["torch"] for case in cases.values()}
    lines = [
        f"# {device}",
        "",
        f"By `make benchmark`, commit {', '.join(sorted(commits))}, torch {', '.join(sorted(torches))}. Times are "
        "medians of n rounds with quartiles; the contenders of a setting were measured in turn, round by round, in "
        "one process. Memory is what the work needs beyond weights and inputs.",
        "",
        *(f"![{name}]({name})" for name in pictures),
        "",
        "## Targets",
        "",
        *_table(("target", "measured", "bound", ""), (target.row for target in targets(cases))),
    ]
    for section in SECTIONS:
        if some := [case for case in cases.values() if case["section"] == section]:
            lines += ["", f"## {section.capitalize()}", "", *_section(section, some)]
            lines += ["", *_growth(cases, section)]
    return "\n".join(lines).rstrip() + "\n"


def _section(section: str, cases: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a table of every contender of every case."""
    reference, against = {
        "transforms": ("copy", "share of copy bandwidth"),
        "pipeline": ("step", "of a step"),
    }.get(section, (VANILLA, "time / vanilla"))
    rows = []
    for case in sorted(cases, key=lambda case: [str(v).zfill(8) for v in case["setting"].values()]):
        setting = _words(case["setting"])
        base: dict[str, Any] = next((c for n, c in case["contenders"].items() if n.startswith(reference)), {})
        for name, contender in case["contenders"].items():
            rows.append((setting, name, *_figures(section, name, contender, base)))
            setting = ""
    return _table(("setting", "", "ms", "n", against, "per second", "memory, MB", "memory / vanilla"), rows)


def _figures(section: str, name: str, contender: dict[str, Any], base: dict[str, Any]) -> tuple[str, ...]:
    if "absent" in contender:
        return contender["absent"], "", "", "", "", ""
    samples, relative = contender["samples"], "—"
    low, middle, high = quartiles(samples)
    milliseconds = f"{1e3 * middle:.2f} ({1e3 * low:.2f} to {1e3 * high:.2f})"
    if len(base.get("samples", ())) == len(samples):
        pair = samples, base["samples"]
        share = bandwidth(*pair, name.rpartition(", ")[2]) if section == "transforms" else ratio(*pair)
        relative = f"{share:.2f}"
    memory, least = contender.get("memory"), base.get("memory")
    megabytes = f"{memory / 1e6:,.1f}" if memory else "—"
    against = f"{memory / least:.2f}" if memory and least else "—"
    return milliseconds, str(len(samples)), relative, f"{1 / middle:.2f}", megabytes, against


def quartiles(samples: list[float]) -> tuple[float, ...]:
    """Return lower quartile, median and upper quartile of one sample or more."""
    return (*quantiles(samples, n=4, method="inclusive"),) if len(samples) > 1 else (samples[0],) * 3


def _growth(cases: Cases, section: str) -> Iterator[str]:
    """Yield a table of each contender's growth per doubling of the length; nothing without two lengths."""
    settings = [TRANSFORM, TRANSFORM | {"level": "full"}] if section == "transforms" else [FLOAT32]
    names = dict.fromkeys(n for c in cases.values() if c["section"] == section for n in c["contenders"])
    rows = []
    for setting in settings:
        for name in names:
            whole, late = (growth(cases, section, setting, name, shortest) for shortest in (0, 4096))
            if whole is not None:
                said = _words({key: value for key, value in setting.items() if key != "length"})
                rows.append((name, said, f"{whole:.2f}", "—" if late is None else f"{late:.2f}"))
    if rows:
        yield from _table(("cost per doubling of the length", "", "all lengths", "4,096 on"), rows)


def _words(setting: Setting) -> str:
    return ", ".join(f"{k} {v:,}" if isinstance(v, int) else f"{k} {v}" for k, v in setting.items())


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"
