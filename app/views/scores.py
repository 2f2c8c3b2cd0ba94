"""The chart's numbers as a table: for screen readers, for copying, and for people who like numbers."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from app.language import Translator
from app.outcomes import Scored
from app.terms import mark
from hcl_core.scores.intervals import Interval


def score_table(scored: Scored, words: Translator, more: Mapping[str, Sequence[float]] | None = None) -> str:
    """A row a layer: each score with its 95% interval, and how often the layer is best."""
    further = dict(more or {})
    ideas = "ideas_found" if scored.is_open else "creativity_raw"
    names = ("exit_layer", scored.measures[0][0], "creativity", ideas, "hcb_score", "best_in", *further)
    heads = "".join(f'<th scope="col">{words(name)}{mark(name, words)}</th>' for name in names)
    rows = "".join(_row(scored, index, further, words) for index in range(len(scored.scores)))
    return (
        f'<div class="hcl-rows" tabindex="0" role="region" aria-label="{escape(words("scores_by_layer"))}">'
        f'<table class="hcl-numbers"><caption>{words("intervals_are_95")}{mark("interval", words)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(scored: Scored, index: int, more: Mapping[str, Sequence[float]], words: Translator) -> str:
    score, uncertainty = scored.scores[index], scored.uncertainty.layers[index]
    first, first_interval = scored.measures[0]
    cells = [
        _cell(getattr(score, first), getattr(uncertainty, first_interval), words),
        _cell(score.creativity, uncertainty.creativity_ci, words),
        _cell(score.creativity_raw, uncertainty.creativity_raw_ci, words),
        _cell(score.hcb_score, uncertainty.hcb_ci, words),
        f"<td>{words.percent(uncertainty.p_optimal if scored.best is not None else math.nan)}</td>",
        *(f"<td>{words.number(values[index])}</td>" for values in more.values()),
    ]
    is_best = ' class="best"' if score.exit_layer == scored.best else ""
    return f'<tr{is_best}><th scope="row">{score.exit_layer}</th>{"".join(cells)}</tr>'


def _cell(value: float, interval: Interval, words: Translator) -> str:
    if math.isnan(value):
        return "<td>–</td>"
    return f"<td>{words.number(value)} <small>{words.interval(interval)}</small></td>"
