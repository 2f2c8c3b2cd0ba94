"""The curves of a run as a Plotly figure."""

from textwrap import wrap
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from hcl_core.scores.best_layers import BestLayers

if TYPE_CHECKING:
    import pandas as pd

# Name, columns of the score and of its interval, and colour. Open questions have plausibility, others hallucination.
_CURVES = (
    ("Hallucination", "hallucination_rate", "hallucination_ci", "#c2410c"),
    ("Plausibility", "token_plausibility", "plausibility_ci", "#0f766e"),
    ("Creativity", "creativity", "creativity_ci", "#7c3aed"),
    ("HCB", "hcb_score", "hcb_ci", "#1d4ed8"),
)

# Of a line of the title: a figure in a notebook is about 700 pixels wide.
_TITLE_LETTERS = 90


def score_figure(scores: "pd.DataFrame", best: BestLayers) -> go.Figure:
    """The scores over the exit layers.

    Args:
        scores: As ``Run.scores``; a score that no layer has is not drawn.
        best: A band marks each layer that may be best; the title says how sure that is.
    """
    figure, layers = go.Figure(), scores["exit_layer"]
    for name, score, interval, colour in _CURVES:
        if score not in scores or scores[score].isna().all():
            continue
        group = {"legendgroup": score, "hoverinfo": "skip", "mode": "lines", "line_width": 0, "showlegend": False}
        figure.add_scatter(x=layers, y=scores[f"{interval}_low"], **group)
        figure.add_scatter(x=layers, y=scores[f"{interval}_high"], fill="tonexty", **group, fillcolor=f"{colour}26")
        figure.add_scatter(x=layers, y=scores[score], name=name, legendgroup=score, line_color=colour)
    for layer in best.best_set:
        figure.add_vrect(layer - 0.4, layer + 0.4, fillcolor="#1d4ed8", opacity=0.08, line_width=0)
    title = {"text": "<br>".join(wrap(str(best), _TITLE_LETTERS)), "font": {"size": 13}}
    figure.update_layout(template="plotly_white", title=title, hovermode="x unified")
    figure.update_xaxes(title_text="Exit layer")
    figure.update_yaxes(range=[0, 1.02])
    return figure
