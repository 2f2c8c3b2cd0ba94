"""The scores that HCB balances and HCB over exit layers, how often each layer is best, and any further measure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from app.figures.base import RIGHT_AXIS, Figure, Trace, annotation, band, curve, layout, rounded
from app.language import Translator
from app.outcomes import Scored
from app.terms import chart_terms
from hcl_core.records import LayerScore

# Colour and marker of each score: shape as well as colour tells the curves apart. The last is drawn on top.
_STYLES = {
    "hallucination_rate": ("var(--hcl-hallucination)", "square"),
    "token_plausibility": ("var(--hcl-plausibility)", "triangle-up"),
    "creativity": ("var(--hcl-creativity)", "diamond"),
    "hcb_score": ("var(--hcl-hcb)", "circle"),
}
# Further measures that are no share of 1 have an axis of their own.
OWN_AXIS = ("creativity_raw", "vendi_score", "vendi_all", "semantic_entropy", "plausibility")
_DASHES, _MARKERS = ("dot", "dash", "dashdot", "longdash"), ("cross", "x", "triangle-up", "star")
# The bars of p_optimal stand below the curves.
_BARS, _CURVES_DOMAIN = (0.0, 0.13), (0.22, 1.0)


def layer_curves(scored: Scored, words: Translator, more: Mapping[str, Sequence[float]] | None = None) -> Figure:
    """The three curves with their 95% intervals, the layers that may be best shaded, and how probable that is.

    Args:
        scored: Scores, intervals and verdict; a score that no layer has is not drawn.
        words: The page's.
        more: Further curves, by name of the measure, one value a layer.
    """
    layers = [score.exit_layer for score in scored.scores]
    bands, curves = [], []
    for field, interval in scored.measures:
        if all(math.isnan(getattr(score, field)) for score in scored.scores):
            continue  # not defined here: no name in the legend of a curve that is not there
        colour, marker = _STYLES[field]
        bounds = [(each.exit_layer, *getattr(each, interval)) for each in scored.uncertainty.layers]
        bands.append(band(bounds, colour, words(field)))
        curves.append(_score_curve(scored, words, field, interval, colour, marker))
    made = _layout(scored, words, layers)
    extra = [
        _more_curve(name, layers, values, number, words) for number, (name, values) in enumerate((more or {}).items())
    ]
    if any(trace.get("yaxis") == "y3" for trace in extra):
        made["yaxis3"] = RIGHT_AXIS | {"nticks": 5}
        made["margin"]["r"] = 44
    data = [*bands, *curves, *extra, _bars(scored, words)]
    return {"data": data, "layout": made, "best": scored.best, "terms": chart_terms(_names(scored, more), words)}


def _names(scored: Scored, more: Mapping[str, Sequence[float]] | None) -> list[str]:
    """Measured words of the chart."""
    return ["exit_layer", *(field for field, _ in scored.measures), "interval", "best_in", *(more or {})]


def _score_curve(scored: Scored, words: Translator, field: str, interval: str, colour: str, marker: str) -> Trace:
    name = words(field)
    values = [getattr(score, field) for score in scored.scores]
    made = curve(name, [score.exit_layer for score in scored.scores], values, colour, marker)
    pairs = zip(scored.scores, scored.uncertainty.layers, strict=True)
    made["customdata"] = [
        [words.interval(getattr(layer, interval)), _detail(scored, field, score, words)] for score, layer in pairs
    ]
    made["hovertemplate"] = f"{name} <b>%{{y:.2f}}</b> (%{{customdata[0]}}) · %{{customdata[1]}}<extra></extra>"
    return made


def _detail(scored: Scored, field: str, score: LayerScore, words: Translator) -> str:
    if not score.num_samples:
        return words("no_answers_yet")
    if field == "hallucination_rate":
        return words("right_of", right=words.count(score.num_correct), all=words.count(score.num_samples))
    if field == "creativity":
        return words.ideas(score.creativity_raw, scored.is_open)
    if field == "token_plausibility":
        return words("attempted_of", attempted=words.count(score.num_attempted), all=words.count(score.num_samples))
    return words("balance_of_both")


def _more_curve(name: str, layers: Sequence[int], values: Sequence[float], number: int, words: Translator) -> Trace:
    made = curve(words(name), layers, values, "var(--hcl-muted)", _MARKERS[number % len(_MARKERS)])
    made["line"] |= {"width": 1.5, "dash": _DASHES[number % len(_DASHES)]}
    made["hovertemplate"] = f"{words(name)} <b>%{{y:.2f}}</b><extra></extra>"
    return made | ({"yaxis": "y3"} if name in OWN_AXIS else {})


def _bars(scored: Scored, words: Translator) -> Trace:
    shares = [layer.p_optimal if scored.ranks_layers else 0.0 for layer in scored.uncertainty.layers]
    return {
        "type": "bar",
        "name": words("best_in"),
        "x": [layer.exit_layer for layer in scored.uncertainty.layers],
        "y": rounded(shares),
        "yaxis": "y2",
        "text": [words.percent(share) if share >= 0.015 else "" for share in shares],
        "textposition": "outside",
        "textangle": 0,
        "constraintext": "none",
        "textfont": {"size": 11, "color": "var(--hcl-muted)"},
        "cliponaxis": False,
        "marker": {"color": "var(--hcl-bar)"},
        "hovertemplate": words("best_in_hover") + "<extra></extra>",
        "showlegend": False,
    }


def _layout(scored: Scored, words: Translator, layers: Sequence[int]) -> dict[str, Any]:
    made = layout(words, layers)
    made["bargap"] = 0.45
    made["xaxis"]["anchor"] = "y2"
    made["yaxis"]["domain"] = list(_CURVES_DOMAIN)
    made["yaxis2"] = {
        "domain": list(_BARS),
        "range": [0, 1.35],
        "showgrid": False,
        "zeroline": False,
        "showticklabels": False,
        "fixedrange": True,
    }
    best_in = {"x": 0, "xanchor": "right", "xshift": -8, "y": _BARS[1] / 3, "yanchor": "middle"}
    made["annotations"] = [annotation(words("best_in"), **best_in)]
    if scored.best is not None:
        made["shapes"] = [*_tied_bands(scored, layers), _mark(scored.best)]
    return made


def _tied_bands(scored: Scored, layers: Sequence[int]) -> list[dict[str, Any]]:
    """A shade behind every layer that may be the best."""
    tied = {scored.best, *scored.uncertainty.best.best_set}
    step = min((after - before for before, after in zip(layers, layers[1:], strict=False)), default=1) / 2
    shade = {"type": "rect", "xref": "x", "yref": "paper", "y0": _CURVES_DOMAIN[0], "y1": 1, "layer": "below"}
    shade |= {"fillcolor": "var(--hcl-tied)", "line": {"width": 0}}
    return [shade | {"x0": layer - step, "x1": layer + step} for layer in layers if layer in tied]


def _mark(best: int) -> dict[str, Any]:
    line = {"color": "var(--hcl-ink)", "width": 1, "dash": "dot"}
    span = {"x0": best, "x1": best, "y0": _CURVES_DOMAIN[0], "y1": 1}
    return {"type": "line", "yref": "paper", "line": line, "layer": "below"} | span
