"""Cost against length, on logarithmic axes: what is linear in length rises as the dotted line does."""

from typing import Any

from matplotlib import colormaps
from matplotlib.figure import Figure

from .draw import GUIDE

Series = dict[str, dict[int, float]]  # name -> length -> cost


def draw_costs(panels: dict[str, Series], title: str) -> Figure:
    """Draw a panel for each kind of cost, such as "time (s)"; series keep their colour from panel to panel."""
    names = list(dict.fromkeys(name for series in panels.values() for name in series))
    figure = Figure(figsize=(max(7.6, 5.2 * len(panels)), 4.6), layout="constrained")
    axes: list[Any] = list(figure.subplots(1, len(panels), squeeze=False)[0])
    figure.suptitle(title, fontsize=11)
    marks = "osD^vP*X<>"
    for panel, (label, series) in zip(axes, panels.items(), strict=True):
        for index, name in enumerate(names):
            if points := series.get(name):
                panel.plot(list(points), list(points.values()), marker=marks[index % len(marks)], markersize=4,
                           linewidth=1.4, color=colormaps["tab10"](index % 10), label=name)  # fmt: skip
        _guide(panel, series)
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set(xlabel="length", ylabel=label)
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        panel.spines[["top", "right"]].set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=1 + len(panels), frameon=False, fontsize=8
    )
    return figure


def _guide(panel: Any, series: Series) -> None:
    """Draw what grows as the length does, through the cheapest point."""
    points = [point for costs in series.values() for point in costs.items()]
    if not points:
        return
    (shortest, longest), least = (
        (f(n for n, _ in points) for f in (min, max)),
        min(cost for _, cost in points),
    )
    ends = [least, least * longest / shortest]
    panel.plot([shortest, longest], ends, ":", color=GUIDE, linewidth=1, label="linear in length", zorder=0)
