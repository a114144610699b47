"""Figures of wavelets, costs and learning curves, in colours of Okabe and Ito, safe for the colour-blind.

Where channels have filters of their own, a line is their median and its shade holds 80 % of them.
"""

import io
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from wise_lra.registry import BACKBONES, main_rows
from wise_lra.results.atomic import write_bytes
from wise_lra.results.columns import Column

BEFORE, AFTER, GUIDE = "#E69F00", "#0072B2", "#999999"

Curves = dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
"""State, such as "before training", -> what `measure.functions` or `measure.responses` returns."""
Series = dict[str, dict[int, float]]
"""Name -> length -> cost."""


def draw_functions(curves: Curves, title: str) -> Figure:
    """Draw scaling and wavelet function, from `measure.functions`."""
    figure, axes = _panels(2, title)
    for panel, place, name in ((axes[0], 1, "Scaling function φ"), (axes[1], 2, "Wavelet function ψ")):
        for state, found in curves.items():
            _curve(panel, found[0], found[place], state)
        panel.set(title=name, xlabel="time (samples of the coarser band)", ylabel="amplitude (unit energy)")
        panel.axhline(0, color=GUIDE, linewidth=0.6, zorder=0)
    return _legend(figure, axes)


def draw_responses(curves: Curves, title: str) -> Figure:
    """Draw both filters' gain over frequency and what their powers add up to, from `measure.responses`."""
    figure, axes = _panels(3, title)
    for panel, name in ((axes[0], "Low-pass |H|"), (axes[1], "High-pass |G|"), (axes[2], "|H|² + |G|²")):
        panel.set(title=name, xlabel="frequency (cycles per sample)", xlim=(0, 0.5))
    for state, (frequency, low, high) in curves.items():
        for panel, values in zip(axes, (low, high, low**2 + high**2), strict=True):
            _curve(panel, frequency, values, state)
    for panel in axes:
        panel.set_ylim(0, max(1.05 * panel.get_ylim()[1], 1.6))
    axes[0].set_ylabel("gain")
    axes[2].set_ylabel("power")
    axes[2].axhline(2, color=GUIDE, linewidth=1, linestyle=":", zorder=0)
    axes[2].text(0.25, 0.08, "orthogonal filters: 2 everywhere", color="#555555", ha="center", fontsize=8)
    return _legend(figure, axes)


def draw_errors(errors: dict[str, list[dict[int, float]]], title: str) -> Figure:
    """Draw the reconstruction error by level: of each layer a thin line, of the layers' median a thick one."""
    figure, (panel,) = _panels(1, title)
    for state, layers in errors.items():
        colour, line, mark = _style(state)
        levels = sorted(layers[0])
        values = np.array([[layer[level] for level in levels] for layer in layers]).clip(1e-9)
        panel.plot(levels, values.T, color=colour, linewidth=0.6, alpha=0.6)
        panel.plot(levels, np.median(values, axis=0), line, color=colour, marker=mark, label=state)
    panel.set_yscale("log")
    low, high = panel.get_ylim()
    panel.set_ylim(min(low, 1e-8), max(high, 3.0))
    panel.axhline(2**-23, color=GUIDE, linewidth=1, linestyle=":", zorder=0)
    panel.annotate("float32: 2⁻²³", (levels[0], 2**-23), color="#555555", va="top", fontsize=8,
                   xytext=(0, -8), textcoords="offset points")  # fmt: skip
    panel.set_xticks(levels)
    panel.set(title="Noise, decomposed and reconstructed", xlabel="level",
              ylabel="relative error ‖x̂ - x‖ / ‖x‖")  # fmt: skip
    return _legend(figure, [panel])


def draw_energies(energies: dict[str, np.ndarray], title: str, examples: str) -> Figure:
    """Draw the share of each band in the energy that enters each layer, from `measure.energies`."""
    figure, axes = _panels(len(energies), title)
    for panel, (state, shares) in zip(axes, energies.items(), strict=True):
        layers, bands = shares.shape
        left, rows = np.zeros(layers), np.arange(layers) + 1
        for band in range(bands):
            name = f"approximation {bands - 1}" if band == 0 else f"detail {bands - band}"
            colour = colormaps["cividis"](band / max(1, bands - 1))
            panel.barh(rows, 100 * shares[:, band], left=left, color=colour,
                       label=name, edgecolor="white", linewidth=0.8)  # fmt: skip
            for row, share, start in zip(rows, 100 * shares[:, band], left, strict=True):
                if share >= 8:
                    ink = "white" if band < bands / 2 else "black"
                    panel.text(start + share / 2, row, f"{share:.0f} %", color=ink, ha="center", va="center")
            left += 100 * shares[:, band]
        panel.set(title=f"{state.capitalize()}", xlabel="share of energy (%)", xlim=(0, 100))
        panel.set_yticks(rows)
        panel.set_ylim(max(layers, 3) + 0.6, 0.4)
    axes[0].set_ylabel("layer (1 = first)")
    said = f"band, coarse to fine; {examples}"
    return _legend(figure, axes, ncols=min(bands, 4), fontsize=10, title=said, title_fontsize=9)


def draw_costs(panels: dict[str, Series], title: str) -> Figure:
    """Draw cost against length, a panel for each kind of cost, on logarithmic axes.

    A series keeps its colour from panel to panel. A dotted line shows what is linear in length.
    """
    names = list(dict.fromkeys(name for series in panels.values() for name in series))
    figure, axes = _panels(len(panels), title, (max(7.6, 5.2 * len(panels)), 4.6))
    marks = "osD^vP*X<>"
    for panel, (label, series) in zip(axes, panels.items(), strict=True):
        for index, name in enumerate(names):
            if line := series.get(name):
                panel.plot(list(line), list(line.values()), marker=marks[index % len(marks)], markersize=4,
                           linewidth=1.4, color=colormaps["tab10"](index % 10), label=name)  # fmt: skip
        if points := [point for costs in series.values() for point in costs.items()]:
            ends, least = [f(n for n, _ in points) for f in (min, max)], min(cost for _, cost in points)
            panel.plot(ends, [least, least * ends[1] / ends[0]], ":", color=GUIDE, linewidth=1,
                       label="linear in length", zorder=0)  # fmt: skip
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set(xlabel="length", ylabel=label)
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    return _legend(figure, axes, ncols=1 + len(panels), fontsize=8)


def learning_curves(columns: Sequence[Column]) -> Figure:
    """Draw validation accuracy against steps, a panel for each column of a table that has records.

    A line is the mean over seeds of a main row, its shade their range, the dotted line the majority class.
    """
    shown = [column for column in columns if column.records]
    figure, panels = _panels(len(shown), None, (3.1 * len(shown), 3.2))
    for panel, column in zip(panels, shown, strict=True):
        for backbone, attention in main_rows():
            colour = BACKBONES[backbone].light
            points: dict[int, list[float]] = defaultdict(list)
            for record in column.records:
                if (record.backbone, record.attention) == (backbone, attention):
                    for point in record.history:
                        if point.get("validation_accuracy") is not None:
                            points[point["step"]].append(100 * point["validation_accuracy"])
            steps = sorted(points)
            means = [sum(points[step]) / len(points[step]) for step in steps]
            panel.plot(steps, means, color=colour, label=backbone, linewidth=1.6)
            low, high = ([end(points[step]) for step in steps] for end in (min, max))
            panel.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)
        panel.axhline(100 * (column.majority or 0), color="#999999", linewidth=0.9, linestyle=":")
        panel.set(title=column.label, xlabel="steps", xlim=(0, None))
        panel.title.set_fontsize(9)
    panels[0].set_ylabel("validation accuracy, %")
    return _legend(figure, panels, ncols=len(main_rows()))


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write `folder`/<name>.png and .svg, each whole or not at all; return both. Equal figures give equal files."""
    written = [folder / f"{name}.png", folder / f"{name}.svg"]
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=160)
    for path, content in zip(written, (png.getvalue(), svg(figure, "path").encode()), strict=True):
        write_bytes(path, content)
    return written


def svg(figure: Figure, letters: str = "none") -> str:
    """Return a figure as SVG, its letters as text ("none") or as curves ("path"). Equal figures give equal text."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": letters, "svg.hashsalt": "learning"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def pixels(figure: Figure) -> np.ndarray:
    """Return the figure as (height, width, 3) in uint8."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _panels(
    count: int, title: str | None, size: tuple[float, float] | None = None
) -> tuple[Figure, list[Any]]:
    figure = Figure(figsize=size or (max(5.5, 4 * count), 3.9), layout="constrained")
    axes = list(figure.subplots(1, count, squeeze=False)[0])
    if title:
        figure.suptitle(title, fontsize=11)
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _curve(panel: Any, x: np.ndarray, values: np.ndarray, state: str) -> None:
    (colour, line, _), label = _style(state), state
    if values.shape[1] > 1:
        label = f"median, {state}"
        panel.fill_between(x, *np.quantile(values, (0.1, 0.9), axis=1), color=colour, alpha=0.25, linewidth=0,
                           label=f"80 % of channels, {state}")  # fmt: skip
    panel.plot(x, np.median(values, axis=1), line, color=colour, label=label)


def _style(state: str) -> tuple[str, str, str]:
    """Return colour, line and mark: before and after also differ in print without colours."""
    return (BEFORE, "--", "s") if state.startswith("before") else (AFTER, "-", "o")


def _legend(figure: Figure, axes: list[Any], ncols: int = 2, fontsize: int = 9, **how: Any) -> Figure:
    """Add the legend of the first panel where it has more than one entry; return the figure."""
    handles, labels = axes[0].get_legend_handles_labels()
    if len(labels) > 1:
        figure.legend(handles, labels, loc="outside lower center", ncols=ncols, frameon=False,
                      fontsize=fontsize, **how)  # fmt: skip
    return figure
