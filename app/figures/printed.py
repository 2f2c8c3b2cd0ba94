"""A chart of the page for print: the same figure, drawn by matplotlib as SVG or PDF.

Text in an SVG stays text, which can be searched and edited; a PDF has its fonts inside.
"""

import io
import re
import textwrap
import unicodedata
import warnings
from collections.abc import Sequence
from functools import cache
from html import unescape
from itertools import chain
from threading import Lock
from typing import TYPE_CHECKING, Any

from app.figures.base import Figure
from app.figures.printed_axes import add_axes, add_shapes, add_traces, name_of, y_axes
from app.theme import light_colours
from hcl_core.text import one_line, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Sheet

KINDS = ("svg", "pdf")
# Inches: the width of a page of text. Everything else is measured from the edges.
_WIDTH, _LEFT, _RIGHT, _BOTTOM, _TOP = 6.5, 0.5, 0.16, 0.45, 0.08
_TITLE_LINE, _CAPTION_LINE, _LEGEND_LINE = 0.17, 0.125, 0.155
# Inches for a pixel of the page's charts.
_PIXEL = 1 / 125
# Letters of a line of title and caption.
_TITLE_LETTERS, _CAPTION_LETTERS = 84, 132
_VARIABLE = re.compile(r"^var\((--[\w-]+)\)$")
# matplotlib's own font comes with it, so a PDF is the same on all machines; the others are for scripts that it lacks.
_FONT = "DejaVu Sans"
_OTHER_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "WenQuanYi Micro Hei",
    "Noto Sans Arabic", "Noto Sans Devanagari", "Noto Sans Hebrew", "Noto Sans Thai", "Arial Unicode MS", "Noto Emoji",
)  # fmt: skip
# What an SVG asks for; all are narrower than the font that it was measured with.
_SVG_FONTS = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
# matplotlib's settings and its caches of fonts belong to the process.
_one_at_a_time = Lock()


def printed(figure: Figure, kind: str, title: str, caption: str) -> bytes:
    """The file of a chart over layers, in the light theme's colours; the same input gives the same bytes.

    Args:
        figure: What ``figures`` makes, but for heat maps.
        kind: One of ``KINDS``.
        title: A line above the chart; any text.
        caption: Small lines below it; any text.
    """
    from matplotlib import rc_context

    title, caption = _plain(title), _plain(caption)
    named = {"Title": title} | ({"Date": None} if kind == "svg" else {"CreationDate": None, "Creator": "HCL Explorer"})
    with _one_at_a_time, rc_context(_settings()):
        sheet = _draw(_coloured(figure), _lines(title, _TITLE_LETTERS, 2), _lines(caption, _CAPTION_LETTERS, 4))
        file = io.BytesIO()
        with warnings.catch_warnings():  # of letters that no font on this machine has: they are boxes
            warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
            sheet.savefig(file, format=kind, metadata=named)
    content = file.getvalue()
    return content.replace(f"'{_FONT}'".encode(), _SVG_FONTS.encode()) if kind == "svg" else content


def inline_svg(svg: bytes, label: str) -> str:
    """The SVG as a part of an HTML page, in which ids that nothing refers to could stand twice."""
    from html import escape

    text = svg.decode()
    text = re.sub(r'<g id="[^"]*"', "<g", text[text.index("<svg") :])
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(_plain(label))}" ', 1)


def _plain(text: str) -> str:
    return printable(one_line(text))


def _lines(text: str, letters: int, most: int) -> list[str]:
    """``text`` in lines; a wide letter, such as a Chinese one, takes the room of two."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    letters = round(letters * len(text) / (len(text) + wide)) if text else letters
    return textwrap.wrap(text, letters, max_lines=most, placeholder=" …")


@cache
def _settings() -> dict[str, Any]:
    from matplotlib.font_manager import get_font_names

    installed = set(get_font_names())
    return {
        "font.family": [_FONT, *(font for font in _OTHER_FONTS if font in installed)],
        "font.size": 8,
        "text.parse_math": False,  # a dollar sign in a question is a dollar sign
        "svg.fonttype": "none",
        "svg.hashsalt": "hcl",
        "pdf.fonttype": 42,
        "hatch.linewidth": 0.6,
        "axes.linewidth": 0.6,
        "axes.unicode_minus": True,
    }


def _coloured(value: Any) -> Any:
    """``value`` with the names of colours replaced by the light theme's colours."""
    if isinstance(value, dict):
        return {key: _coloured(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_coloured(item) for item in value]
    name = _VARIABLE.match(value) if isinstance(value, str) else None
    return light_colours()[name.group(1)] if name else value


def _draw(figure: Figure, title: list[str], caption: list[str]) -> "Sheet":
    from matplotlib.figure import Figure as Sheet

    layout, names = figure["layout"], _legend_names(figure)
    num_columns = _num_columns(names)
    num_rows = -(-len(names) // num_columns)
    above = _TOP + len(title) * _TITLE_LINE + num_rows * _LEGEND_LINE + 0.08
    below = _BOTTOM + len(caption) * _CAPTION_LINE
    plot = (layout["height"] - layout["margin"]["t"] - layout["margin"]["b"]) * _PIXEL
    height = above + plot + below
    sheet = Sheet(figsize=(_WIDTH, height), facecolor=light_colours()["--hcl-panel"])
    has_right = any(axis.get("side") == "right" for axis in y_axes(layout).values())
    box = (_LEFT / _WIDTH, below / height, 1 - (_LEFT + _RIGHT + 0.3 * has_right) / _WIDTH, plot / height)
    axes = add_axes(sheet, layout, box)
    add_shapes(axes["y"], layout["shapes"])
    add_traces(axes, figure["data"])
    for name, axis in y_axes(layout).items():
        if axis.get("rangemode") == "tozero":  # after the curves: a limit that is set stays
            axes[name].set_ylim(bottom=0)
    for note in layout["annotations"]:
        _add_note(sheet, note, box)
    ink, muted = light_colours()["--hcl-ink"], light_colours()["--hcl-muted"]
    for number, line in enumerate(title):
        at = 1 - (_TOP + number * _TITLE_LINE) / height
        sheet.text(0.1 / _WIDTH, at, line, size=9.5, weight="bold", color=ink, va="top")
    for number, line in enumerate(caption):
        at = (0.06 + (len(caption) - 1 - number) * _CAPTION_LINE) / height
        sheet.text(0.1 / _WIDTH, at, line, size=6.5, color=muted)
    _add_legend(sheet, axes, num_columns, 1 - (_TOP + len(title) * _TITLE_LINE) / height)
    return sheet


def _add_note(sheet: "Sheet", note: dict[str, Any], box: Sequence[float]) -> None:
    at = (box[0] + note["x"] * box[2] + note.get("xshift", 0) * _PIXEL / _WIDTH, box[1] + note["y"] * box[3])
    places = {"middle": "center"} | {place: place for place in ("top", "bottom")}
    style = {"size": 7, "color": note["font"]["color"], "ha": note["xanchor"], "va": places[note["yanchor"]]}
    sheet.text(*at, unescape(note["text"]), **style)


def _legend_names(figure: Figure) -> list[str]:
    return [name for name in map(name_of, filter(lambda each: each.get("name"), figure["data"])) if name != "_"]


def _num_columns(names: Sequence[str]) -> int:
    """As many entries side by side as fit; each column is as wide as its longest entry."""

    def width(columns: int) -> float:
        return sum(0.45 + 0.064 * max(map(len, names[start::columns])) for start in range(columns))

    return next((columns for columns in range(len(names), 1, -1) if width(columns) <= _WIDTH - 0.2), 1)


def _add_legend(sheet: "Sheet", axes: dict[str, "Axes"], num_columns: int, top: float) -> None:
    """The entries row by row, below the title."""
    entries = [each.get_legend_handles_labels() for each in axes.values()]
    handles, names = (list(chain(*each)) for each in zip(*entries, strict=True))
    order = list(chain(*(range(start, len(names), num_columns) for start in range(num_columns))))
    sheet.legend(
        [handles[place] for place in order],
        [names[place] for place in order],
        loc="upper left",
        bbox_to_anchor=(0.06 / _WIDTH, top),
        borderaxespad=0,
        borderpad=0.2,
        ncols=num_columns,
        frameon=False,
        fontsize=8,
        labelcolor=light_colours()["--hcl-ink"],
        handlelength=1.6,
        columnspacing=1.4,
        labelspacing=0.35,
    )
