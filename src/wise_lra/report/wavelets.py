"""The wavelets that a run learned, before its first step and at its best checkpoint, as rows for charts."""

from dataclasses import dataclass

import numpy as np

from wise_lra.evaluation import of_record, untrained
from wise_lra.plots.measure import banks, functions, responses
from wise_lra.report.kept import Kept
from wise_lra.report.series import Series

POINTS = 160  # of a curve, at most
PANELS = {
    "scaling function φ": "function",
    "wavelet function ψ": "function",
    "low-pass |H|": "response",
    "high-pass |G|": "response",
}
"""What is drawn of a layer, and the kind of chart that draws it."""


@dataclass(frozen=True)
class Layer:
    """One layer's bank: its number, counted from 1, and the rows of each of PANELS."""

    number: int
    panels: dict[str, Series]


def learned(kept: Kept) -> list[Layer]:
    """Return the first and the last layer of a run whose banks are learned; [] where it learned none.

    Where channels have filters of their own, the line is their median and the band holds 80 % of them. Raises
    ValueError where configuration or checkpoint cannot be used.
    """
    assert kept.folder is not None
    run = of_record(kept.record, kept.record.path(""), kept.folder)
    found = banks(run.model)
    if not any(list(bank.parameters()) for _, bank in found):
        return []
    states = {"before training": banks(untrained(run.config)), "after training": found}
    layers = sorted({0, len(found) - 1})
    return [
        Layer(place + 1, _panels({state: of[place][1] for state, of in states.items()})) for place in layers
    ]


def _panels(states: dict[str, object]) -> dict[str, Series]:
    rows: dict[str, list[tuple[str | float, ...]]] = {name: [] for name in PANELS}
    for state, bank in states.items():
        time, *waves = functions(bank)  # type: ignore[arg-type]
        frequency, *gains = responses(bank)  # type: ignore[arg-type]
        axes = (time, time, frequency, frequency)
        for name, x, values in zip(PANELS, axes, (*waves, *gains), strict=True):
            rows[name] += _thinned(state, x, values)
    return {name: Series.of(("state", "x", "median", "low", "high"), found) for name, found in rows.items()}


def _thinned(state: str, x: np.ndarray, values: np.ndarray) -> list[tuple[str | float, ...]]:
    places = np.unique(np.linspace(0, len(x) - 1, POINTS).round().astype(int))
    low, middle, high = np.quantile(values[places], (0.1, 0.5, 0.9), axis=1)
    numbers = np.stack([x[places], middle, low, high], axis=1).round(4)
    return [(state, *row) for row in numbers.tolist()]
