"""The reveal of a step: what turned out, how many had predicted it, and what the layers answered."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from app.language import SIGNS, Translator
from app.lessons.asking import asked_of, options_of
from app.lessons.base import text
from app.lessons.chart import layer_chart, option_bars
from app.lessons.records import LAYER_KINDS, Prediction
from app.lessons.room import Room, Stage
from app.lessons.truth import Truth, scored_of
from app.outcomes import Scored
from app.question_view import QuestionView
from app.views.base import shown
from hcl_core.text import printable

# Layers of the table of answers begin so many before the first right answers: earlier ones say much the same.
_LAYERS_BEFORE = 3
# One right answer of so many is one that counts there: a single one of fifty can be chance.
_SOME = 10
_HEADS = ("class_head_layer", "class_head_answer", "class_head_count", "class_head_right")


def reveal(room: Room, stage: Stage, words: Translator, mine: str, with_table: bool = True) -> str:
    """What turned out: a sentence and a chart for each prediction, and the answers."""
    step, view, truths = room.lesson.steps[stage.at], room.view(stage.at), room.truths(stage.at)
    parts, scored = room.lesson.shown_in(step), scored_of(view, room.lesson.presets_of(step))
    shown_parts = []
    for at, (prediction, truth) in enumerate(zip(step.predict, truths, strict=True)):
        spread, said = room.spread(stage.at, at), truth_sentence(prediction, truth, words)
        right = truth.options if prediction.num_options else truth.layers
        shown_parts.append(
            f'<section class="truth" data-question="{at}" data-right="{" ".join(map(str, right))}" '
            f'data-yes="{escape(words("class_yes"))}" data-no="{escape(words("class_no"))}">'
            f'<h2>{text(asked_of(prediction, words))}</h2><p class="said">{text(said)}</p><p class="own"></p>'
            f"{_pictures(prediction, truth, spread, scored, parts, said, mine, words)}"
            f'<p class="note">{_how_many(prediction, truth, spread, words)}</p></section>'
        )
    table = _answers(view, words) if with_table and "answers" in parts else ""
    return "".join(shown_parts) + table + (_explore(room, stage, words) if with_table and "explore" in parts else "")


def _pictures(
    prediction: Prediction,
    truth: Truth,
    spread: Counter[int],
    scored: Scored,
    parts: Sequence[str],
    said: str,
    mine: str,
    words: Translator,
) -> str:
    options = options_of(prediction, words)
    bars = option_bars(options, spread, truth.options, mine, words) if options else ""
    if prediction.kind not in LAYER_KINDS:
        return bars
    curves = [*parts, "balance"] if prediction.kind == "best_layer" and truth.has_creativity else parts
    return bars + layer_chart(scored, curves, truth.layers, None if options else spread, said, words)


def _how_many(prediction: Prediction, truth: Truth, spread: Counter[int], words: Translator) -> str:
    if prediction.kind == "opinion" or not spread:
        return words("class_none_predicted") if not spread else ""
    num_right = sum(count for value, count in spread.items() if truth.is_right(prediction, value))
    return words("class_were_right", count=words.count(num_right), all=words.count(spread.total()))


def truth_sentence(prediction: Prediction, truth: Truth, words: Translator) -> str:
    """What turned out, with how sure it is."""
    kind = prediction.kind
    if kind == "opinion":
        return words("class_truth_opinion")
    if kind == "answer_at":
        return words(
            "class_truth_answer_at",
            layer=prediction.layer,
            answers=words.listed([words("class_quoted", answer=_cut(answer)) for answer in truth.answers[:3]]),
            count=words.count(truth.count),
            all=words.count(truth.num_samples),
        )
    if not truth.layers:
        return words("class_truth_nothing")
    layers = _layers(truth.layers, words)
    if kind == "first_right":
        return words("class_truth_first_right", layer=layers, count=truth.count, all=truth.num_samples)
    if kind == "best_layer" and not truth.has_creativity:
        kind = "most_right"
    form = "one" if len(truth.layers) == 1 else "many"
    said = words(f"class_truth_{kind}_{form}", layers=layers, share=_share(truth.probability, words))
    note = words("class_accuracy_alone") if prediction.kind != kind else ""
    return f"{said} {words('class_any_counts')} {note}".strip() if form == "many" else f"{said} {note}".strip()


def _layers(layers: Sequence[int], words: Translator) -> str:
    """``27 and 30``, or ``27 to 30``."""
    spans: list[list[int]] = []
    for layer in layers:
        if spans and layer == spans[-1][-1] + 1:
            spans[-1].append(layer)
        else:
            spans.append([layer])
    named = [
        words("range", low=span[0], high=span[-1]) if len(span) > 2 else words.listed([str(layer) for layer in span])
        for span in spans
    ]
    return words.listed(named)


def _share(probability: float, words: Translator) -> str:
    """A probability; one that was rounded up to certainty is said to be below it."""
    if 0.995 <= probability < 1:
        return words("class_above", share=words.percent(0.99))
    return words.percent(probability)


def _cut(answer: str, most: int = 60) -> str:
    """An answer on one line, cut; not escaped."""
    line = printable(answer)
    return line if len(line) <= most else line[:most] + "…"


def _answers(view: QuestionView, words: Translator) -> str:
    """The most common answer of the layers from shortly before the first right answers."""
    first = next((at for at, layer in enumerate(view.layers) if layer.num_correct * _SOME >= layer.num_samples), 0)
    rows = []
    for layer in view.layers[max(0, first - _LAYERS_BEFORE) :]:
        top = layer.answers[0]
        rows.append(
            f'<tr><th scope="row">{layer.exit_layer}</th><td class="{top.outcome}"><i role="img" '
            f'aria-label="{escape(words(top.outcome))}">{SIGNS[top.outcome]}</i> <span dir="auto">'
            f"{shown(top.text, 60) or words('empty_answer')}</span></td>"
            f"<td>{top.count}/{layer.num_samples}</td><td>{layer.num_correct}/{layer.num_samples}</td></tr>"
        )
    heads = "".join(f'<th scope="col">{words(key)}</th>' for key in _HEADS)
    return (
        f'<table class="answers"><caption>{words("class_answers")}</caption><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _explore(room: Room, stage: Stage, words: Translator) -> str:
    assert stage.run is not None  # it is revealed
    run_id, question_id = stage.run
    presets = room.lesson.presets_of(room.lesson.steps[stage.at])
    balance = "" if presets.balance == 50 else f"&balance={presets.balance:g}"
    query = f"run={run_id}&question={quote(question_id)}{balance}&scaling={presets.scaling}"
    return f'<p><a data-explore="{escape(query)}" href="#">{words("class_explore")}</a></p>'
