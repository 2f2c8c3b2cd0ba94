"""The curves of a run, and the best layers of a sweep, as Plotly figures."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from hcl_core.scores.best_layers import BestLayers
from hcl_core.sweeps.results import CellResult
from hcl_core.text import printable

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


def sweep_figure(cells: Sequence[CellResult]) -> go.Figure:
    """The best layer of each cell as a dot, and the layers that hold it with 95% as a bar; the first cell is on top."""
    figure = go.Figure()
    for row, cell in enumerate(cells):
        best, low, high = cell.best_layer, cell.best_low, cell.best_high
        if best is None or low is None or high is None:
            continue
        figure.add_scatter(
            x=[best],
            y=[row],
            error_x={"array": [high - best], "arrayminus": [best - low], "color": "#7a8aa0"},
            marker_color="#1d4ed8",
            hovertemplate=f"layer {best}, the best one with {cell.p_best:.0%}; HCB {cell.hcb or 0:.2f}<extra></extra>",
            showlegend=False,
        )
    figure.update_layout(template="plotly_white", height=150 + 28 * len(cells))
    figure.update_xaxes(title_text="Best layer, and the layers that hold it with 95%", range=[0, _deepest(cells) + 1])
    # Names are text, of which Plotly reads a little HTML.
    labels = [escape(_cell_label(cell)) for cell in cells]
    figure.update_yaxes(tickvals=list(range(len(cells))), ticktext=labels, autorange="reversed")
    return figure


def _deepest(cells: Sequence[CellResult]) -> int:
    return max((cell.num_hidden_layers for cell in cells), default=1)


def _cell_label(cell: CellResult) -> str:
    names = (Path(cell.model).name, Path(cell.exit_head).name, cell.questions, f"T {cell.temperature:g}", cell.seed)
    return " · ".join(printable(str(name))[:24] for name in (*names, cell.strategy))
