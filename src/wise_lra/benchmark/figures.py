"""What follows from measurements: medians, ratios, growth. Pure arithmetic on the file that `store` writes."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

Cases = dict[str, dict[str, Any]]
Setting = dict[str, str | int]


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of n samples."""

    n: int
    median: float
    low: float
    high: float


def spread(samples: list[float]) -> Spread:
    """Return the spread of one sample or more."""
    if len(samples) == 1:
        return Spread(1, samples[0], samples[0], samples[0])
    low, middle, high = quantiles(samples, n=4, method="inclusive")
    return Spread(len(samples), middle, low, high)


def ratio(some: list[float], others: list[float]) -> float:
    """Return the median of some[i] / others[i]: both were measured in round i, so a slow round cancels."""
    return median(one / other for one, other in zip(some, others, strict=True))


def growth(first: tuple[int, float], last: tuple[int, float]) -> float:
    """Return by what cost is multiplied when length doubles, from (length, cost) at two lengths."""
    return float((last[1] / first[1]) ** (1 / math.log2(last[0] / first[0])))


def series(cases: Cases, section: str, name: str, setting: Setting) -> dict[int, dict[str, Any]]:
    """Return length -> contender ``name`` of a section, where the other settings are these, shortest first."""
    found = {}
    for case in cases.values():
        same = setting.items() <= case["setting"].items()
        contender = case["contenders"].get(name, {})
        if case["section"] == section and same and contender.get("samples"):
            found[int(case["setting"]["length"])] = contender
    return dict(sorted(found.items()))


def grows(cases: Cases, section: str, name: str, setting: Setting, shortest: int = 0) -> float | None:
    """Return the growth per doubling between the ends of a series, from ``shortest`` on; None without two ends."""
    found = series(cases, section, name, setting)
    ends = [(length, median(one["samples"])) for length, one in found.items() if length >= shortest]
    return growth(ends[0], ends[-1]) if len(ends) > 1 else None


def bandwidth(samples: list[float], copy: list[float], passes: str) -> float:
    """Return the share of a copy's bandwidth that a transform there and back reaches.

    It must read signal and bands once each and write them once each, twice with gradients; a copy reads and
    writes one.
    """
    return (4 if passes == "forward + backward" else 2) * ratio(copy, samples)


def overhead(whole: list[float], model: list[float]) -> float:
    """Return the share of steps that is not the model's, from seconds of each and of the model's part in it."""
    return 1 - ratio(model, whole)


def compared(cases: Cases, section: str, setting: Setting, some: str, other: str) -> float | None:
    """Return the paired ratio of the times of two contenders at a setting, None where one was not measured."""
    return _of_both(cases, section, setting, (some, other), "samples", ratio)


def memory(cases: Cases, section: str, setting: Setting, some: str, other: str) -> float | None:
    """Return the ratio of the memory of two contenders at a setting, None where one was not measured."""
    return _of_both(cases, section, setting, (some, other), "memory", lambda one, two: one / two)


def _of_both(
    cases: Cases,
    section: str,
    setting: Setting,
    names: tuple[str, str],
    what: str,
    function: Callable[[Any, Any], float],
) -> float | None:
    for case in cases.values():
        if case["section"] == section and setting.items() <= case["setting"].items():
            values = [case["contenders"].get(name, {}).get(what) for name in names]
            if all(values):
                return function(*values)
    return None
