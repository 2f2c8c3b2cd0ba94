"""Records in, Plotly figures out, as plain dictionaries; colours are names of CSS variables, set by the theme."""

import math
from collections.abc import Sequence
from typing import Any

from hcl_core.records import LayerScore

Figure = dict[str, Any]

# Name, field, colour, marker: shape as well as colour tells the curves apart. The last is drawn on top.
_CURVES = (
    ("Hallucination", "hallucination_rate", "var(--hcl-hallucination)", "square"),
    ("Creativity", "creativity", "var(--hcl-creativity)", "diamond"),
    ("HCB", "hcb_score", "var(--hcl-hcb)", "circle"),
)


def layer_curves(scores: Sequence[LayerScore], best: int | None) -> Figure:
    """Hallucination, creativity and HCB over exit layers, layer ``best`` marked."""
    return {
        "data": [_curve(scores, *curve) for curve in _CURVES],
        "layout": _layout(scores, best),
    }


def _curve(scores: Sequence[LayerScore], name: str, field: str, colour: str, marker: str) -> dict[str, Any]:
    values = [getattr(score, field) for score in scores]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": [score.exit_layer for score in scores],
        "y": [value if math.isfinite(value) else None for value in values],
        "line": {"color": colour, "width": 2},
        "marker": {"symbol": marker, "size": 8, "color": colour, "line": {"color": "var(--hcl-panel)", "width": 1}},
        "customdata": [
            [score.num_correct, score.num_samples, round(score.creativity_raw, 2)] if score.num_samples else [0, 0, 0]
            for score in scores
        ],
        "hovertemplate": _hover(name),
    }


def _hover(name: str) -> str:
    details = {
        "Hallucination": "%{customdata[0]} of %{customdata[1]} right",
        "Creativity": "%{customdata[2]} different right answers",
        "HCB": "balance of both",
    }
    return f"{name} <b>%{{y:.2f}}</b> · {details[name]}<extra></extra>"


def _layout(scores: Sequence[LayerScore], best: int | None) -> dict[str, Any]:
    axis = {"gridcolor": "var(--hcl-line)", "linecolor": "var(--hcl-line)", "zeroline": False, "fixedrange": False}
    layout: dict[str, Any] = {
        "uirevision": "layers",  # zoom survives updates
        "height": 340,
        "margin": {"l": 48, "r": 20, "t": 30, "b": 48},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "var(--hcl-muted)", "size": 13, "family": "inherit"},
        "hovermode": "x unified",
        "hoverdistance": -1,  # wherever the pointer is, it means the nearest layer
        "hoverlabel": {
            "bgcolor": "var(--hcl-panel)",
            "bordercolor": "var(--hcl-line)",
            "font": {"color": "var(--hcl-ink)"},
        },
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.04,
            "yanchor": "bottom",
            "traceorder": "reversed",
            "font": {"color": "var(--hcl-ink)", "size": 13},
        },
        "xaxis": axis
        | {
            "title": {"text": "exit layer", "font": {"size": 13}},
            "range": _layer_range(scores),
            "showgrid": False,
            "tickformat": "d",
        },
        "yaxis": axis | {"range": [-0.03, 1.03], "tickvals": [0, 0.25, 0.5, 0.75, 1]},
        "shapes": [],
        "annotations": [],
    }
    if scores and scores[-1].exit_layer - scores[0].exit_layer <= 10:
        layout["xaxis"]["dtick"] = 1  # left alone, a short axis gets ticks between layers
    if best is not None:
        line = {"color": "var(--hcl-ink)", "width": 1, "dash": "dot"}
        layout["shapes"] = [
            {"type": "line", "x0": best, "x1": best, "y0": 0, "y1": 1, "yref": "paper", "line": line, "layer": "below"}
        ]
    return layout


def _layer_range(scores: Sequence[LayerScore]) -> list[float]:
    """A margin at both ends, so that the outer markers are whole and one layer alone stands in the middle."""
    if not scores:
        return [0, 1]
    margin = max(0.5, (scores[-1].exit_layer - scores[0].exit_layer) * 0.03)
    return [scores[0].exit_layer - margin, scores[-1].exit_layer + margin]
