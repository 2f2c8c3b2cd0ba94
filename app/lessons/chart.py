"""The chart of a reveal: curves over the layers, which layers count as right, and below them what the class predicted.

An SVG without styles of its own: ``assets/class/class.css`` has the colours. Curves differ by dashes and names too.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from html import escape

from app.language import Translator
from app.outcomes import Scored
from hcl_core.text import printable

_WIDTH, _LEFT, _RIGHT = 480, 40, 12
_TOP, _CURVES, _GAP, _BARS, _FOOT = 26, 170, 12, 56, 34
_CURVE_KEYS = {"right": "class_curve_right", "creativity": "class_curve_creativity", "balance": "class_curve_balance"}


def layer_chart(
    scored: Scored,
    parts: Sequence[str],
    layers: Sequence[int],
    spread: Counter[int] | None,
    label: str,
    words: Translator,
) -> str:
    """The chart.

    Args:
        scored: Of all layers.
        parts: Curves of it that are drawn, and perhaps other parts.
        layers: That count as right.
        spread: Predictions by layer; ``None`` where no layer was predicted.
        label: What it shows, for who cannot see it.
        words: The lesson's.
    """
    exit_layers = [score.exit_layer for score in scored.scores]
    first, last = exit_layers[0], exit_layers[-1]
    step = (_WIDTH - _LEFT - _RIGHT) / max(last - first + 1, 1)
    height = _TOP + _CURVES + _FOOT + (_GAP + _BARS if spread is not None else 0)

    def x(layer: float) -> float:
        return _LEFT + (layer - first + 0.5) * step

    inside = [
        f'<rect class="truth" x="{x(layer) - step / 2:.1f}" y="{_TOP}" width="{step:.1f}" '
        f'height="{height - _TOP - _FOOT}"/>'
        for layer in layers
    ]
    inside += _grid(words)
    curves = [name for name in _CURVE_KEYS if name in parts] or ["right"]
    inside += [_curve(name, scored, x) for name in curves]
    inside += _legend([name for name in curves if not _is_empty(name, scored)], words)
    if spread is not None:
        inside += _bars(spread, first, last, x, step, words)
    base = height - _FOOT
    ticks = sorted({first, last, *(layer for layer in range(first, last) if layer % 5 == 0 and last - layer > 1)})
    inside += [f'<text class="tick" x="{x(tick):.1f}" y="{base + 14}">{tick}</text>' for tick in ticks]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    inside.append(f'<text class="axis" x="{middle:.0f}" y="{base + 29}">{escape(words("class_axis"))}</text>')
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(printable(label))}">'
        f"{''.join(inside)}</svg>"
    )


def option_bars(
    options: Sequence[str], spread: Counter[int], right: Sequence[int], mine: str, words: Translator
) -> str:
    """The predictions of a multiple choice: a bar an option; signs say which are right.

    Args:
        options: Their texts.
        spread: Predictions by index.
        right: Indices that are right.
        mine: Attribute that the page's script looks for, such as ``data-option``; empty: none.
        words: The lesson's.
    """
    total = max(spread.total(), 1)
    rows = []
    for index, option in enumerate(options):
        count, is_right = spread[index], index in right
        sign = f'<i role="img" aria-label="{escape(words("correct"))}">✓</i> ' if is_right else ""
        marked = f' {mine}="{index}"' if mine else ""
        rows.append(
            f'<li class="{"right" if is_right else ""}"{marked}>'
            f'<span dir="auto">{sign}{escape(printable(option))}</span>'
            f"<b>{words.count(count)}</b>"
            f'<svg viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
            f'<rect class="track" width="100" height="4"/>'
            f'<rect class="bar" width="{100 * count / total:.1f}" height="4"/></svg></li>'
        )
    return f'<ul class="options">{"".join(rows)}</ul>'


def _y(value: float) -> float:
    return _TOP + (1 - value) * _CURVES


def _grid(words: Translator) -> list[str]:
    return [
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{_y(value):.1f}" y2="{_y(value):.1f}"/>'
        f'<text class="value" x="{_LEFT - 5}" y="{_y(value) + 4:.1f}">{words.percent(value)}</text>'
        for value in (0, 0.5, 1)
    ]


def _values(name: str, scored: Scored) -> list[tuple[int, float, float, float]]:
    """Layer, value and interval of a curve, where it is known."""
    found = []
    for score, known in zip(scored.scores, scored.uncertainty.layers, strict=True):
        if name == "right":
            low, high = known.hallucination_ci
            row = (1 - score.hallucination_rate, 1 - high, 1 - low)
        elif name == "creativity":
            row = (score.creativity, *known.creativity_ci)
        else:
            row = (score.hcb_score, *known.hcb_ci)
        if all(map(math.isfinite, row)):
            found.append((score.exit_layer, *row))
    return found


def _is_empty(name: str, scored: Scored) -> bool:
    return not _values(name, scored)


def _curve(name: str, scored: Scored, x: Callable[[float], float]) -> str:
    points = _values(name, scored)
    if not points:
        return ""
    upper = [f"{x(layer):.1f},{_y(high):.1f}" for layer, _, _, high in points]
    lower = [f"{x(layer):.1f},{_y(low):.1f}" for layer, _, low, _ in reversed(points)]
    line = " ".join(f"{x(layer):.1f},{_y(value):.1f}" for layer, value, _, _ in points)
    return (
        f'<polygon class="band {name}" points="{" ".join(upper + lower)}"/>'
        f'<polyline class="curve {name}" points="{line}"/>'
    )


def _legend(curves: Sequence[str], words: Translator) -> list[str]:
    width = (_WIDTH - _LEFT - _RIGHT) / max(len(curves), 1)
    return [
        f'<line class="curve {name}" x1="{_LEFT + at * width:.1f}" x2="{_LEFT + at * width + 20:.1f}" y1="11" y2="11"/>'
        f'<text class="legend" x="{_LEFT + at * width + 25:.1f}" y="15">{escape(words(_CURVE_KEYS[name]))}</text>'
        for at, name in enumerate(curves)
    ]


def _bars(
    spread: Counter[int], first: int, last: int, x: Callable[[float], float], step: float, words: Translator
) -> list[str]:
    base, most = _TOP + _CURVES + _GAP + _BARS, max(spread.values(), default=1)
    bars = [f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{base}" y2="{base}"/>']
    for layer, count in sorted(spread.items()):
        if first <= layer <= last:
            height = (_BARS - 12) * count / most
            bars.append(
                f'<rect class="bar" x="{x(layer) - step * 0.36:.1f}" y="{base - height:.1f}" width="{step * 0.72:.1f}" '
                f'height="{height:.1f}"/>'
                f'<text class="tick" x="{x(layer):.1f}" y="{base - height - 3:.1f}">{words.count(count)}</text>'
            )
    return bars
