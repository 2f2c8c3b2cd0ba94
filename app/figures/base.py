"""What the charts share: axes, layout, a curve, the band of its intervals, and text that Plotly takes as text."""

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from app.language import Translator
from hcl_core.text import printable

Figure = dict[str, Any]
Trace = dict[str, Any]

AXIS = {"gridcolor": "var(--hcl-line)", "linecolor": "var(--hcl-line)", "zeroline": False}
# A second scale, from 0, for curves that are no shares.
RIGHT_AXIS = AXIS | {"overlaying": "y", "side": "right", "rangemode": "tozero", "tickmode": "auto", "showgrid": False}
_MAX_TEXT = 60


def plain(text: str, most: int = _MAX_TEXT) -> str:
    """``text`` of a model or a user for a chart: Plotly reads tags and entities in every string that it shows."""
    line = printable(text)
    return escape(line if len(line) <= most else line[: most - 1] + "…")


def layout(words: Translator, layers: Sequence[int], height: int = 400) -> dict[str, Any]:
    """Of a chart over exit layers."""
    made: dict[str, Any] = {
        "uirevision": "layers",  # zoom survives updates
        "separators": words.separators,
        "height": height,
        "margin": {"l": 48, "r": 20, "t": 30, "b": 44},
        "paper_bgcolor": "var(--hcl-panel)",  # a chart that is saved as a picture has its theme's background
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "var(--hcl-muted)", "size": 13, "family": "inherit"},
        "hovermode": "x unified",
        "hoverdistance": -1,  # wherever the pointer is, it means the nearest layer
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "var(--hcl-muted)", "activecolor": "var(--hcl-accent)"},
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
        "xaxis": AXIS
        | {
            "title": {"text": words("exit_layer"), "font": {"size": 13}},
            "range": _layer_range(layers),
            "showgrid": False,
            "tickformat": "d",
            "hoverformat": "d",
        },
        "yaxis": AXIS | {"range": [-0.03, 1.03], "tickvals": [0, 0.25, 0.5, 0.75, 1]},
        "shapes": [],
        "annotations": [],
    }
    if layers and layers[-1] - layers[0] <= 10:
        made["xaxis"]["dtick"] = 1  # left alone, a short axis gets ticks between layers
    return made


def curve(name: str, layers: Sequence[float], values: Sequence[float], colour: str, marker: str) -> Trace:
    """One score over layers; ``name`` is the page's, or went through ``plain``."""
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "legendgroup": name,
        "x": list(layers),
        "y": rounded(values),
        "line": {"color": colour, "width": 2},
        "marker": {"symbol": marker, "size": 8, "color": colour, "line": {"color": "var(--hcl-panel)", "width": 1}},
    }


def band(bounds: Sequence[tuple[float, float, float]], colour: str, name: str = "") -> Trace:
    """The area between the lower and the upper bound of each layer that has them."""
    finite = [each for each in bounds if all(map(math.isfinite, each))]
    layers, lows, highs = zip(*finite, strict=True) if finite else ((), (), ())
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [*layers, *layers[::-1]],
        "y": rounded([*highs, *lows[::-1]]),
        "fill": "toself",
        "fillcolor": colour,
        "opacity": 0.16,
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
        "legendgroup": name,
    }


def annotation(text: str, **position: Any) -> dict[str, Any]:
    """A small note; ``position`` in shares of the whole chart."""
    font = {"size": 11, "color": "var(--hcl-muted)"}
    return {"text": text, "xref": "paper", "yref": "paper", "showarrow": False, "font": font} | position


def rounded(values: Sequence[float]) -> list[float | None]:
    """Four digits are finer than a pixel, and keep what is sent small; JSON has no NaN."""
    return [round(value, 4) if math.isfinite(value) else None for value in values]


def _layer_range(layers: Sequence[int]) -> list[float]:
    """A margin at both ends, so that the outer markers are whole and one layer alone stands in the middle."""
    if not layers:
        return [0, 1]
    margin = max(0.5, (layers[-1] - layers[0]) * 0.03)
    return [layers[0] - margin, layers[-1] + margin]
