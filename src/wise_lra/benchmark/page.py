"""The measurements as a page of Markdown: targets, then a table a section."""

from collections.abc import Iterable, Iterator
from typing import Any

from .figures import Cases, Setting, bandwidth, grows, ratio, spread
from .models import VANILLA
from .targets import Target, targets

SECTIONS = ("transforms", "layers", "steps", "pipeline")


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
        *_table(("target", "measured", "bound", ""), map(_target, targets(cases))),
    ]
    for section in SECTIONS:
        some = [case for case in cases.values() if case["section"] == section]
        if some:
            lines += ["", f"## {section.capitalize()}", "", *_section(section, some)]
            lines += ["", *_growth(cases, section)]
    return "\n".join(lines).rstrip() + "\n"


def _target(target: Target) -> tuple[str, ...]:
    return target.what, target.measured, f"{target.side} {target.bound:g}", target.verdict


def _section(section: str, cases: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a table of every contender of every case."""
    reference = {"transforms": "copy", "layers": VANILLA, "steps": VANILLA, "pipeline": "step"}[section]
    rows = []
    for case in sorted(cases, key=lambda case: [str(v).zfill(8) for v in case["setting"].values()]):
        setting = ", ".join(f"{name} {_plain(value)}" for name, value in case["setting"].items())
        base: dict[str, Any] = next((c for n, c in case["contenders"].items() if n.startswith(reference)), {})
        for name, contender in case["contenders"].items():
            rows.append((setting, name, *_figures(section, name, contender, base)))
            setting = ""
    against = {"transforms": "share of copy bandwidth", "pipeline": "of a step"}.get(
        section, "time / vanilla"
    )
    return _table(("setting", "", "ms", "n", against, "per second", "memory, MB", "memory / vanilla"), rows)


def _figures(section: str, name: str, contender: dict[str, Any], base: dict[str, Any]) -> tuple[str, ...]:
    if contender.get("absent"):
        return contender["absent"], "", "", "", "", ""
    s = spread(contender["samples"])
    milliseconds = f"{1e3 * s.median:.2f} ({1e3 * s.low:.2f} to {1e3 * s.high:.2f})"
    relative = "—"
    if base.get("samples") and len(base["samples"]) == s.n:
        pair = contender["samples"], base["samples"]
        passes = name.rpartition(", ")[2]
        relative = f"{bandwidth(*pair, passes) if section == 'transforms' else ratio(*pair):.2f}"
    memory, least = contender.get("memory"), base.get("memory")
    megabytes = f"{memory / 1e6:,.1f}" if memory else "—"
    share = f"{memory / least:.2f}" if memory and least else "—"
    return milliseconds, str(s.n), relative, f"{1 / s.median:.2f}", megabytes, share


def _growth(cases: Cases, section: str) -> Iterator[str]:
    """Yield what a doubling of the length costs each contender."""
    settings: dict[str, list[Setting]] = {
        "transforms": [{"batch": 4, "width": 128, "taps": 16, "level": level} for level in ("1", "full")],
        "layers": [{"precision": "float32"}],
        "steps": [{"precision": "float32"}],
    }
    rows = []
    for setting in settings.get(section, []):
        names = dict.fromkeys(n for c in cases.values() if c["section"] == section for n in c["contenders"])
        for name in names:
            whole, late = (grows(cases, section, name, setting, least) for least in (0, 4096))
            if whole is not None:
                said = ", ".join(f"{key} {value}" for key, value in setting.items())
                rows.append((name, said, f"{whole:.2f}", "—" if late is None else f"{late:.2f}"))
    if not rows:
        return iter(())
    return _table(("cost per doubling of the length", "", "all lengths", "4,096 on"), rows)


def _plain(value: str | int) -> str:
    return f"{value:,}" if isinstance(value, int) else value


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"
