"""The numbers and the figure of ``docs/performance.md``: ``python -m docs.performance``.

They come from ``docs/performance.json``, which ``python -m bench.curves`` measures, and from ``bench.estimate``.
``--check`` changes nothing and fails when the text's numbers are others.
"""

import json
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from bench.curves import FIRST_WAVE, HEADS, OUT, PAGE_TOKENS, VARIED
from bench.estimate import REPORTED_HOURS, measured_sharing, rows
from docs.writing import draw, parse_check, write
from hcl_core.settings.layers import parse_layers

TEXT = Path(__file__).with_name("performance.md")
FIGURE = Path(__file__).parent.parent / "assets" / "performance.png"
COLOURS = {"linear": "#0072b2", "shared": "#d55e00"}  # Okabe and Ito's blue and vermilion
DEPTH = 30

Point = dict[str, Any]


def main() -> None:
    """Write the tables and the figure, or check the tables."""
    only_check = parse_check(__doc__)
    found = json.loads(OUT.read_text(encoding="utf-8"))
    write(TEXT, tables(found), only_check)
    if not only_check:
        draw({FIGURE: _figure(found)})


def tables(found: dict[str, Any]) -> dict[str, str]:
    """The tables by the name of the text's block."""
    blocks = {"machine": _machine(found), "wave": _first_wave(found), "estimate": _estimate()}
    blocks |= {name: _curve(found, name) for name in VARIED}
    return blocks


def _machine(found: dict[str, Any]) -> str:
    return (
        f"{found['model']}, float32, {found['machine']}; {found['measured']}; starter questions asked: "
        f"{found['questions']}, repeats after a warm-up: {found['repeats']}.\n"
    )


def _x(point: Point, name: str) -> float:
    return len(parse_layers(point[name], DEPTH)) if name == "layers" else float(point[name])


def _points(found: dict[str, Any], head: str, name: str) -> list[Point]:
    return [found["points"][f"{head} {name} {value}"] for value in VARIED[name]]


def _curve(found: dict[str, Any], name: str) -> str:
    lines = [
        f"| {name} | " + " | ".join(f"{head}: s | prefixes | read out of drawn" for head in HEADS) + " |",
        "|---|" + "---|" * 3 * len(HEADS),
    ]
    for points in zip(*(_points(found, head, name) for head in HEADS), strict=True):
        cells = [f"{_x(points[0], name):g}"]
        for point in points:
            cells += [
                f"{point['seconds']:.2f}",
                f"{point['nodes']:,.0f}",
                f"{point['readouts'] / max(point['drawn'], 1):.0%}",
            ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _first_wave(found: dict[str, Any]) -> str:
    lines = ["| dtype | half of the answers | nine tenths | all | there within 1 s |", "|---|---|---|---|---|"]
    for dtype, wave in found["first_wave"].items():
        lines.append(
            f"| {dtype} | {wave['half']:.2f} s | {wave['nine_tenths']:.2f} s | {wave['all']:.2f} s | "
            f"{wave['share_in_a_second']:.0%} |"
        )
    lines.append(
        f"\n{FIRST_WAVE} answers of at most {PAGE_TOKENS} tokens at each of {DEPTH} layers, linear head, T 0.6."
    )
    return "\n".join(lines) + "\n"


def _estimate() -> str:
    sharing = measured_sharing()
    lines = [
        f"Shared as in SmolLM2: {sharing.blocks:.0%} of the unshared rows through blocks, {sharing.readouts:.0%} of "
        "the unshared readouts.\n",
        "| GPU | model | | weights | readouts | keys, values | launches | s a question | one at a time, s | ratio | "
        f"questions in {REPORTED_HOURS:,} GPU-hours |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for gpu, model, label, each in rows():
        terms = (each.weights, each.readouts, each.keys_values, each.launches, each.total, each.one_at_a_time)
        ratio, questions = each.one_at_a_time / each.total, REPORTED_HOURS * 3600 / each.total
        cells = [gpu, f"`{model}`", label, *(f"{term:.2f}" for term in terms), f"{ratio:.0f}x", f"{questions:,.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _figure(found: dict[str, Any]) -> go.Figure:
    """Seconds over each setting that was varied, a panel each."""
    from plotly.subplots import make_subplots

    figure: go.Figure = make_subplots(rows=1, cols=4, subplot_titles=list(VARIED), horizontal_spacing=0.05)
    for column, name in enumerate(VARIED, 1):
        for head in HEADS:
            points = _points(found, head, name)
            figure.add_scatter(
                x=[_x(point, name) for point in points],
                y=[point["seconds"] for point in points],
                name=f"{head} head",
                line={"color": COLOURS[head], "dash": "solid" if head == "linear" else "dot"},
                showlegend=column == 1,
                row=1,
                col=column,
            )
    figure.update_yaxes(rangemode="tozero")
    figure.update_yaxes(title="seconds", col=1)
    figure.update_layout(
        template="plotly_white",
        width=1100,
        height=320,
        margin={"l": 55, "r": 15, "t": 40, "b": 30},
        legend={"orientation": "h", "y": -0.12},
    )
    return figure


if __name__ == "__main__":
    main()
