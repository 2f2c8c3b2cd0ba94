"""Records in, Plotly figures out, as plain dictionaries; colours are names of CSS variables, set by the theme."""

import math
from collections.abc import Sequence
from typing import Any

from hcl_core.intervals import Difference, Interval, Uncertainty
from hcl_core.records import LayerScore

Figure = dict[str, Any]

# Name, field, interval, colour, marker: shape as well as colour tells the curves apart. The last is drawn on top.
_CURVES = (
    ("Hallucination", "hallucination_rate", "hallucination_ci", "var(--hcl-hallucination)", "square"),
    ("Creativity", "creativity", "creativity_ci", "var(--hcl-creativity)", "diamond"),
    ("HCB", "hcb_score", "hcb_ci", "var(--hcl-hcb)", "circle"),
)
# What two runs are compared by: words and interval, by score.
MEASURES = {
    "hcb_score": ("HCB", "hcb_ci"),
    "hallucination_rate": ("hallucination", "hallucination_ci"),
    "creativity_raw": ("different right answers", "creativity_raw_ci"),
}
_COMPARED = ("var(--hcl-creativity)", "var(--hcl-hallucination)")

Comparison = Sequence[tuple[int, Difference]]

# The bars of p_optimal stand below the curves.
_BARS, _CURVES_DOMAIN = (0.0, 0.13), (0.22, 1.0)


def layer_curves(scores: Sequence[LayerScore], sure: Uncertainty, best: int | None) -> Figure:
    """Hallucination, creativity and HCB over exit layers with their 95% intervals, and how often each layer is best.

    Args:
        scores: By layer.
        sure: Of the same run, weights and scaling.
        best: The optimal layer, marked; ``None`` marks none.
    """
    bands = [_band(scores, sure, name, interval, colour) for name, _, interval, colour, _ in _CURVES]
    curves = [_curve(scores, sure, *curve) for curve in _CURVES]
    return {
        "data": [*bands, *curves, _confidence(scores), _bars(sure)],
        "layout": _layout(scores, sure, best),
        "best": best,
    }


def compared_curves(
    runs: Sequence[tuple[str, Sequence[LayerScore], Uncertainty]], differences: Comparison, measure: str
) -> Figure:
    """One score of two runs over exit layers, and below it the first minus the second, each with its 95% interval.

    Args:
        runs: Name, scores and intervals of the first and the second.
        differences: By exit layer.
        measure: A name of ``MEASURES``.
    """
    _, interval = MEASURES[measure]
    data = []
    for (name, scores, sure), colour, marker in zip(runs, _COMPARED, ("circle", "diamond"), strict=True):
        data.append(_band(scores, sure, name, interval, colour))
        curve = _curve(scores, sure, name, measure, interval, colour, marker)
        curve["hovertemplate"] = "<b>%{y:.2f}</b> (%{customdata[0]})<extra></extra>"
        data.append(curve)
    data += _differences(differences)
    scores = runs[0][1]
    layout = _layout(scores, runs[0][2], None)
    most = max((abs(bound) for _, each in differences for bound in each.interval if math.isfinite(bound)), default=1)
    highest = max((value for trace in data if trace.get("yaxis") != "y2" for value in trace["y"] if value), default=1)
    layout["yaxis"] |= {"domain": [0.42, 1], "range": [-0.03 * highest, 1.05 * highest], "tickvals": None, "nticks": 5}
    layout["yaxis2"] |= {
        "domain": [0, 0.3],
        "range": [-1.1 * most, 1.1 * most],
        "showticklabels": True,
        "nticks": 4,
        "zeroline": True,
        "zerolinecolor": "var(--hcl-muted)",
        "gridcolor": "var(--hcl-line)",
    }
    layout["annotations"] = [
        {
            "text": "first minus second",
            "xref": "paper",
            "x": 0,
            "xanchor": "left",
            "yref": "paper",
            "y": 0.31,
            "yanchor": "bottom",
            "showarrow": False,
            "font": {"size": 12, "color": "var(--hcl-muted)"},
        }
    ]
    layout["height"] = 460
    return {"data": data, "layout": layout, "best": None}


def _differences(differences: Comparison) -> list[dict[str, Any]]:
    layers = [layer for layer, _ in differences]
    band = _filled([(layer, *each.interval) for layer, each in differences], "var(--hcl-hcb)")
    band |= {"opacity": 0.14, "yaxis": "y2"}
    line = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "Difference",
        "x": layers,
        "y": _rounded([each.estimate for _, each in differences]),
        "customdata": [_range(each.interval) for _, each in differences],
        "hovertemplate": "first minus second <b>%{y:+.2f}</b> (%{customdata})<extra></extra>",
        "line": {"color": "var(--hcl-hcb)", "width": 1.5},
        "marker": {"symbol": "square", "size": 6, "color": "var(--hcl-hcb)"},
        "showlegend": False,
        "yaxis": "y2",
    }
    return [band, line]


def _band(scores: Sequence[LayerScore], sure: Uncertainty, name: str, interval: str, colour: str) -> dict[str, Any]:
    bounds = [(score.exit_layer, *getattr(layer, interval)) for score, layer in zip(scores, sure.layers, strict=True)]
    return _filled(bounds, colour) | {"legendgroup": name}


def _filled(bounds: Sequence[tuple[int, float, float]], colour: str) -> dict[str, Any]:
    """The area between the lower and the upper bound of each layer that has them."""
    given = [each for each in bounds if all(map(math.isfinite, each))]
    layers, lows, highs = zip(*given, strict=True) if given else ((), (), ())
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [*layers, *layers[::-1]],
        "y": _rounded([*highs, *lows[::-1]]),
        "fill": "toself",
        "fillcolor": colour,
        "opacity": 0.16,
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _curve(
    scores: Sequence[LayerScore],
    sure: Uncertainty,
    name: str,
    field: str,
    interval: str,
    colour: str,
    marker: str,
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "legendgroup": name,
        "x": [score.exit_layer for score in scores],
        "y": _rounded([getattr(score, field) for score in scores]),
        "line": {"color": colour, "width": 2},
        "marker": {"symbol": marker, "size": 8, "color": colour, "line": {"color": "var(--hcl-panel)", "width": 1}},
        "customdata": [
            [_range(getattr(layer, interval)), _detail(name, score)]
            for score, layer in zip(scores, sure.layers, strict=True)
        ],
        "hovertemplate": f"{name} <b>%{{y:.2f}}</b> (%{{customdata[0]}}) · %{{customdata[1]}}<extra></extra>",
    }


def _detail(name: str, score: LayerScore) -> str:
    if not score.num_samples:
        return "no answers yet"
    if name == "Hallucination":
        return f"{score.num_correct} of {score.num_samples} right"
    if name == "Creativity":
        return f"{score.creativity_raw:.2g} different right answers"
    return "balance of both"


def _confidence(scores: Sequence[LayerScore]) -> dict[str, Any]:
    """Off until it is clicked in the legend."""
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "Confidence",
        "visible": "legendonly",
        "x": [score.exit_layer for score in scores],
        "y": _rounded([score.confidence for score in scores]),
        "line": {"color": "var(--hcl-muted)", "width": 1.5, "dash": "dot"},
        "marker": {"symbol": "cross", "size": 7, "color": "var(--hcl-muted)"},
        "hovertemplate": "Confidence <b>%{y:.2f}</b> · the model's own, not how often it is right<extra></extra>",
    }


def _bars(sure: Uncertainty) -> dict[str, Any]:
    shares = [layer.p_optimal for layer in sure.layers]
    return {
        "type": "bar",
        "name": "Best in",
        "x": [layer.exit_layer for layer in sure.layers],
        "y": _rounded(shares),
        "yaxis": "y2",
        "text": [f"{share:.0%}" if share >= 0.005 else "" for share in shares],
        "textposition": "outside",
        "textfont": {"size": 11, "color": "var(--hcl-muted)"},
        "cliponaxis": False,
        "marker": {"color": "var(--hcl-bar)"},
        "hovertemplate": "Best in <b>%{y:.0%}</b> of resampled runs<extra></extra>",
        "showlegend": False,
    }


def _layout(scores: Sequence[LayerScore], sure: Uncertainty, best: int | None) -> dict[str, Any]:
    axis = {"gridcolor": "var(--hcl-line)", "linecolor": "var(--hcl-line)", "zeroline": False, "fixedrange": False}
    layout: dict[str, Any] = {
        "uirevision": "layers",  # zoom survives updates
        "height": 400,
        "margin": {"l": 48, "r": 20, "t": 30, "b": 44},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "var(--hcl-muted)", "size": 13, "family": "inherit"},
        "hovermode": "x unified",
        "hoverdistance": -1,  # wherever the pointer is, it means the nearest layer
        "bargap": 0.45,
        "hoverlabel": {
            "bgcolor": "var(--hcl-panel)",
            "bordercolor": "var(--hcl-line)",
            "font": {"color": "var(--hcl-ink)"},
        },
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.03,
            "yanchor": "bottom",
            "traceorder": "normal",
            "font": {"color": "var(--hcl-ink)", "size": 13},
        },
        "xaxis": axis
        | {
            "title": {"text": "exit layer", "font": {"size": 13}},
            "range": _layer_range(scores),
            "showgrid": False,
            "tickformat": "d",
            "anchor": "y2",
        },
        "yaxis": axis | {"range": [-0.03, 1.03], "tickvals": [0, 0.25, 0.5, 0.75, 1], "domain": list(_CURVES_DOMAIN)},
        "yaxis2": {
            "domain": list(_BARS),
            "range": [0, 1.35],
            "showgrid": False,
            "zeroline": False,
            "showticklabels": False,
            "fixedrange": True,
        },
        "shapes": [],
        "annotations": [
            {
                "text": "best in",
                "xref": "paper",
                "x": 0,
                "xanchor": "right",
                "xshift": -8,
                "yref": "paper",
                "y": _BARS[1] / 3,
                "yanchor": "middle",
                "showarrow": False,
                "font": {"size": 11, "color": "var(--hcl-muted)"},
            }
        ],
    }
    if scores and scores[-1].exit_layer - scores[0].exit_layer <= 10:
        layout["xaxis"]["dtick"] = 1  # left alone, a short axis gets ticks between layers
    if best is not None:
        layout["shapes"] = [*_tied_bands(scores, sure, best), _mark(best)]
    return layout


def _tied_bands(scores: Sequence[LayerScore], sure: Uncertainty, best: int) -> list[dict[str, Any]]:
    """A shade behind every layer that can't be told apart from the best; neighbours are one shade."""
    tied = {best, *sure.tied_layers}
    layers = [score.exit_layer for score in scores]
    step = min((after - before for before, after in zip(layers, layers[1:], strict=False)), default=1) / 2
    return [
        {
            "type": "rect",
            "xref": "x",
            "x0": layer - step,
            "x1": layer + step,
            "yref": "paper",
            "y0": _CURVES_DOMAIN[0],
            "y1": 1,
            "fillcolor": "var(--hcl-tied)",
            "line": {"width": 0},
            "layer": "below",
        }
        for layer in layers
        if layer in tied
    ]


def _mark(best: int) -> dict[str, Any]:
    line = {"color": "var(--hcl-ink)", "width": 1, "dash": "dot"}
    span = {"x0": best, "x1": best, "y0": _CURVES_DOMAIN[0], "y1": 1}
    return {"type": "line", "yref": "paper", "line": line, "layer": "below"} | span


def _layer_range(scores: Sequence[LayerScore]) -> list[float]:
    """A margin at both ends, so that the outer markers are whole and one layer alone stands in the middle."""
    if not scores:
        return [0, 1]
    margin = max(0.5, (scores[-1].exit_layer - scores[0].exit_layer) * 0.03)
    return [scores[0].exit_layer - margin, scores[-1].exit_layer + margin]


def _range(interval: Interval) -> str:
    return "{:.2f} to {:.2f}".format(*interval)


def _rounded(values: Sequence[float]) -> list[float | None]:
    """Four digits are finer than a pixel, and keep what is sent small; JSON has no NaN."""
    return [round(value, 4) if math.isfinite(value) else None for value in values]
