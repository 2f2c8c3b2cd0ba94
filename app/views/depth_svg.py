"""The answers layer by layer as an animated SVG file: no script, nothing from elsewhere, and still on demand."""

import unicodedata
from collections.abc import Callable, Sequence
from html import escape
from itertools import pairwise

from app.language import Translator
from app.outcomes import Scored
from app.question_view import QuestionView
from app.run_names import settings_in_words
from app.theme import light_colours
from app.views.depth import Step, steps_in_words
from hcl_core.text import printable

# Slower than the player, which can be stopped to read.
_SECONDS_A_LAYER, _SECONDS_AT_LAST = 1.0, 3.0
_WIDTH, _HEIGHT, _MARGIN = 960, 540, 40
_RIGHT_X = 620
# The curve, and the bars below it.
_CURVE_Y, _CURVE_HEIGHT, _BARS_Y, _BARS_HEIGHT = 318, 86, 432, 54
_PLOT_X, _PLOT_WIDTH = 130, _WIDTH - 130 - _MARGIN
# Sizes of the answers, the first that fits into their place.
_SIZES, _ANSWERS_WIDTH, _ANSWERS_HEIGHT = (58, 44, 34, 26, 20, 15), _RIGHT_X - _MARGIN - 30, 104
_FONT = "Inter, system-ui, -apple-system, 'Segoe UI', sans-serif"
# Not in XML, however they are written.
_NOT_IN_XML = str.maketrans({"\ufffe": "·", "\uffff": "·"})


def animated_svg(view: QuestionView, scored: Scored, words: Translator) -> str:
    """Walks through the layers of a question, over and over; it rests under the pointer.

    Args:
        view: The question and its answers; at least one layer has some.
        scored: Of its layers.
        words: Of the language of its sentences.
    """
    steps = steps_in_words(view, scored, view.meanings, words)
    question = view.stored.question.text
    frames = "".join(_frame(step, at, len(steps)) for at, step in enumerate(steps))
    said = ". ".join(step["said"] for step in steps)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-labelledby="title desc" xml:lang="{words.language}" font-family="{_FONT}">'
        f'<title id="title">{_safe(question)}</title><desc id="desc">{_safe(said)}</desc>'
        f"<style>{_style(len(steps))}</style>{_pattern()}"
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" rx="16" class="paper"/>'
        f"{_lines(question, _MARGIN, 50, 22, _WIDTH - 2 * _MARGIN, 2, 'strong')}"
        f"{_plot(steps, words)}{frames}{_footer(view, words)}</svg>"
    )


def _safe(text: str) -> str:
    return escape(printable(text).translate(_NOT_IN_XML))


def _style(num_steps: int) -> str:
    """Colours of the light theme, and which frame shows when: the last one where nothing moves."""
    colours = {name: light_colours()[f"--hcl-{name}"] for name in ("ink", "muted", "line", "bar", "accent")}
    right, wrong = light_colours()["--hcl-right"], light_colours()["--hcl-wrong"]
    style = (
        f".paper{{fill:#fff;stroke:{colours['line']}}}text{{fill:{colours['muted']}}}"
        f".strong{{fill:{colours['ink']};font-weight:650}}.correct{{fill:{right}}}.incorrect{{fill:{wrong}}}"
        f".unjudged{{fill:{colours['accent']}}}.not_attempted,.mixed{{fill:{colours['bar']}}}"
        f".track{{fill:{colours['line']}}}.mark{{fill:none;stroke:{colours['accent']};stroke-width:2}}"
        f".curve{{fill:none;stroke:{colours['ink']};stroke-width:2}}.band{{fill:{colours['bar']};opacity:.3}}"
        f".dot{{fill:{colours['ink']};stroke:#fff;stroke-width:2}}.axis{{stroke:{colours['line']}}}"
        f".hatched{{fill:url(#wrong);stroke:{wrong}}}"
        f".empty{{fill:none;stroke:{colours['bar']};stroke-dasharray:3 2}}"
    )
    if num_steps == 1:
        return style
    whole = _SECONDS_A_LAYER * num_steps + _SECONDS_AT_LAST
    starts = [f"{100 * at * _SECONDS_A_LAYER / whole:.3f}%" for at in range(num_steps)]
    moving = "".join(
        f"@keyframes s{at}{{0%{{opacity:{int(at == 0)}}}{start}{{opacity:1}}{end}{{opacity:0}}}}"
        for at, (start, end) in enumerate(pairwise(starts))
    )
    last = f"@keyframes s{num_steps - 1}{{0%{{opacity:0}}{starts[-1]},100%{{opacity:1}}}}"
    return style + (
        f".step{{opacity:0}}.step:last-of-type{{opacity:1}}"
        f"@media (prefers-reduced-motion:no-preference){{{moving}{last}"
        f".step{{animation-duration:{whole:g}s;animation-timing-function:step-end;animation-iteration-count:infinite}}"
        f"svg:hover .step{{animation-play-state:paused}}}}"
    )


def _pattern() -> str:
    """Hatching says wrong without colour."""
    wrong = light_colours()["--hcl-wrong"]
    return (
        '<defs><pattern id="wrong" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        f'<rect width="2" height="5" fill="{wrong}"/></pattern></defs>'
    )


def _frame(step: Step, at: int, num_steps: int) -> str:
    """All that changes with the layer."""
    x, width = _place(at, num_steps)
    bar = _WIDTH - _MARGIN - _RIGHT_X
    drawn = [
        f'<rect class="mark" x="{x - width / 2:.1f}" y="{_BARS_Y - 4}" width="{width:.1f}" height="{_BARS_HEIGHT + 4}" '
        'rx="4"/>',
        _text(step["name"], _MARGIN, 112, 17),
        _answers(step),
        _lines(step["share"], _RIGHT_X, 146, 24, bar, 1, "strong"),
        f'<rect class="track" x="{_RIGHT_X}" y="160" width="{bar}" height="10" rx="5"/>',
        f'<rect class="{step["outcome"]}" x="{_RIGHT_X}" y="160" width="{bar * step["portion"]:.1f}" height="10" '
        'rx="5"/>',
        _lines(step["sure"], _RIGHT_X, 200, 15, bar, 3),
        _lines(" · ".join(step["news"]), _MARGIN, 268, 18, _WIDTH - 2 * _MARGIN, 2, "strong"),
    ]
    if step["score"] is not None:
        drawn.append(f'<circle class="dot" cx="{x:.1f}" cy="{_height_of(step["score"]):.1f}" r="6"/>')
    name = f' style="animation-name:s{at}"' if num_steps > 1 else ""
    return f'<g class="step"{name}>{"".join(drawn)}</g>'


def _answers(step: Step) -> str:
    """The most common answers, a line each, as large as their place allows."""
    leaders, more = step["leaders"], step["more"]
    height = _ANSWERS_HEIGHT - (20 if more else 0)
    for size in _SIZES:
        wrapped = [_wrap(leader["text"], _ANSWERS_WIDTH - 1.1 * size, size) for leader in leaders]
        if sum(map(len, wrapped)) * size * 1.15 <= height:
            break
    else:
        wrapped = [lines[:1] for lines in wrapped]
    y = 122 + (height - sum(map(len, wrapped)) * size * 1.15) / 2
    drawn = ""
    for leader, lines in zip(leaders, wrapped, strict=True):
        indent = 1.1 * size if leader["sign"] else 0
        drawn += _text(leader["sign"], _MARGIN, y + size, size, leader["outcome"]) if leader["sign"] else ""
        for line in lines:
            y += size * 1.15
            drawn += _text(line, _MARGIN + indent, y - size * 0.15, size, "strong")
    return drawn + (_lines(more, _MARGIN, 122 + _ANSWERS_HEIGHT, 16, _ANSWERS_WIDTH, 1) if more else "")


def _plot(steps: Sequence[Step], words: Translator) -> str:
    """The curve of right answers, or of plausibility, with its intervals, and a bar a layer for the answer's share."""
    places = [_place(at, len(steps)) for at in range(len(steps))]
    known = [(x, step) for (x, _), step in zip(places, steps, strict=True) if step["score"] is not None]
    is_open = any(step["outcome"] == "unjudged" for step in steps)
    drawn = [
        f'<path class="axis" d="M{_PLOT_X} {_height_of(share)}h{_PLOT_WIDTH}"/>'
        + _text(words.percent(share), _PLOT_X - 8, _height_of(share) + 4, 12, anchor="end")
        for share in (0, 1)
    ]
    if known:
        drawn.append(_band(known) + _curve(known))
    bars = (
        _bar(step["outcome"], x, width, max(3.0, _BARS_HEIGHT * step["portion"]))
        for (x, width), step in zip(places, steps, strict=True)
    )
    names = [
        _lines(words("token_plausibility" if is_open else "depth_curve"), _MARGIN, _CURVE_Y + 34, 13, 88, 3),
        _lines(words("depth_bars"), _MARGIN, _BARS_Y + 16, 13, 88, 3),
        *(
            _text(str(step["layer"]), x, _BARS_Y + _BARS_HEIGHT + 16, 12, anchor="middle")
            for (x, _), step in zip(places, steps, strict=True)
            if len(steps) <= 12 or step in (steps[0], steps[-1]) or step["layer"] % 5 == 0
        ),
    ]
    return "".join([*drawn, *bars, *names])


def _bar(outcome: str, x: float, width: float, height: float) -> str:
    look = {"incorrect": "hatched", "not_attempted": "empty"}.get(outcome, outcome)
    return (
        f'<rect class="{look}" x="{x - 0.32 * width:.1f}" y="{_BARS_Y + _BARS_HEIGHT - height:.1f}" '
        f'width="{0.64 * width:.1f}" height="{height:.1f}"/>'
    )


def _curve(known: Sequence[tuple[float, Step]]) -> str:
    points = " ".join(f"{x:.1f},{_height_of(step['score']):.1f}" for x, step in known)
    return f'<polyline class="curve" points="{points}"/>'


def _band(known: Sequence[tuple[float, Step]]) -> str:
    """The area between the ends of the intervals."""
    ends = [(x, step) for x, step in known if step["low"] is not None]
    there = [f"{x:.1f},{_height_of(step['high']):.1f}" for x, step in ends]
    back = [f"{x:.1f},{_height_of(step['low']):.1f}" for x, step in reversed(ends)]
    return f'<polygon class="band" points="{" ".join(there + back)}"/>'


def _place(at: int, num_steps: int) -> tuple[float, float]:
    """Middle and width of a layer's place on the axis."""
    width = min(_PLOT_WIDTH / num_steps, 60.0)
    return _PLOT_X + _PLOT_WIDTH / num_steps * (at + 0.5), width


def _height_of(share: float) -> float:
    return _CURVE_Y + _CURVE_HEIGHT * (1 - share)


def _footer(view: QuestionView, words: Translator) -> str:
    made = settings_in_words(view.manifest, words)
    return _lines(made, _MARGIN, _HEIGHT - 14, 12, 720, 1) + _text(
        "HCL Explorer", _WIDTH - _MARGIN, _HEIGHT - 14, 12, "strong", "end"
    )


def _lines(text: str, x: float, y: float, size: float, width: float, most: int, look: str = "") -> str:
    """``text`` in no more than ``most`` lines, cut if it is longer."""
    lines = _wrap(text, width, size)
    if len(lines) > most:
        lines = [*lines[: most - 1], lines[most - 1].rstrip() + "…"]
    return "".join(_text(line, x, y + 1.3 * size * at, size, look) for at, line in enumerate(lines))


def _text(text: str, x: float, y: float, size: float, look: str = "", anchor: str = "") -> str:
    of_class = f' class="{look}"' if look else ""
    anchored = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}"{of_class}{anchored}>{_safe(text)}</text>'


def _wrap(text: str, width: float, size: float) -> list[str]:
    """Lines that are about ``width`` wide: which font there will be, nobody knows."""
    return _fill(printable(text).split(" "), lambda line: size * sum(map(_letter_width, line)) <= width)


def _fill(words: Sequence[str], fits: Callable[[str], bool]) -> list[str]:
    lines = [""]
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        if fits(longer):
            lines[-1] = longer
            continue
        lines.append("")
        for letter in word:  # a word that is too long for a line is divided
            if not fits(lines[-1] + letter):
                lines.append("")
            lines[-1] += letter
    return [line for line in lines if line] or [""]


def _letter_width(letter: str) -> float:
    """In sizes of the font: of a broad sans-serif, so that other fonts fit too."""
    if unicodedata.combining(letter):
        return 0.0
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.0
    return 0.74 if letter.isupper() or letter in "mwMW—…%" else 0.34 if letter in " .,;:!|'ijlI" else 0.6
