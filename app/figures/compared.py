"""One score of several runs over each other, and below it the first run minus each of the others."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from app.figures.base import AXIS, Figure, Trace, annotation, band, curve, layout, rounded
from app.language import Translator
from app.terms import chart_terms
from hcl_core.scores.intervals import Difference, Interval

# What runs are compared by: score and interval.
MEASURES = {
    "hcb_score": "hcb_ci",
    "hallucination_rate": "hallucination_ci",
    "token_plausibility": "plausibility_ci",
    "creativity_raw": "creativity_raw_ci",
}
COLOURS = tuple(f"var(--hcl-run-{number})" for number in range(1, 7))
_MARKERS = ("circle", "diamond", "square", "triangle-up", "cross", "star")
MOST_RUNS = len(COLOURS)


@dataclass(frozen=True, slots=True)
class RunCurve:
    """A score of one run.

    Attributes:
        name: Of the run; went through ``plain``.
        depth: Layers of its model.
        layers: ``E`` exit layers.
        values: ``[E]``.
        intervals: ``[E]``; empty for a published curve, which has none.
    """

    name: str
    depth: int
    layers: tuple[int, ...]
    values: tuple[float, ...]
    intervals: tuple[Interval, ...] = ()


def compared_curves(
    runs: Sequence[RunCurve],
    differences: Sequence[tuple[int, Sequence[int], Sequence[Difference]]],
    words: Translator,
    by_share: bool = False,
    measure: str = "",
) -> Figure:
    """The curves of all runs, and the differences where there are any.

    Args:
        runs: The first is what the others are compared with.
        differences: Index among ``runs``, layers, and one difference a layer.
        words: The page's.
        by_share: Whether a layer is drawn at its share of the model's depth.
        measure: What the curves show, one of ``MEASURES``.
    """
    data: list[Trace] = []
    for number, run in enumerate(runs):
        at = [layer / run.depth if by_share else layer for layer in run.layers]
        data += _run_traces(run, at, number, words)
    for index, layers, each in differences:
        depth = runs[index].depth
        data += _difference_traces([layer / depth if by_share else layer for layer in layers], each, index, words)
    every_layer = sorted({layer for run in runs for layer in run.layers})
    made = layout(words, every_layer, height=460 if differences else 400)
    if by_share:
        made["xaxis"] |= {"range": [0, 1.03], "tickformat": ".0%", "hoverformat": ".0%", "dtick": None}
        made["xaxis"]["title"] = {"text": words("share_of_depth"), "font": {"size": 13}}
    drawn = [value for run in runs for value in (*run.values, *(high for _, high in run.intervals or ()))]
    highest = max(filter(math.isfinite, drawn), default=1)
    made["yaxis"] |= {"range": [-0.03 * highest, 1.08 * highest], "tickvals": None, "nticks": 5}
    if differences:
        _add_difference_axis(made, differences, words)
    made["uirevision"] = "share" if by_share else "layers"
    has_intervals = ["interval"] if any(run.intervals for run in runs) else []
    terms = chart_terms([measure, "share_of_depth" if by_share else "exit_layer", *has_intervals], words)
    return {"data": data, "layout": made, "best": None, "terms": terms}


def _run_traces(run: RunCurve, at: Sequence[float], number: int, words: Translator) -> list[Trace]:
    colour = COLOURS[number % MOST_RUNS]
    line = curve(run.name, at, run.values, colour, _MARKERS[number % MOST_RUNS])
    if not run.intervals:
        line["line"]["dash"] = "dash"
        line["hovertemplate"] = f"{run.name} <b>%{{y:.2f}}</b> ({words('published_no_interval')})<extra></extra>"
        return [line]
    line["customdata"] = [words.interval(interval) for interval in run.intervals]
    line["hovertemplate"] = f"{run.name} <b>%{{y:.2f}}</b> (%{{customdata}})<extra></extra>"
    bounds = [(x, *interval) for x, interval in zip(at, run.intervals, strict=True)]
    return [band(bounds, colour, run.name), line]


def _difference_traces(
    at: Sequence[float], differences: Sequence[Difference], index: int, words: Translator
) -> list[Trace]:
    colour = COLOURS[index % MOST_RUNS]
    shade = band([(x, *each.interval) for x, each in zip(at, differences, strict=True)], colour)
    shade |= {"yaxis": "y2", "opacity": 0.14}
    line = curve("", at, [each.estimate for each in differences], colour, _MARKERS[index % MOST_RUNS])
    line["customdata"] = [words.interval(each.interval) for each in differences]
    line |= {
        "y": rounded([each.estimate for each in differences]),
        "yaxis": "y2",
        "showlegend": False,
        "hovertemplate": words("difference_hover", number=index + 1) + "<extra></extra>",
    }
    line["marker"]["size"] = 6
    line["line"]["width"] = 1.5
    return [shade, line]


def _add_difference_axis(
    made: Figure, differences: Sequence[tuple[int, Sequence[int], Sequence[Difference]]], words: Translator
) -> None:
    bounds = [
        abs(bound) for _, _, each in differences for one in each for bound in one.interval if math.isfinite(bound)
    ]
    most = max(bounds, default=1) or 1
    tick = _round_at_most(most)
    made["xaxis"]["anchor"] = "y2"
    made["yaxis"]["domain"] = [0.42, 1]
    made["yaxis2"] = AXIS | {
        "domain": [0, 0.3],
        "range": [-1.1 * most, 1.1 * most],
        "tickvals": [-tick, 0, tick],  # Plotly's own choice may be 0 alone, which says nothing of the scale
        "zeroline": True,
        "zerolinecolor": "var(--hcl-muted)",
    }
    made["annotations"] = [
        annotation(words("first_minus_others"), x=0, xanchor="left", y=0.31, yanchor="bottom"),
    ]


def _round_at_most(value: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is at most ``value``, but for rounding."""
    power = 10.0 ** math.floor(math.log10(value))
    return max((factor * power for factor in (2, 5) if factor * power <= value * 1.000001), default=power)
