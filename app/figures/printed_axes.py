"""The axes and curves of a chart for print: what Plotly's settings say, drawn by matplotlib."""

from collections.abc import Sequence
from html import unescape
from typing import TYPE_CHECKING, Any

from app.figures.base import Figure, Trace
from app.theme import light_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Sheet

_MARKERS = {"circle": "o", "square": "s", "triangle-up": "^", "diamond": "D", "cross": "P", "x": "X", "star": "*"}
_DASHES: dict[str, Any] = {"dot": ":", "dash": "--", "dashdot": "-.", "longdash": (0, (8, 3))}
_HATCHES = {"/": "////", ".": ".."}


def add_axes(sheet: "Sheet", layout: Figure, box: Sequence[float]) -> dict[str, "Axes"]:
    """Empty axes in ``box``, a part of the sheet: left, bottom, width and height; by the names that traces use."""
    x_axis = layout["xaxis"]
    made: dict[str, Axes] = {}
    for name, axis in y_axes(layout).items():
        low, high = (
            y_axes(layout)[axis["overlaying"]].get("domain", (0, 1))
            if "overlaying" in axis
            else axis.get("domain", (0, 1))
        )
        place = (box[0], box[1] + low * box[3], box[2], (high - low) * box[3])
        axes = sheet.add_axes(place, label=name, facecolor="none", sharex=made.get("y"))
        made[name] = axes
        is_right, is_bottom = axis.get("side") == "right", x_axis.get("anchor", "y") == name
        _style_axes(axes, is_right, is_bottom)
        _scale_values(axes, axis, layout["separators"][0])
        if is_bottom:
            axes.set_xlabel(x_axis["title"]["text"], color=light_colours()["--hcl-ink"])
    made["y"].set_xlim(*x_axis["range"])
    made["y"].xaxis.set_major_locator(_locator(x_axis.get("dtick"), x_axis["tickformat"] == "d"))
    made["y"].xaxis.set_major_formatter(_format_of(x_axis["tickformat"], layout["separators"][0]))
    return made


def y_axes(layout: Figure) -> dict[str, Any]:
    """The vertical axes by the names that traces use."""
    return {name.replace("axis", ""): axis for name, axis in layout.items() if name.startswith("yaxis")}


def _style_axes(axes: "Axes", is_right: bool, is_bottom: bool) -> None:
    line, muted = light_colours()["--hcl-line"], light_colours()["--hcl-muted"]
    side = "right" if is_right else "left"
    for name, spine in axes.spines.items():
        spine.set_visible(name == side or (name == "bottom" and is_bottom))
        spine.set_color(muted if name == "bottom" else line)
    axes.tick_params(axis="both", length=2.5, width=0.6, color=muted, labelcolor=muted, labelsize=7.5)
    axes.tick_params(axis="x", bottom=is_bottom, labelbottom=is_bottom)
    axes.tick_params(axis="y", left=False, right=False, labelleft=not is_right, labelright=is_right)
    axes.set_axisbelow(True)


def _scale_values(axes: "Axes", axis: dict[str, Any], decimal_mark: str) -> None:
    from matplotlib.ticker import FixedLocator, MaxNLocator

    if axis.get("showticklabels", True):
        ticks = axis.get("tickvals")
        axes.yaxis.set_major_locator(FixedLocator(ticks) if ticks else MaxNLocator(axis.get("nticks", 5)))
        axes.yaxis.set_major_formatter(_format_of(axis.get("tickformat", ""), decimal_mark))
    else:
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    if axis.get("showgrid", True):
        axes.grid(axis="y", color=light_colours()["--hcl-line"], linewidth=0.6)
    if axis.get("zeroline"):
        axes.axhline(0, color=axis["zerolinecolor"], linewidth=0.6, zorder=0.5)
    if "range" in axis:
        axes.set_ylim(*axis["range"])


def _locator(step: int | None, is_whole: bool) -> Any:
    from matplotlib.ticker import MaxNLocator, MultipleLocator

    return MultipleLocator(step) if step else MaxNLocator(10, integer=is_whole, steps=[1, 2, 5, 10])


def _format_of(tickformat: str, decimal_mark: str) -> Any:
    from matplotlib.ticker import FuncFormatter, PercentFormatter

    if tickformat.endswith("%"):
        return PercentFormatter(1, decimals=0)
    return FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−").replace(".", decimal_mark))


def add_shapes(axes: "Axes", shapes: Sequence[dict[str, Any]]) -> None:
    """Shades and marks of layers; they are as high as the curves."""
    for shape in shapes:
        if shape["type"] == "rect":
            axes.axvspan(shape["x0"], shape["x1"], color=shape["fillcolor"], linewidth=0, zorder=0)
        else:
            axes.axvline(shape["x0"], color=shape["line"]["color"], linewidth=0.8, linestyle=":", zorder=0.6)


def add_traces(axes: dict[str, "Axes"], traces: Sequence[Trace]) -> None:
    """Curves, areas and bars, each on the axes that it names."""
    floor: dict[str, list[float]] = {}  # how high the areas or bars of an axis are stacked
    for trace in traces:
        name = trace.get("yaxis", "y")
        if trace["type"] == "bar":
            _add_bars(axes[name], trace)
        elif "stackgroup" in trace:
            floor[name] = _add_area(axes[name], trace, floor.get(name, [0.0] * len(trace["x"])))
        elif trace.get("fill") == "toself":
            axes[name].fill(trace["x"], trace["y"], color=trace["fillcolor"], alpha=trace["opacity"], linewidth=0)
        else:
            _add_curve(axes[name], trace)


def _add_curve(axes: "Axes", trace: Trace) -> None:
    line, marker = trace["line"], trace["marker"]
    axes.plot(
        trace["x"],
        [float("nan") if value is None else value for value in trace["y"]],
        color=line["color"],
        linewidth=line["width"] * 0.7,
        linestyle=_DASHES.get(line.get("dash", ""), "-"),
        marker=_MARKERS[marker["symbol"]],
        markersize=marker["size"] * (0.45 if len(trace["x"]) > 16 else 0.6),
        markeredgecolor=light_colours()["--hcl-panel"],
        markeredgewidth=0.5,
        label=name_of(trace),
        clip_on=False,
    )


def _add_area(axes: "Axes", trace: Trace, floor: list[float]) -> list[float]:
    """The area on top of ``floor``; the next floor. One layer alone is a bar."""
    top = [low + (value or 0) for low, value in zip(floor, trace["y"], strict=True)]
    hatch = _HATCHES.get(trace["fillpattern"]["shape"])
    style = {
        "facecolor": trace["fillcolor"],
        "edgecolor": light_colours()["--hcl-panel"],
        "hatch": hatch,
        "linewidth": 0.4,
    }
    if len(trace["x"]) == 1:
        axes.bar(trace["x"], trace["y"], bottom=floor, width=0.3, label=name_of(trace), **style)
    else:
        axes.fill_between(trace["x"], floor, top, label=name_of(trace), **style)
    return top


def _add_bars(axes: "Axes", trace: Trace) -> None:
    gaps = [after - before for before, after in zip(trace["x"], trace["x"][1:], strict=False)]
    heights = [value or 0 for value in trace["y"]]
    left, right = axes.get_xlim()
    width = min([0.55 * gap for gap in gaps] + [0.08 * (right - left)])
    axes.bar(trace["x"], heights, width=width, color=trace["marker"]["color"], linewidth=0)
    for at, value, text in zip(trace["x"], heights, trace["text"], strict=True):
        size = 5.5 if len(trace["x"]) > 16 else 6.5
        axes.text(at, value + 0.06, text, size=size, color=trace["textfont"]["color"], ha="center", clip_on=False)


def name_of(trace: Trace) -> str:
    """Of its entry in the legend; matplotlib leaves out what begins with ``_``."""
    return unescape(trace["name"]) if trace.get("showlegend", True) else "_"
