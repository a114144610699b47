"""How the charts look: a Vega-Lite specification a kind of chart, made by Altair, for whatever rows it is given.

Colours are CSS variables of the page, so that a chart follows its theme. The colour tells the backbone, a line's
dashes and a mark's shape the attention. The page's controls set two signals: `shown`, the labels of the rows to
draw (null: all), and `measure`.
"""

from collections.abc import Mapping
from typing import Any

import altair as alt

from wise_lra.registry import ATTENTIONS, BACKBONES, NONE, SOFTMAX

STATES = {"before training": ("var(--before)", (6, 3)), "after training": ("var(--after)", (1, 0))}
"""Colour and dashes of a learned filter's curves."""

Drawn = alt.LayerChart | alt.FacetChart

_NO_ZERO = alt.Scale(zero=False, padding=10)


def variable(backbone: str) -> str:
    """Return the name of a backbone's CSS variable."""
    return f"--{backbone.replace('_', '-')}"


def colour(backbone: str) -> str:
    """Return a backbone's colour as CSS; the ink of texts for one that the registry does not know."""
    return f"var({variable(backbone)})" if backbone in BACKBONES else "var(--ink)"


def dashes(attention: str) -> tuple[int, ...]:
    """Return the dashes of an attention's lines: (line, gap, ...); whole lines for one that is not known."""
    return ATTENTIONS.get(attention, ATTENTIONS[SOFTMAX]).dashes


def specifications() -> dict[str, dict[str, Any]]:
    """Return kind -> specification, whose data are named "rows"; Altair checks them against Vega-Lite's schema."""
    charts = {
        "accuracies": _accuracies(),
        "curves": _curves(),
        "costs": _costs(),
        "function": _filters("time, samples of the coarser band", "amplitude, unit energy"),
        "response": _filters("frequency, cycles per sample", "gain"),
    }
    return {kind: _on_page(chart).to_dict() for kind, chart in charts.items()}


def _accuracies() -> Drawn:
    base = _rows()
    x = alt.X("mean:Q", title="test accuracy, %", scale=_NO_ZERO, axis=alt.Axis(tickCount=5))
    y = alt.Y("row:N", sort=alt.EncodingSortField("order"), title=None)
    tooltip = _tooltip(
        mean="test accuracy, %", low="interval from", high="to", n="seeds", published="published, %"
    )
    interval = base.mark_rule(strokeWidth=3, opacity=0.55, aria=False)
    ours = base.mark_point(size=90, filled=True, opacity=1)
    published = base.transform_filter("isValid(datum.published)").mark_point(
        size=80, shape="diamond", color="var(--ink)", strokeWidth=2
    )
    chance = base.transform_aggregate(chance="max(chance)").mark_rule(
        color="var(--ink-2)", strokeDash=[4, 4], aria=False
    )
    return alt.layer(
        chance.encode(x="chance:Q"),
        interval.encode(x="low:Q", x2="high:Q", y=y, color=_colour()),
        ours.encode(x=x, y=y, color=_colour(), shape=_shape(), tooltip=tooltip),
        published.encode(x="published:Q", y=y, tooltip=tooltip),
    )


def _curves() -> Drawn:
    base = _rows("datum.measure === measure").encode(
        x=alt.X("step:Q", axis=alt.Axis(format="~s", tickCount=5)), color=_colour(), detail="row:N"
    )
    y = alt.Y("mean:Q", title=None, scale=alt.Scale(zero=False))
    tooltip = _tooltip(step="step", mean="mean", low="lowest seed", high="highest seed", n="seeds")
    return alt.layer(
        base.mark_area(opacity=0.16, aria=False).encode(y=alt.Y("low:Q", title=None), y2="high:Q"),
        base.mark_line(strokeWidth=2).encode(y=y, strokeDash=_dash()),
        base.mark_point(size=45, filled=True, opacity=1).encode(y=y, shape=_shape(), tooltip=tooltip),
    )


def _costs() -> Drawn:
    base = _rows("datum.measure === measure").encode(
        x=alt.X("cost:Q", title=None, scale=_NO_ZERO, axis=alt.Axis(format="~s", tickCount=5))
    )
    y = alt.Y("accuracy:Q", title="test accuracy, %", scale=_NO_ZERO)
    tooltip = _tooltip(cost="cost", accuracy="test accuracy, %", low="interval from", high="to")
    front = base.transform_filter("datum.front").mark_line(
        interpolate="step-after", color="var(--ink-2)", strokeDash=[3, 3], aria=False
    )
    interval = base.mark_rule(opacity=0.4, strokeWidth=2, aria=False)
    point = base.mark_point(size=110, filled=True, opacity=1)
    return alt.layer(
        front.encode(y=y, order="cost:Q"),
        interval.encode(y="low:Q", y2="high:Q", color=_colour()),
        point.encode(y=y, color=_colour(), shape=_shape(), tooltip=tooltip),
    )


def _filters(across: str, upward: str) -> Drawn:
    colours = {state: look[0] for state, look in STATES.items()}
    styles = {state: look[1] for state, look in STATES.items()}
    base = alt.Chart(alt.NamedData("rows")).encode(
        x=alt.X("x:Q", title=across, axis=alt.Axis(tickCount=6)), color=_by(alt.Color, "state", colours)
    )
    return alt.layer(
        base.mark_area(opacity=0.22, aria=False).encode(y="low:Q", y2="high:Q"),
        base.mark_line(strokeWidth=1.8).encode(
            y=alt.Y("median:Q", title=upward), strokeDash=_by(alt.StrokeDash, "state", styles)
        ),
    )


def _rows(measured: str = "true") -> alt.Chart:
    shown = "shown === null || indexof(shown, datum.row) >= 0"
    signals = [alt.param(name="shown", value=None), alt.param(name="measure", value="")]
    return (
        alt.Chart(alt.NamedData("rows"))
        .add_params(*signals)
        .transform_filter(shown)
        .transform_filter(measured)
    )


def _on_page(chart: Drawn) -> Drawn:
    line = dict.fromkeys(("gridColor", "domainColor", "tickColor"), "var(--line)")
    text = dict.fromkeys(("labelColor", "titleColor"), "var(--ink-2)")
    sizes = {"labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal", "labelLimit": 150}
    fit = alt.AutoSizeParams(type="fit-x", contains="padding", resize=True)  # labels differ between measures
    return (
        chart.properties(width="container", autosize=fit)
        .configure(background="transparent")
        .configure_view(stroke=None, continuousHeight=190)
        .configure_axis(**line, **text, **sizes)
    )


def _tooltip(**titles: str) -> list[alt.Tooltip]:
    return [alt.Tooltip("row:N"), *(alt.Tooltip(f"{name}:Q", title=title) for name, title in titles.items())]


def _by(channel: Any, field: str, looks: Mapping[str, Any]) -> Any:
    """Return a channel that gives each value of a field its own look."""
    return channel(f"{field}:N", scale=alt.Scale(domain=list(looks), range=list(looks.values())), legend=None)


def _colour() -> Any:
    return _by(alt.Color, "backbone", {name: colour(name) for name in BACKBONES})


def _dash() -> Any:
    return _by(alt.StrokeDash, "attention", {name: dashes(name) for name in (*ATTENTIONS, NONE)})


def _shape() -> Any:
    shapes = {name: attention.shape for name, attention in ATTENTIONS.items()}
    return _by(alt.Shape, "attention", shapes | {NONE: shapes[SOFTMAX]})
