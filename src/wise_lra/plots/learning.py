"""Learning curves of a table's runs: validation accuracy against steps, a panel a task, a line a backbone."""

import io
from collections import defaultdict
from collections.abc import Sequence

import matplotlib
from matplotlib.figure import Figure

from wise_lra.results.columns import Column

COLOURS = {
    "vanilla": "#4d5660",
    "fnet": "#c98500",
    "wise_fixed": "#0072b2",
    "wise_adaptive": "#c94f00",
}
"""The four backbones of the main table, by Okabe and Ito's colours, safe for the colour-blind."""


def learning_curves(columns: Sequence[Column]) -> Figure:
    """Draw the mean over seeds, their range as a shade, and the majority class as a dotted line.

    Columns without records have no panel.
    """
    shown = [column for column in columns if column.records]
    figure = Figure(figsize=(3.1 * len(shown), 3.2), layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for panel, column in zip(panels, shown, strict=True):
        for backbone, colour in COLOURS.items():
            points: dict[int, list[float]] = defaultdict(list)
            for record in column.records:
                if record.backbone == backbone and record.attention in ("softmax", "none"):
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
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("validation accuracy, %")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    return figure


def svg(figure: Figure) -> str:
    """Return a figure as SVG, without date and random names: a figure drawn anew gives the same text."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "learning"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
