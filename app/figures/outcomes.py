"""Two charts of the walkthrough: how the answers of each layer were judged, and right answers beside right ideas."""

from collections.abc import Sequence

from app.figures.base import AXIS, RIGHT_AXIS, Figure, curve, layout, rounded
from app.language import Translator
from app.terms import chart_terms
from hcl_core.records import LayerScore
from hcl_core.scores.metrics import INCORRECT, MISSING, NOT_ATTEMPTED, OutcomeTable

_SHADES = (
    ("correct", "var(--hcl-right-2)", ""),
    ("not_attempted", "var(--hcl-rest-not-attempted)", "."),
    ("incorrect", "var(--hcl-wrong-2)", "/"),
)


def outcome_shares(table: OutcomeTable, words: Translator) -> Figure:
    """Stacked shares of right, missing and wrong answers over layers; a pattern beside each colour."""
    num_answers = (table.outcomes != MISSING).sum(axis=(0, 2)).clip(min=1)
    counts = {
        "correct": (table.outcomes >= 0).sum(axis=(0, 2)),
        "not_attempted": (table.outcomes == NOT_ATTEMPTED).sum(axis=(0, 2)),
        "incorrect": (table.outcomes == INCORRECT).sum(axis=(0, 2)),
    }
    data = [
        {
            "type": "bar",
            "name": words(outcome),
            "x": list(table.exit_layers),
            "y": rounded((counts[outcome] / num_answers).tolist()),
            "customdata": counts[outcome].tolist(),
            "marker": {
                "color": colour,
                "pattern": {"shape": shape, "bgcolor": colour, "fgcolor": "var(--hcl-panel)", "size": 6},
            },
            "hovertemplate": f"{words(outcome)} <b>%{{y:.0%}}</b> (%{{customdata}})<extra></extra>",
        }
        for outcome, colour, shape in _SHADES
    ]
    made = layout(words, table.exit_layers, height=360)
    made |= {"barmode": "stack", "bargap": 0.15}
    made["yaxis"] |= {"range": [0, 1], "tickformat": ".0%"}
    terms = chart_terms(["exit_layer", "verdict", "judge"], words)
    return {"data": data, "layout": made, "best": None, "terms": terms}


def right_and_ideas(scores: Sequence[LayerScore], words: Translator) -> Figure:
    """Right answers, counted one by one, and the different ideas among them."""
    layers = [score.exit_layer for score in scores]
    right = curve(words("right_answers"), layers, [score.num_correct for score in scores], "var(--hcl-right)", "circle")
    ideas = curve(
        words("creativity_raw"), layers, [score.creativity_raw for score in scores], "var(--hcl-creativity)", "diamond"
    )
    for trace in (right, ideas):
        trace["hovertemplate"] = f"{trace['name']} <b>%{{y:.0f}}</b><extra></extra>"
    ideas["yaxis"] = "y2"
    made = layout(words, layers, height=360)
    made["yaxis"] = AXIS | {"rangemode": "tozero", "title": {"text": words("right_answers")}}
    made["yaxis2"] = RIGHT_AXIS | {"title": {"text": words("creativity_raw")}}
    made["margin"] |= {"l": 60, "r": 60}
    terms = chart_terms(["exit_layer", "judge", "idea"], words)
    return {"data": [right, ideas], "layout": made, "best": None, "terms": terms}
