"""Records in, words and HTML out. Pure; every text from a model or a user is escaped here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from app.figures import MEASURES
from app.library import Scored
from hcl_core.answers import CountedAnswer, LayerAnswers, printable
from hcl_core.comparison import RunComparison

_MAX_CARDS = 12
_MAX_CARD_TEXT = 120
_SIGNS = {"correct": ("✓", "right"), "incorrect": ("✕", "wrong"), "not_attempted": ("–", "no answer")}

WELCOME = (
    '<div class="hcl-empty"><h2>Where does an answer come from?</h2>'
    "<p>A language model can be asked for its next word after any of its layers, not only the last. Choose a "
    "question and press <b>Run</b>: every layer answers it many times, and you see which of them balances "
    "being right with having different right ideas.</p></div>"
)


def headline(scored: Scored, is_complete: bool, asked: str = "") -> str:
    """The result as a sentence, how sure it is, and what it does not say.

    Args:
        scored: Of all layers.
        is_complete: Whether all answers are in.
        asked: Question and model: the form may say something else by now.
    """
    sentence, detail = _sentence(scored), _detail(scored)
    partial = "" if is_complete else " So far; more answers are wanted."
    about = f'<p class="hcl-asked">{escape(printable(asked))}</p>' if asked else ""
    return f'<div class="hcl-headline">{about}<h2>{sentence}</h2><p>{detail}{partial}</p></div>'


def spoken_layers(layers: Sequence[int]) -> str:
    """``28 to 30`` or ``24, 27 and 30``."""
    is_run = len(layers) > 2 and len({after - before for before, after in zip(layers, layers[1:], strict=False)}) == 1
    if is_run:
        return f"{layers[0]} to {layers[-1]}"
    return f"{', '.join(map(str, layers[:-1]))} and {layers[-1]}" if len(layers) > 1 else str(layers[0])


def _sentence(scored: Scored) -> str:
    if scored.best is None:
        return "No layer gave a right answer."
    if scored.sure.verdict == "none":
        return "No layer is clearly best."
    tied = tuple(sorted({scored.best, *scored.sure.tied_layers}))
    if len(tied) > 1:
        return f"Layers {spoken_layers(tied)} balance best, and can’t be told apart."
    return f"Layer {scored.best} balances best: {_achieved(scored)}."


def _detail(scored: Scored) -> str:
    if scored.best is None:
        return "With nothing right there is nothing to balance."
    share = next(each.p_optimal for each in scored.sure.layers if each.exit_layer == scored.best)
    if len(scored.scores) == 1:
        return "It is the only layer that was asked."
    if len(tied := {scored.best, *scored.sure.tied_layers}) == 1:
        return f"It has the highest HCB in {share:.0%} of resampled runs."
    lead = f"Layer {scored.best} leads in {share:.0%} of resampled runs: {_achieved(scored)}."
    if scored.sure.verdict == "none":
        lead += f" {len(tied)} of {len(scored.scores)} layers can’t be told apart."
    return lead


def _achieved(scored: Scored) -> str:
    score = next(each for each in scored.scores if each.exit_layer == scored.best)
    ideas = score.creativity_raw
    counted = f"{ideas:.0f}" if float(ideas).is_integer() else f"{ideas:.1f}"
    noun = "right idea" if ideas == 1 else "different right ideas"
    return f"{1 - score.hallucination_rate:.0%} right, {counted} {noun}"


def comparison(
    compared: RunComparison, measure: str, names: tuple[str, str], differing: dict[str, list[object]]
) -> str:
    """Whether the best layer repeats, how many layers differ, and what was asked for differently.

    Args:
        compared: The first run against the second.
        measure: A name of ``figures.MEASURES``.
        names: Of the two runs.
        differing: Settings by name, with both values.
    """
    word = MEASURES[measure][0]
    first, second = compared.optimal_layers
    if first is None or second is None:
        sentence = "One of these runs has no right answer, so no best layer."
    elif first == second:
        sentence = f"Both put layer {first} first."
    else:
        sentence = f"One puts layer {first} first, the other layer {second}."
    repeats = (
        ""
        if compared.p_same_optimal is None
        else f"The same layer is best in {compared.p_same_optimal:.0%} of resampled pairs. "
    )
    differences = compared.differences[measure]
    apart = sum(each.interval[0] > 0 or each.interval[1] < 0 for each in differences)
    correlation = compared.rank_correlation[measure].estimate
    order = f" Rank correlation over layers: {correlation:.2f}." if math.isfinite(correlation) else ""
    rows = "".join(
        f"<tr><th>{escape(printable(name.replace('_', ' ')))}</th>"
        + "".join(f"<td>{escape(printable(str(value))[:120])}</td>" for value in values)
        + "</tr>"
        for name, values in differing.items()
    )
    heads = "".join(f"<th>{escape(printable(name))}</th>" for name in names)
    table = f'<table class="hcl-settings"><tr><th>asked for differently</th>{heads}</tr>{rows}</table>' if rows else ""
    return (
        f'<div class="hcl-headline"><h2>{sentence}</h2><p>{repeats}In {word}, {apart} of {len(differences)} layers '
        f"can be told apart.{order} {compared.num_questions} questions.</p>{table}</div>"
    )


def answer_columns(layers: Sequence[LayerAnswers], best: int | None) -> str:
    """The answers side by side, one column a layer."""
    if not layers:
        return ""
    columns = "".join(_column(layer, layer.exit_layer == best) for layer in layers)
    signs = (f'<span class="{outcome}"><i>{sign}</i> {word}</span>' for outcome, (sign, word) in _SIGNS.items())
    legend = "".join(signs)
    return (
        f'<div class="hcl-answers-head"><h3>Answers by layer</h3><p>{legend}</p></div>'
        f'<div class="hcl-columns" role="list" aria-label="Answers by exit layer" tabindex="0">{columns}</div>'
    )


def _column(layer: LayerAnswers, is_best: bool) -> str:
    cards = _cards(layer)
    shown = "".join(_card_html(card, layer.num_samples) for card in cards[:_MAX_CARDS])
    if hidden := cards[_MAX_CARDS:]:
        count = sum(card.count for card in hidden)
        shown += f'<p class="hcl-more">{len(hidden)} more, {count} answers</p>'
    ideas = f" · {layer.num_clusters} {'idea' if layer.num_clusters == 1 else 'ideas'}" if layer.num_correct else ""
    best = '<em title="highest HCB">best</em>'  # shown in the best column only, which the balance can move
    return (
        f'<section class="hcl-column{" best" if is_best else ""}" role="listitem" data-layer="{layer.exit_layer}">'
        f"<header><b>{layer.exit_layer}</b>{best}"
        f"<span>{layer.num_correct}/{layer.num_samples} right{ideas}</span></header>"
        f"{shown}</section>"
    )


@dataclass(frozen=True, slots=True)
class _Card:
    """Answers shown as one: the same meaning where they are right, the same words where they are not."""

    outcome: str
    text: str
    count: int
    variants: tuple[str, ...]
    reason: str
    confidence: float


def _cards(layer: LayerAnswers) -> list[_Card]:
    groups: dict[object, list[CountedAnswer]] = {}
    for answer in layer.answers:
        key = answer.cluster_id if answer.cluster_id is not None else (answer.outcome, answer.text.casefold())
        groups.setdefault(key, []).append(answer)
    cards = []
    for same in groups.values():
        count = sum(answer.count for answer in same)
        confidence = sum(answer.confidence * answer.count for answer in same) / count
        variants = tuple(f"{answer.text} ×{answer.count}" for answer in same)
        cards.append(_Card(same[0].outcome, same[0].text, count, variants, same[0].reason, confidence))
    return sorted(cards, key=lambda card: -card.count)


def _card_html(card: _Card, num_samples: int) -> str:
    sign, word = _SIGNS[card.outcome]
    text = _shown(card.text)
    meaning = escape(printable(card.text.casefold()[:80]))
    title = escape(" · ".join(printable(variant) for variant in card.variants)[:600])
    tip = f"{title}\n{word}: {escape(printable(card.reason)[:200])}\nmean confidence {card.confidence:.2f}"
    return (
        f'<div class="hcl-card {card.outcome}" data-meaning="{meaning}" title="{tip}">'
        f'<div><i aria-label="{word}">{sign}</i><span dir="auto">{text}</span><b>{card.count}</b></div>'
        f'<u style="width:{100 * card.count / num_samples:.0f}%"></u></div>'
    )


def _shown(text: str) -> str:
    """Escaped, on one line, cut where it would fill the screen."""
    line = printable(text)
    cut = line if len(line) <= _MAX_CARD_TEXT else line[:_MAX_CARD_TEXT] + "…"
    return escape(cut) if cut.strip() else "<small>(empty)</small>"


def status(text: str, num_done: int = 0, num_wanted: int = 0) -> str:
    """A line of progress, with a bar where a total is known."""
    if not num_wanted:
        return f'<div class="hcl-status" role="status">{escape(text)}</div>'
    share = num_done / num_wanted
    return (
        f'<div class="hcl-status" role="status">{escape(text)} · {num_done:,} of {num_wanted:,} answers ({share:.0%})'
        f'<div class="hcl-bar"><u style="width:{share:.1%}"></u></div></div>'
    )


def problem(message: str) -> str:
    """What went wrong and what to do."""
    return f'<div class="hcl-status failed" role="alert">✕ {escape(message)}</div>'
