"""The token lens as a heat map: what each layer would say at each token of a text."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from app.figures.base import AXIS, Figure, plain
from app.language import Translator
from app.terms import chart_terms
from hcl_core.models.lens_records import LensTable

# What the colour can say.
SHADES = ("probability", "entropy", "final_rank", "kl_to_last")
_LABEL_LETTERS = 9
# With few tokens a cell is wide, and holds longer ones.
_FEW_TOKENS, _LONG_LABEL_LETTERS = 6, 24
# Ranks on the colour scale; the shade of a rank is its reciprocal.
_SCALE_RANKS = (1, 2, 4, 20)
# A cell is so wide that a short word fits, in pixels.
_CELL_WIDTH, _ROW_HEIGHT, _AROUND = 72, 21, 130


def lens_map(table: LensTable, shade: str, words: Translator) -> Figure:
    """Layers by positions, the deepest layer on top; the top token in each cell.

    Args:
        table: What the lens saw.
        shade: One of ``SHADES``; a fuller shade is surer, or nearer to the last layer; ``scale`` has its values.
        words: The page's.
    """
    num_layers, num_positions = table.entropy.shape
    layers, positions = list(range(1, num_layers + 1)), list(range(num_positions))
    colours = _shade_values(table, shade)
    letters = _LONG_LABEL_LETTERS if num_positions <= _FEW_TOKENS else _LABEL_LETTERS
    data = {
        "type": "heatmap",
        "x": positions,
        "y": layers,
        "z": np.round(colours, 4).tolist(),
        "zmin": 0,
        "zmax": 1,
        "colorscale": [[0, "var(--hcl-heat-0)"], [0.5, "var(--hcl-heat-1)"], [1, "var(--hcl-heat-2)"]],
        "showscale": False,
        "xgap": 2,
        "ygap": 1,
        "text": [[shown_token(tops[0], letters) for tops in row] for row in table.top_token_texts],
        "texttemplate": "%{text}",
        "textfont": {"size": 11, "color": "var(--hcl-ink)"},
        "customdata": _hovers(table, words),
        "hovertemplate": "%{customdata}<extra></extra>",
    }
    axis = AXIS | {"showgrid": False, "fixedrange": True}
    made: dict[str, Any] = {
        "uirevision": "lens",
        "dragmode": False,  # a finger scrolls the page, and a tap chooses a cell
        "separators": words.separators,
        "height": _AROUND + _ROW_HEIGHT * num_layers,
        "hcl_width": 60 + _CELL_WIDTH * num_positions,  # the page scrolls where that is wider
        "margin": {"l": 48, "r": 10, "t": 62, "b": 40},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "var(--hcl-muted)", "size": 13, "family": "inherit"},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "var(--hcl-muted)", "activecolor": "var(--hcl-accent)"},
        "hoverlabel": {
            "bgcolor": "var(--hcl-panel)",
            "bordercolor": "var(--hcl-line)",
            "font": {"color": "var(--hcl-ink)", "size": 12},
            "align": "left",
        },
        "xaxis": axis
        | {
            "tickvals": positions,
            "ticktext": [shown_token(text, letters) for text in table.token_texts],
            "side": "top",
            "tickangle": 0,
            "tickfont": {"size": 12, "color": "var(--hcl-ink)"},
            "title": {"text": words("lens_token_written"), "font": {"size": 12}, "standoff": 6},
        },
        "yaxis": axis | {"title": {"text": words("exit_layer"), "font": {"size": 13}}, "dtick": 2, "tick0": 2},
        "shapes": _settled(table),
    }
    terms = chart_terms(["layer", "token", *SHADES, "exit_head"], words)
    return {"data": [data], "layout": made, "best": None, "terms": terms}


def shown_token(text: str, most: int = _LABEL_LETTERS) -> str:
    """A token in a cell: what can't be seen has a sign."""
    visible = text.strip() or text.replace("\n", "⏎").replace(" ", "␣").replace("\t", "⇥") or "∅"
    return plain(visible, most)


def _shade_values(table: LensTable, shade: str) -> np.ndarray[Any, Any]:
    """``[L, P]`` from 0 to 1, 1 where the layer is sure, or agrees with the last."""
    if shade == "probability":
        return table.top_probabilities[:, :, 0]
    if shade == "final_rank":
        return 1 / table.final_rank
    shaded: np.ndarray[Any, Any] = 1 - _nats(table, shade) / _most_nats(table, shade)
    return shaded


def _nats(table: LensTable, shade: str) -> np.ndarray[Any, Any]:
    return table.entropy if shade == "entropy" else table.kl_to_last


def _most_nats(table: LensTable, shade: str) -> float:
    """What the palest cell has; 1 where all have none."""
    return float(_nats(table, shade).max()) or 1.0


def scale(table: LensTable, shade: str) -> list[tuple[float, float]]:
    """Marks of the colour scale: a cell's shade, from 0 (palest) to 1 (fullest), and the value that it stands for."""
    if shade == "final_rank":
        return [(1 / rank, rank) for rank in reversed(_SCALE_RANKS)]
    marks = [number / 4 for number in range(5)]
    if shade == "probability":
        return [(mark, mark) for mark in marks]
    return [(mark, (1 - mark) * _most_nats(table, shade)) for mark in marks]


def _settled(table: LensTable) -> list[dict[str, Any]]:
    """A line in each column below the first layer from which on the last layer's choice stays on top."""
    line = {"color": "var(--hcl-ink)", "width": 2}
    return [
        {
            "type": "line",
            "x0": position - 0.47,
            "x1": position + 0.47,
            "y0": layer - 0.5,
            "y1": layer - 0.5,
            "line": line,
        }
        for position, layer in enumerate(table.settles().tolist())
        if layer
    ]


def _hovers(table: LensTable, words: Translator) -> list[list[str]]:
    return [
        [_hover(table, layer, position, words) for position in range(table.entropy.shape[1])]
        for layer in range(table.num_hidden_layers)
    ]


def _hover(table: LensTable, layer: int, position: int, words: Translator) -> str:
    head = cell_values(table, layer, position, words)
    return f"<b>{head}</b><br>" + "<br>".join(_top_lines(table, layer, position, words))


def cell_values(table: LensTable, layer: int, position: int, words: Translator) -> str:
    """Entropy, rank and divergence of one cell; ``layer`` from 0."""
    return words(
        "lens_hover",
        layer=layer + 1,
        entropy=words.number(float(table.entropy[layer, position])),
        rank=words.count(int(table.final_rank[layer, position])),
        kl=words.number(float(table.kl_to_last[layer, position])),
    )


def _top_lines(table: LensTable, layer: int, position: int, words: Translator) -> Sequence[str]:
    """The most probable tokens of a cell, a line each."""
    tops = zip(table.top_token_texts[layer][position], table.top_probabilities[layer, position], strict=True)
    return [f"{words.number(float(probability), 3)}  {shown_token(text, 24)}" for text, probability in tops]
