"""Figures of wavelets, costs and learning curves, in colours of Okabe and Ito, safe for the colour-blind.

Where channels have filters of their own, a line is their median and its shade holds 80 % of them.
"""

import io
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from wise_lra.registry import BACKBONES, main_rows
from wise_lra.results.atomic import write_bytes
from wise_lra.results.columns import Column

BEFORE, AFTER, GUIDE, INK = "#E69F00", "#0072B2", "#999999", "#555555"

Curves = dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
"""State, such as "before training", -> what `measure.functions` or `measure.responses` returns."""
Series = dict[str, dict[int, float]]
"""Name -> length -> cost."""


def draw_functions(curves: Curves, title: str) -> Figure:
    """Draw scaling and wavelet function, from `measure.functions`."""
    figure, axes = _panels(("Scaling function φ", "Wavelet function ψ"), title)
    for place, panel in enumerate(axes, start=1):
        for state, values in curves.items():
            _curve(panel, values[0], values[place], state)
        panel.set(xlabel="time (samples of the coarser band)", ylabel="amplitude (unit energy)")
        panel.axhline(0, color=GUIDE, linewidth=0.6, zorder=0)
    return _legend(figure, axes)


def draw_responses(curves: Curves, title: str) -> Figure:
    """Draw both filters' gain over frequency and what their powers add up to, from `measure.responses`."""
    figure, axes = _panels(("Low-pass |H|", "High-pass |G|", "|H|² + |G|²"), title)
    for state, (frequency, low, high) in curves.items():
        for panel, values in zip(axes, (low, high, low**2 + high**2), strict=True):
            _curve(panel, frequency, values, state)
    for panel in axes:
        panel.set(xlabel="frequency (cycles per sample)", xlim=(0, 0.5))
        panel.set_ylim(0, max(1.05 * panel.get_ylim()[1], 1.6))
    axes[0].set_ylabel("gain")
    axes[2].set_ylabel("power")
    axes[2].axhline(2, color=GUIDE, linewidth=1, linestyle=":", zorder=0)
    axes[2].text(0.25, 0.08, "orthogonal filters: 2 everywhere", color=INK, ha="center", fontsize=8)
    return _legend(figure, axes)


def draw_errors(errors: dict[str, list[dict[int, float]]], title: str) -> Figure:
    """Draw the reconstruction error by level: of each layer a thin line, of the layers' median a thick one."""
    figure, (panel,) = _panels(("Noise, decomposed and reconstructed",), title)
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
    below = {"xytext": (0, -8), "textcoords": "offset points", "va": "top"}
    panel.annotate("float32: 2⁻²³", (levels[0], 2**-23), color=INK, fontsize=8, **below)
    panel.set_xticks(levels)
    panel.set(xlabel="level", ylabel="relative error ‖x̂ - x‖ / ‖x‖")
    return _legend(figure, [panel])


def draw_energies(energies: dict[str, np.ndarray], title: str, examples: str) -> Figure:
    """Draw the share of each band in the energy that enters each layer, from `measure.energies`."""
    figure, axes = _panels([state.capitalize() for state in energies], title)
    for panel, shares in zip(axes, energies.values(), strict=True):
        layers, bands = shares.shape
        start, rows = np.zeros(layers), np.arange(layers) + 1
        for band, width in enumerate(100 * shares.T):
            name = f"detail {bands - band}" if band else f"approximation {bands - 1}"
            colour, ink = (
                colormaps["cividis"](band / max(1, bands - 1)),
                "white" if band < bands / 2 else "black",
            )
            panel.barh(rows, width, left=start, color=colour, label=name, edgecolor="white", linewidth=0.8)
            for row, share, x in zip(rows, width, start, strict=True):
                if share >= 8:
                    panel.text(x + share / 2, row, f"{share:.0f} %", color=ink, ha="center", va="center")
            start += width
        panel.set(xlabel="share of energy (%)", xlim=(0, 100), ylim=(max(layers, 3) + 0.6, 0.4), yticks=rows)
    axes[0].set_ylabel("layer (1 = first)")
    bands_named = f"band, coarse to fine; {examples}"
    return _legend(figure, axes, ncols=min(bands, 4), fontsize=10, title=bands_named, title_fontsize=9)


def draw_costs(panels: dict[str, Series], title: str) -> Figure:
    """Draw cost against length, a panel for each kind of cost, on logarithmic axes.

    A series keeps its colour from panel to panel. A dotted line shows what is linear in length.
    """
    names = list(dict.fromkeys(name for series in panels.values() for name in series))
    figure, axes = _panels([""] * len(panels), title, (max(7.6, 5.2 * len(panels)), 4.6))
    looks = {
        name: {"color": colormaps["tab10"](index % 10), "marker": "osD^vP*X<>"[index % 10]}
        for index, name in enumerate(names)
    }
    for panel, (label, series) in zip(axes, panels.items(), strict=True):
        for name, line in ((name, series[name]) for name in names if series.get(name)):
            panel.plot(
                list(line), list(line.values()), markersize=4, linewidth=1.4, label=name, **looks[name]
            )
        if points := [point for costs in series.values() for point in costs.items()]:
            ends, least = [f(n for n, _ in points) for f in (min, max)], min(cost for _, cost in points)
            linear, dotted = [least, least * ends[1] / ends[0]], {"color": GUIDE, "linewidth": 1, "zorder": 0}
            panel.plot(ends, linear, ":", label="linear in length", **dotted)
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
    figure, panels = _panels([column.label for column in shown], None, (3.1 * len(shown), 3.2))
    for panel, column in zip(panels, shown, strict=True):
        for backbone, attention in main_rows():
            points: dict[int, list[float]] = defaultdict(list)
            for record in column.by_seed((backbone, attention)).values():
                for point in record.history:
                    if point.get("validation_accuracy") is not None:
                        points[point["step"]].append(100 * point["validation_accuracy"])
            steps, colour = sorted(points), BACKBONES[backbone].light
            means, low, high = ([end(points[step]) for step in steps] for end in (fmean, min, max))
            panel.plot(steps, means, color=colour, label=backbone, linewidth=1.6)
            panel.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)
        panel.axhline(100 * (column.majority or 0), color=GUIDE, linewidth=0.9, linestyle=":")
        panel.set(xlabel="steps", xlim=(0, None))
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
    titles: Sequence[str], title: str | None, size: tuple[float, float] | None = None
) -> tuple[Figure, list[Any]]:
    figure = Figure(figsize=size or (max(5.5, 4 * len(titles)), 3.9), layout="constrained")
    axes = list(figure.subplots(1, len(titles), squeeze=False)[0])
    if title:
        figure.suptitle(title, fontsize=11)
    for panel, own in zip(axes, titles, strict=True):
        panel.set_title(own)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _curve(panel: Any, x: np.ndarray, values: np.ndarray, state: str) -> None:
    (colour, line, _), label = _style(state), state
    if values.shape[1] > 1:
        low, high = np.quantile(values, (0.1, 0.9), axis=1)
        shade, label = f"80 % of channels, {state}", f"median, {state}"
        panel.fill_between(x, low, high, color=colour, alpha=0.25, linewidth=0, label=shade)
    panel.plot(x, np.median(values, axis=1), line, color=colour, label=label)


def _style(state: str) -> tuple[str, str, str]:
    """Return colour, line and mark: before and after also differ in print without colours."""
    return (BEFORE, "--", "s") if state.startswith("before") else (AFTER, "-", "o")


def _legend(figure: Figure, axes: list[Any], ncols: int = 2, fontsize: int = 9, **how: Any) -> Figure:
    """Add the legend of the first panel where it has more than one entry; return the figure."""
    handles, labels = axes[0].get_legend_handles_labels()
    if len(labels) > 1:
        how |= {"loc": "outside lower center", "ncols": ncols, "fontsize": fontsize, "frameon": False}
        figure.legend(handles, labels, **how)
    return figure
