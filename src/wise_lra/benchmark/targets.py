"""The targets: bounds on ratios of one run, so that they mean the same on every machine."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .figures import Cases, Setting, compared, grows, memory, overhead
from .models import CHUNKED, VANILLA, VANILLA_CHUNKED, WIDE
from .transforms import BATCH, BOTH, FORWARD, LENGTH, TAPS, WIDTH

_FILTERS = ("fixed filters", "filters per channel")
_LINEAR = ("linear", "linformer", "longformer", "performer")


@dataclass(frozen=True)
class Target:
    """A bound on a figure, and the figure: None where the cases that it needs were not measured."""

    what: str
    side: Literal["at least", "at most"]
    bound: float
    value: float | None

    @property
    def verdict(self) -> str:
        """Say holds, misses, or that nothing was measured."""
        if self.value is None:
            return "not measured"
        holds = self.value >= self.bound if self.side == "at least" else self.value <= self.bound
        return "holds" if holds else "misses"

    @property
    def measured(self) -> str:
        """The figure to two or three digits."""
        return "—" if self.value is None else f"{self.value:.3g}"


def targets(cases: Cases) -> list[Target]:
    """Return every target that can be judged without a GPU, with what was measured."""
    return [*_transforms(cases), *_growth(cases), *_steps(cases), *_pipeline(cases)]


def _transforms(cases: Cases) -> Iterator[Target]:
    at: Setting = {"batch": BATCH, "length": LENGTH, "width": WIDTH, "taps": TAPS, "level": "1"}
    there = f"wavedec + waverec, level 1, ({BATCH}, {LENGTH:,}, {WIDTH})"
    figure = compared(cases, "transforms", at, f"ptwt, {BOTH}", f"fixed filters, {BOTH}")
    yield Target(f"{there}, {TAPS} taps, fixed filters, {BOTH}: ptwt's time / ours", "at least", 5, figure)
    for taps in (2, 4, TAPS):
        for kind in _FILTERS:
            names = f"{kind}, {FORWARD}", f"rfft + irfft, {FORWARD}"
            figure = compared(cases, "transforms", at | {"taps": taps}, *names)
            yield Target(
                f"{there}, {taps} taps, {kind}, {FORWARD}: time / rfft + irfft", "at most", 1, figure
            )


def _growth(cases: Cases) -> Iterator[Target]:
    what = "cost per doubling of the length, from 4,096 on"
    for kind in _FILTERS:
        for passes in (FORWARD, BOTH):
            for level in ("1", "full"):
                at: Setting = {"batch": BATCH, "width": WIDTH, "taps": TAPS, "level": level}
                figure = grows(cases, "transforms", f"{kind}, {passes}", at, 4096)
                yield Target(f"{what}: transform, {kind}, {passes}, level {level}", "at most", 2.1, figure)
    for attention in _LINEAR:
        figure = grows(cases, "layers", f"wise_fixed {attention}", {"precision": "float32"}, 4096)
        yield Target(f"{what}: layer of wise_fixed {attention}", "at most", 2.1, figure)


def _steps(cases: Cases) -> Iterator[Target]:
    at: Setting = {"length": 4096, "precision": "float32"}
    for name, other in (("wise_fixed softmax", VANILLA), (WIDE, VANILLA), (CHUNKED, VANILLA_CHUNKED)):
        what = f"training step at 4,096, {name}"
        figure = compared(cases, "steps", at, name, other)
        yield Target(f"{what}: time / {other}", "at most", 0.6, figure)
        figure = memory(cases, "steps", at, name, other)
        yield Target(f"{what}: memory / {other}", "at most", 0.7, figure)
    for attention in ("linear", "performer"):
        name = f"wise_fixed {attention}"
        figure = compared(cases, "steps", at | {"length": 16384}, name, VANILLA)
        yield Target(f"training step at 16,384, {name}: time / vanilla softmax", "at most", 0.15, figure)
    figure = compared(cases, "steps", {"share": "transform"}, "transform", "step")
    yield Target(
        "transform's share of a wise_fixed training step at 2,048, width 256", "at most", 0.1, figure
    )


def _pipeline(cases: Cases) -> Iterator[Target]:
    for case in cases.values():
        if case["section"] == "pipeline":
            setting, contenders = case["setting"], case["contenders"]
            what = f"{setting['backbone']} on {setting['task']}, preset={setting['preset']}"
            figure = overhead(contenders["step"]["samples"], contenders["model"]["samples"])
            yield Target(
                f"share of a step outside forward, backward, optimiser: {what}", "at most", 0.03, figure
            )
