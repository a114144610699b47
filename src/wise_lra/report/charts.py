"""How the charts look, in Vega-Lite through Altair: one specification a kind of chart, whatever rows it is given.

Colours are the page's CSS variables, so that a chart follows its theme; the colour tells the backbone, the line's
dashes and the mark's shape the attention. Two signals are set by the page's controls: `shown`, the labels of
the rows to draw (null: all), and `measure`.
"""

from typing import Any

import altair as alt

BACKBONES = (
    *("vanilla", "fnet", "fnet_prenorm", "wise_fixed", "wise_adaptive", "wise_orthogonal"),
    *("wise_lifting", "wise_biorthogonal", "fourier_attention"),
)
COLOURS = {name: f"var(--{name.replace('_', '-')})" for name in BACKBONES}
DASHES = {
    "softmax": [1, 0],
    "none": [1, 0],
    "linear": [7, 3],
    "linformer": [2, 2],
    "performer": [8, 2, 2, 2],
    "performer_wise": [8, 2, 2, 2, 2, 2],
    "performer_favor": [12, 3],
    "longformer": [4, 4],
}
SHAPES = {
    "softmax": "circle",
    "none": "circle",
    "linear": "square",
    "linformer": "triangle-up",
    "performer": "cross",
    "performer_wise": "diamond",
    "performer_favor": "triangle-left",
    "longformer": "triangle-down",
}
STATES = {"before training": "var(--before)", "after training": "var(--after)"}

Drawn = alt.LayerChart | alt.FacetChart

_ROWS = alt.NamedData("rows")
_HEIGHT = 255


def specifications() -> dict[str, dict[str, Any]]:
    """Return kind -> Vega-Lite specification, whose data are named "rows"; checked against Vega-Lite's schema."""
    charts = {
        "accuracies": accuracies(),
        "curves": curves(),
        "costs": costs(),
        "function": filters("time, samples of the coarser band", "amplitude, unit energy"),
        "response": filters("frequency, cycles per sample", "gain"),
    }
    return {kind: _whole(chart, kind).to_dict() for kind, chart in charts.items()}


def accuracies() -> Drawn:
    """Return the chart of intervals, a row a line, as high as the page makes it: `series.accuracies`."""
    base = alt.Chart(_ROWS).transform_filter(_SHOWN)
    y = alt.Y("row:N", sort=alt.EncodingSortField("order"), title=None)
    said = [
        alt.Tooltip("row:N", title="row"),
        alt.Tooltip("mean:Q", title="test accuracy, %", format=".2f"),
        alt.Tooltip("low:Q", title="interval from", format=".2f"),
        alt.Tooltip("high:Q", title="to", format=".2f"),
        alt.Tooltip("n:Q", title="seeds"),
        alt.Tooltip("published:Q", title="published, %", format=".2f"),
    ]
    chance = base.transform_aggregate(chance="max(chance)").mark_rule(
        color="var(--ink-2)", strokeDash=[4, 4], aria=False
    )
    spread = base.mark_rule(strokeWidth=3, opacity=0.55, aria=False)
    ours = base.mark_point(size=90, filled=True, opacity=1)
    other = base.transform_filter("isValid(datum.published)").mark_point(
        size=80, shape="diamond", filled=False, color="var(--ink)", strokeWidth=2
    )
    return alt.layer(
        chance.encode(x=_along("chance")),
        spread.encode(x=_along("low"), x2="high:Q", y=y, color=_colour()),
        ours.encode(x=_along("mean"), y=y, color=_colour(), tooltip=said, shape=_shape()),
        other.encode(x=_along("published"), y=y, tooltip=said),
    )


def curves() -> Drawn:
    """Return the learning curves with the band of the seeds: `series.curves`."""
    base = alt.Chart(_ROWS).transform_filter(_SHOWN).transform_filter("datum.measure === measure")
    x = alt.X("step:Q", title="step", axis=alt.Axis(format="~s", tickCount=5))
    y = alt.Y("mean:Q", title=None, scale=alt.Scale(zero=False))
    said = [
        alt.Tooltip("row:N", title="row"),
        alt.Tooltip("step:Q", format=","),
        alt.Tooltip("mean:Q", title="mean", format=".4~g"),
        alt.Tooltip("low:Q", title="lowest seed", format=".4~g"),
        alt.Tooltip("high:Q", title="highest seed", format=".4~g"),
        alt.Tooltip("n:Q", title="seeds"),
    ]
    group = alt.Detail("row:N")
    return alt.layer(
        base.mark_area(opacity=0.16, aria=False).encode(
            x=x, y=alt.Y("low:Q", title=None), y2="high:Q", color=_colour(), detail=group
        ),
        base.mark_line(strokeWidth=2).encode(x=x, y=y, color=_colour(), strokeDash=_dash(), detail=group),
        base.mark_point(size=45, filled=True, opacity=1).encode(
            x=x, y=y, color=_colour(), shape=_shape(), tooltip=said
        ),
    ).properties(height=_HEIGHT)


def costs() -> Drawn:
    """Return accuracy against cost with the Pareto front: `series.costs`."""
    base = alt.Chart(_ROWS).transform_filter(_SHOWN).transform_filter("datum.measure === measure")
    x = alt.X(
        "cost:Q", title=None, scale=alt.Scale(zero=False, padding=14), axis=alt.Axis(format="~s", tickCount=5)
    )
    y = alt.Y("accuracy:Q", title="test accuracy, %", scale=alt.Scale(zero=False, padding=10))
    said = [
        alt.Tooltip("row:N", title="row"),
        alt.Tooltip("cost:Q", title="cost", format=",.4~g"),
        alt.Tooltip("accuracy:Q", title="test accuracy, %", format=".2f"),
        alt.Tooltip("low:Q", title="interval from", format=".2f"),
        alt.Tooltip("high:Q", title="to", format=".2f"),
    ]
    return alt.layer(
        base.transform_filter("datum.front")
        .mark_line(interpolate="step-after", color="var(--ink-2)", strokeDash=[3, 3], aria=False)
        .encode(x=x, y=y, order="cost:Q"),
        base.mark_rule(opacity=0.4, strokeWidth=2, aria=False).encode(
            x=x, y=alt.Y("low:Q"), y2="high:Q", color=_colour()
        ),
        base.mark_point(size=110, filled=True, opacity=1).encode(
            x=x, y=y, color=_colour(), shape=_shape(), tooltip=said
        ),
    ).properties(height=_HEIGHT)


def filters(across: str, upward: str) -> Drawn:
    """Return what a bank does, before and after: `wavelets.learned`."""
    colour = alt.Color(
        "state:N", scale=alt.Scale(domain=list(STATES), range=list(STATES.values())), legend=None
    )
    dash = alt.StrokeDash(
        "state:N", scale=alt.Scale(domain=list(STATES), range=[[6, 3], [1, 0]]), legend=None
    )
    base = alt.Chart(_ROWS).encode(x=alt.X("x:Q", title=across, axis=alt.Axis(tickCount=6)), color=colour)
    return alt.layer(
        base.mark_area(opacity=0.22, aria=False).encode(y=alt.Y("low:Q"), y2="high:Q"),
        base.mark_line(strokeWidth=1.8).encode(y=alt.Y("median:Q", title=upward), strokeDash=dash),
    ).properties(height=200)


def _whole(chart: Drawn, kind: str) -> Drawn:
    parameters = [alt.param(name="shown", value=None), alt.param(name="measure", value="")]
    fit = alt.AutoSizeParams(type="fit", contains="padding", resize=True)
    drawn = chart.properties(width="container", autosize=fit, background="transparent")
    return drawn.add_params(*parameters) if kind in ("accuracies", "curves", "costs") else drawn


_SHOWN = "shown === null || indexof(shown, datum.row) >= 0"


def _along(field: str) -> alt.X:
    return alt.X(
        f"{field}:Q",
        title="test accuracy, %",
        scale=alt.Scale(zero=False, padding=10),
        axis=alt.Axis(tickCount=5),
    )


def _colour() -> alt.Color:
    scale = alt.Scale(domain=list(COLOURS), range=list(COLOURS.values()))
    return alt.Color("backbone:N", scale=scale, legend=None)


def _dash() -> alt.StrokeDash:
    scale = alt.Scale(domain=list(DASHES), range=list(DASHES.values()))
    return alt.StrokeDash("attention:N", scale=scale, legend=None)


def _shape() -> alt.Shape:
    return alt.Shape(
        "attention:N", scale=alt.Scale(domain=list(SHAPES), range=list(SHAPES.values())), legend=None
    )
