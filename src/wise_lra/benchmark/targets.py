"""Ratios and growth of what was measured, and the targets: bounds on them, the same on every machine."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any, Literal

from .measure import Setting
from .models import CHUNKED, IMAGE, VANILLA, VANILLA_CHUNKED, WIDE
from .transforms import BATCH, BOTH, FORWARD, LENGTH, TAPS, TWO_THREADS, WIDTH

Cases = dict[str, dict[str, Any]]
Side = Literal["at least", "at most"]

TRANSFORM: Setting = {"batch": BATCH, "length": LENGTH, "width": WIDTH, "taps": TAPS, "level": "1"}
FLOAT32: Setting = {"length": 4096, "precision": "float32"}


@dataclass(frozen=True)
class Target:
    """A bound on a value; the value is None where the cases that it needs were not measured."""

    what: str
    side: Side
    bound: float
    value: float | None

    @property
    def verdict(self) -> str:
        """Return holds, misses, or not measured."""
        if self.value is None:
            return "not measured"
        holds = self.value >= self.bound if self.side == "at least" else self.value <= self.bound
        return "holds" if holds else "misses"

    @property
    def row(self) -> tuple[str, str, str, str]:
        """Return target, value, bound and verdict as text."""
        value = "—" if self.value is None else f"{self.value:.3g}"
        return self.what, value, f"{self.side} {self.bound:g}", self.verdict


def targets(cases: Cases) -> Iterator[Target]:
    """Yield every target that needs no GPU, with what was measured."""
    steps = partial(compared, cases, "steps")
    yield from _transforms(cases)
    filters = ("fixed filters", "filters per channel")

    what = "cost per doubling of the length, from 4,096 on"
    for name in (f"{kind}, {passes}" for kind in filters for passes in (FORWARD, BOTH)):
        for level in ("1", "full"):
            value = growth(cases, "transforms", TRANSFORM | {"level": level}, name, 4096)
            yield Target(f"{what}: transform, {name}, level {level}", "at most", 2.1, value)
    for name in (
        f"wise_fixed {attention}" for attention in ("linear", "linformer", "longformer", "performer")
    ):
        value = growth(cases, "layers", FLOAT32, name, 4096)
        yield Target(f"{what}: layer of {name}", "at most", 2.1, value)

    for name, other in (("wise_fixed softmax", VANILLA), (WIDE, VANILLA), (CHUNKED, VANILLA_CHUNKED)):
        what = f"training step at 4,096, {name}"
        yield Target(f"{what}: time / {other}", "at most", 0.6, steps(FLOAT32, name, other))
        yield Target(f"{what}: memory / {other}", "at most", 0.7, steps(FLOAT32, name, other, "memory"))
    for name in ("wise_fixed linear", "wise_fixed performer"):
        value = steps(FLOAT32 | {"length": 16384}, name, VANILLA)
        yield Target(f"training step at 16,384, {name}: time / {VANILLA}", "at most", 0.15, value)
    value = steps(IMAGE, "wise_adaptive softmax", "wise_fixed softmax")
    yield Target("training step on Image, wise_adaptive: time / wise_fixed", "at most", 1.03, value)
    value = steps({"length": 2048, "width": 256, "share": "transform"}, "transform", "step")
    what = "transform's share of a wise_fixed training step at 2,048, width 256"
    yield Target(what, "at most", 0.1, value)

    for at in (case["setting"] for case in cases.values() if "backbone" in case["setting"]):
        share = compared(cases, "pipeline", at, "model", "step")
        what = f"{at['backbone']} on {at['task']}, preset={at['preset']}"
        what = f"share of a step outside forward, backward, optimiser: {what}"
        yield Target(what, "at most", 0.03, share and 1 - share)


def _transforms(cases: Cases) -> Iterator[Target]:
    """Yield the targets of the transform there and back beside others, at one setting each."""

    def target(
        changes: Setting,
        name: str,
        passes: str,
        bound: float,
        other: str = "rfft + irfft",
        side: Side = "at most",
    ) -> Target:
        setting = TRANSFORM | changes
        shape = f"({setting['batch']}, {setting['length']:,}, {setting['width']})"
        what = (
            f"wavedec + waverec, level {setting['level']}, {shape}, {setting['taps']} taps, {name}, {passes}"
        )
        if "threads" in setting:
            what = f"{what}, {setting['threads']} threads, {setting['allocator']} allocator"
        ours, theirs = f"{name}, {passes}", f"{other}, {FORWARD if other == 'copy' else passes}"
        if side == "at most":
            value, how = compared(cases, "transforms", setting, ours, theirs), f"time / {other}"
        else:
            value, how = compared(cases, "transforms", setting, theirs, ours), f"{other}'s time / ours"
        if other == "copy":
            value, how = value and 2 * value, "share of copy bandwidth"
        return Target(f"{what}: {how}", side, bound, value)

    learned, fixed = "filters per channel", "fixed filters"
    for length in (1024, LENGTH):
        for taps in (2, 4, 8, TAPS):
            yield target({"length": length, "taps": taps}, learned, BOTH, 0.8)
            yield target({"length": length, "taps": taps}, fixed, BOTH, 0.4)
    for level in ("6", "full"):
        for taps in (2, 4, 8, TAPS):
            yield target({"length": 1024, "taps": taps, "level": level}, learned, BOTH, 1.6)
    for taps in (2, 4):
        for name in (fixed, learned):
            yield target({"taps": taps}, name, FORWARD, 0.5, "copy", "at least")
    yield target({"length": 1024, "width": 96, "taps": 40}, learned, BOTH, 1.2)
    yield target({}, fixed, BOTH, 12, "ptwt", "at least")
    yield target({}, fixed, BOTH, 4, "pytorch_wavelets", "at least")
    yield target(TWO_THREADS, learned, FORWARD, 0.8)


def compared(
    cases: Cases, section: str, setting: Setting, name: str, other: str, what: str = "samples"
) -> float | None:
    """Return the paired ratio of the times of two contenders, or the ratio of their "memory"; None without both."""
    for case in cases.values():
        if (case["section"], case["setting"]) == (section, setting):
            one, two = (case["contenders"].get(contender, {}).get(what) for contender in (name, other))
            if one and two:
                return ratio(one, two) if what == "samples" else one / two
    return None


def ratio(some: list[float], others: list[float]) -> float:
    """Return the median of some[i] / others[i]: both are of round i, so that a slow round cancels."""
    return median(one / other for one, other in zip(some, others, strict=True))


def bandwidth(samples: list[float], copy: list[float], passes: str) -> float:
    """Return the share of a copy's bandwidth that a transform there and back reaches.

    It must read and write the signal and the bands once each, twice with gradients; a copy reads and writes one.
    """
    return (4 if passes == BOTH else 2) * ratio(copy, samples)


def series(cases: Cases, section: str, setting: Setting, name: str) -> dict[int, dict[str, Any]]:
    """Return length -> what a contender took, shortest first; the cases equal the setting except in the length."""
    found = {}
    for case in cases.values():
        at, contender = case["setting"], case["contenders"].get(name, {})
        same = (case["section"], at) == (section, setting | {"length": at.get("length")})
        if same and "samples" in contender:
            found[int(at["length"])] = contender
    return dict(sorted(found.items()))


def growth(cases: Cases, section: str, setting: Setting, name: str, shortest: int = 0) -> float | None:
    """Return by what the time is multiplied when the length doubles, between the ends of a series.

    None where fewer than two lengths from ``shortest`` on were measured.
    """
    found = series(cases, section, setting, name)
    ends = [(length, median(one["samples"])) for length, one in found.items() if length >= shortest]
    if len(ends) < 2:
        return None
    (first, cost), (last, most) = ends[0], ends[-1]
    return float((most / cost) ** (1 / math.log2(last / first)))
