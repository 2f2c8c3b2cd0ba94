"""The answers side by side: a column a layer, a card a meaning, which is the same card in every layer."""

from collections.abc import Sequence
from html import escape

from app.language import SIGNS, Translator
from app.own_verdicts import id_of
from app.terms import mark
from app.views.base import shown
from app.views.verdicts import button_labels, own_mark
from hcl_core.runs.answers import LayerAnswers, num_unreadable
from hcl_core.runs.meanings import AnswerGroup, Meaning, follow_meanings
from hcl_core.text import printable

_MAX_CARDS = 9
_JUDGED_OUTCOMES = ("correct", "incorrect", "not_attempted")
_OPEN_OUTCOMES = ("unjudged", "not_attempted")


def answer_columns(
    layers: Sequence[LayerAnswers],
    best: int | None,
    words: Translator,
    meanings: list[Meaning] | None = None,
    chosen: int | None = None,
    is_live: bool = True,
) -> str:
    """One column a layer; thinned, followed and chosen by ``answers.js``.

    Args:
        layers: Answers, counted.
        best: The optimal layer.
        words: The page's.
        meanings: Of the same layers, where they are known already.
        chosen: The layer that is chosen from the start.
        is_live: Whether the script is there; without it, nothing stands there that only it could answer.
    """
    if not layers:
        return ""
    meanings = follow_meanings(layers) if meanings is None else meanings
    cards: dict[int, list[tuple[int, AnswerGroup]]] = {layer.exit_layer: [] for layer in layers}
    for number, meaning in enumerate(meanings):
        for exit_layer, group in meaning.groups.items():
            cards[exit_layer].append((number, group))
    columns = "".join(
        _column(layer, cards[layer.exit_layer], meanings, layer.exit_layer == best, is_live, words) for layer in layers
    )
    outcomes = _OPEN_OUTCOMES if any(layer.is_open for layer in layers) else _JUDGED_OUTCOMES
    signs = "".join(
        f'<span class="{outcome}"><i aria-hidden="true">{SIGNS[outcome]}</i> {words(outcome)}</span>'
        for outcome in outcomes
    )
    hint = words("follow_hint")
    live = f'<p class="hcl-followed" aria-live="polite" data-hint="{escape(hint)}">{hint}</p>' if is_live else ""
    count = num_unreadable(layers)
    unreadable = f'<p class="hcl-note">{words.plural("unreadable", count)}</p>' if count else ""
    start = "" if chosen is None else f' data-chosen="{chosen}"'
    start += button_labels(words) if is_live else ""
    return (
        f'<div class="hcl-answers-head"><h3>{words("answers_by_layer")}</h3><p>{signs}{_marks(is_live, words)}</p>'
        f"{live}{unreadable}{_thinning(len(layers), words) if is_live else ''}</div>"
        f'<div class="hcl-columns" role="group" aria-label="{escape(words("answers_by_layer"))}"{start}>{columns}</div>'
    )


def _marks(is_live: bool, words: Translator) -> str:
    return f'<span class="hcl-terms">{mark("verdict", words)}{mark("idea", words)}</span>' if is_live else ""


def _thinning(num_layers: int, words: Translator) -> str:
    """Buttons that leave out columns; where there are few, none."""
    if num_layers <= 6:
        return ""
    steps = "".join(
        f'<button type="button" data-every="{every}" aria-pressed="{"true" if every == 1 else "false"}">'
        f"{words('every_layer') if every == 1 else words('every_nth', number=every)}</button>"
        for every in (1, 2, 3, 5)
    )
    return f'<div class="hcl-thinning" role="group" aria-label="{escape(words("columns_shown"))}">{steps}</div>'


def _column(
    layer: LayerAnswers,
    cards: list[tuple[int, AnswerGroup]],
    meanings: list[Meaning],
    is_best: bool,
    is_live: bool,
    words: Translator,
) -> str:
    cards = sorted(cards, key=lambda each: (-each[1].count, each[0]))
    inside = "".join(
        _card(number, group, meanings[number], layer.num_samples, is_live, words)
        for number, group in cards[:_MAX_CARDS]
    )
    if hidden := cards[_MAX_CARDS:]:
        inside += (
            f'<p class="hcl-more">{words("more_cards", cards=len(hidden), answers=sum(g.count for _, g in hidden))}</p>'
        )
    count = (
        words("attempted_of", attempted=layer.num_attempted, all=layer.num_samples)
        if layer.is_open
        else words("right_of", right=layer.num_correct, all=layer.num_samples)
    )
    ideas = " · " + words.plural("ideas", layer.num_clusters) if layer.num_clusters else ""
    name = escape(words("column_name", layer=layer.exit_layer, count=count))
    head = f"<b>{layer.exit_layer}</b><em>{words('best')}</em><span>{count}{ideas}</span>"
    plain = f'<div class="hcl-choose">{head}</div>'
    button = f'<button type="button" class="hcl-choose" aria-label="{name}">{head}</button>'
    return (
        f'<section class="hcl-column{" best" if is_best else ""}" data-layer="{layer.exit_layer}">'
        f"{button if is_live else plain}{inside}</section>"
    )


def _card(number: int, group: AnswerGroup, meaning: Meaning, num_samples: int, is_live: bool, words: Translator) -> str:
    variants = " · ".join(f"{printable(answer.text)[:120]} ×{answer.count}" for answer in group.answers)[:400]
    reason = printable(group.answers[0].reason)[:200]
    if (judge_outcome := group.answers[0].judge_outcome) is not None:
        reason = words("judge_said", outcome=words(judge_outcome), reason=reason)
    if (matched := group.answers[0].matched) is not None:
        reason = words.clauses((reason, words("taken_for", answer=printable(matched)[:120])))
    confidence = words("mean_confidence", confidence=words.number(group.confidence))
    layers = list(meaning.groups)
    life = (
        words("seen_once", layer=layers[0])
        if len(layers) == 1
        else words("seen_from", first=layers[0], last=layers[-1])
    )
    text = shown(group.text) if group.text.strip() else f"<small>{words('empty_answer')}</small>"
    return (
        f'<div class="hcl-card {group.outcome}" data-meaning="{number}" data-life="{escape(life)}" tabindex="-1" '
        f"{_judged_as(group, meaning, words) if is_live else ''}"
        f'title="{escape(f"{variants}{chr(10)}{words(group.outcome)}: {reason}{chr(10)}{confidence}")}">'
        f'<div><i role="img" aria-label="{escape(words(group.outcome))}">{SIGNS[group.outcome]}</i>'
        f'<span dir="auto">{text}</span><b>{group.count}</b></div>'
        f'{own_mark(group.answers, words, is_live)}<u style="width:{100 * group.count / num_samples:.0f}%"></u></div>'
    )


def _judged_as(group: AnswerGroup, meaning: Meaning, words: Translator) -> str:
    """Attributes of a card that can be judged: an id of its answer, the visitor's verdict, what a new one holds for."""
    if group.outcome == "unjudged" or not group.answers[0].text.strip():
        return ""
    is_own = all(answer.judge_outcome is not None for answer in group.answers)
    own = f' data-own="{"right" if group.outcome == "correct" else "wrong"}"' if is_own else ""
    wordings = {answer.text for each in meaning.groups.values() for answer in each.answers}
    reach = words.plural("verdict_reach", len(wordings), answers=words.count(meaning.count))
    return f'data-answer="{id_of(group.answers[0].text)}" data-reach="{escape(reach)}"{own} '
