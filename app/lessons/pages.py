"""The pages of a class as HTML: what students, the teacher and the projector see at each stage of the lesson.

Everything from a lesson or a model is escaped here. All is in the lesson's language.
"""

from collections import Counter
from collections.abc import Sequence
from html import escape
from urllib.parse import quote

import segno

from app.language import SIGNS, Translator
from app.lessons.chart import layer_chart, option_bars
from app.lessons.records import LAYER_KINDS, Prediction, Step
from app.lessons.room import LOBBY, Room, Stage
from app.lessons.truth import Truth, scored_of
from app.outcomes import Scored
from app.question_view import QuestionView
from app.views.base import shown
from hcl_core.text import printable

# Layers of the table of answers begin so many before the first right answers: earlier ones say much the same.
_LAYERS_BEFORE = 3
# One right answer of so many is one that counts there: a single one of fifty can be chance.
_SOME = 10


def page(view: str, base: str, room: Room, words: Translator) -> str:
    """A whole page, which ``class.js`` fills.

    Args:
        view: ``student``, ``teacher`` or ``show``.
        base: From the page's address to that of the class, such as ``../``.
        room: Of the class.
        words: The lesson's.
    """
    title = text(room.lesson.title)
    return f"""<!doctype html>
<html lang="{words.language}" data-view="{view}" data-base="{base}">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><title>{title} · HCL Explorer</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="{base}assets/class.css"></head>
<body class="{view}"><header><b>HCL Explorer</b><span>{title}</span><span id="who"></span></header>
<main id="main" tabindex="-1"><p>{words("class_loading")}</p></main>
<p id="problem" role="alert" data-lost="{escape(words("class_lost"))}"></p>
<p id="said" class="unseen" role="status"></p>
<noscript><p>{words("class_no_script")}</p></noscript><script src="{base}assets/class.js"></script></body></html>"""


def text(value: str) -> str:
    """Escaped, on one line."""
    return escape(printable(value))


def paragraphs(value: str | None) -> str:
    """Escaped, a paragraph for each that an empty line ends."""
    blocks = (value or "").split("\n\n")
    return "".join(f'<p class="text">{text(" ".join(block.split()))}</p>' for block in blocks if block.strip())


def student_stage(room: Room, stage: Stage, words: Translator) -> str:
    """What a student sees; the same for all, what is theirs is the script's."""
    if stage.at == LOBBY:
        return (
            f"<h1>{text(room.lesson.title)}</h1>{paragraphs(room.lesson.about)}"
            f'<p class="wait">{words("class_you_are_in")}</p>'
        )
    step = room.lesson.steps[stage.at]
    if not stage.is_revealed:
        return _head(room, stage, words) + _forms(room, stage.at, step, words)
    return (
        _head(room, stage, words)
        + _reveal(room, stage, words, mine="data-option")
        + paragraphs(step.explain)
        + _end(room, stage, words)
    )


def show_stage(room: Room, stage: Stage, address: str, words: Translator) -> str:
    """What the projector shows: how to join, then the question, then a large chart and nothing else."""
    if stage.at == LOBBY:
        return f"<h1>{text(room.lesson.title)}</h1>{join_box(address, words)}{_count(room, words)}"
    if stage.is_revealed:
        return f'<div class="large">{_reveal(room, stage, words, mine="", with_table=False)}</div>'
    step = room.lesson.steps[stage.at]
    asked = "".join(f"<li>{text(asked_of(prediction, words))}</li>" for prediction in step.predict)
    num_in = max(room.spread(stage.at, at).total() for at in range(len(step.predict)))
    return (
        f'{_head(room, stage, words)}{_progress(stage, words)}<ol class="asked">{asked}</ol>'
        f'<div class="foot">{join_box(address, words)}'
        f'<p class="big">{words("class_have_predicted", count=words.count(num_in), all=words.count(room.num_students))}'
        "</p></div>"
    )


def teacher_stage(room: Room, stage: Stage, address: str, words: Translator) -> str:
    """The teacher's page: where the lesson goes next, who is in, and the spread of predictions as they come."""
    title = room.lesson.title if stage.at == LOBBY else room.lesson.steps[stage.at].title
    failing = f'<p class="problem">{words("class_not_kept")}</p>' if room.store.is_failing else ""
    problem = f'<p class="problem">{text(words.error(stage.problem))}</p>' if stage.problem else ""
    return (
        f'<div class="board"><section><h1>{text(title)}</h1>{_controls(room, stage, words)}{failing}{problem}'
        f"{_progress(stage, words)}{_teacher_body(room, stage, words)}</section>"
        f"<aside>{_count(room, words)}{join_box(address, words)}"
        f'<p><a href="../show" target="_blank">{words("class_projector")}</a></p>'
        f'<p><a href="{{token}}/predictions.csv" download>{words("class_csv")}</a></p>'
        f'<p><button type="button" class="quiet" data-do="reset" data-sure="{escape(words("class_reset_sure"))}">'
        f"{words('class_reset')}</button></p></aside></div>"
    )


def _teacher_body(room: Room, stage: Stage, words: Translator) -> str:
    if stage.at == LOBBY:
        rows = "".join(f"<li>{text(step.title)}</li>" for step in room.lesson.steps)
        return f'{paragraphs(room.lesson.about)}<ol class="steps">{rows}</ol>'
    step = room.lesson.steps[stage.at]
    if stage.is_revealed:
        return _question(room, stage.at, words) + _reveal(room, stage, words, mine="") + paragraphs(step.explain)
    parts = [_question(room, stage.at, words), paragraphs(step.text)]
    for at, prediction in enumerate(step.predict):
        spread = room.spread(stage.at, at)
        count = words("class_have_predicted", count=words.count(spread.total()), all=words.count(room.num_students))
        parts.append(f"<h2>{text(asked_of(prediction, words))}</h2><p>{count}</p>")
        parts.append(_spread(prediction, spread, words))
    return "".join(parts)


def _spread(prediction: Prediction, spread: Counter[int], words: Translator) -> str:
    """Predictions before the reveal: nothing in it says what is right."""
    options = options_of(prediction, words)
    if options:
        return option_bars(options, spread, (), "", words)
    named = [words("class_layer_count", layer=layer, count=words.count(spread[layer])) for layer in sorted(spread)]
    most = max(spread.values(), default=1)
    rows = "".join(
        f'<li><span>{escape(name)}</span><svg viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="bar" width="{100 * spread[layer] / most:.1f}" height="4"/></svg></li>'
        for name, layer in zip(named, sorted(spread), strict=True)
    )
    return f'<ul class="options layers">{rows}</ul>'


def _controls(room: Room, stage: Stage, words: Translator) -> str:
    last = len(room.lesson.steps) - 1
    buttons = []
    if stage.at >= 0 and not stage.is_revealed:
        if stage.run is not None:
            buttons.append(("reveal", stage.at, words("class_reveal"), "main"))
        elif stage.progress is None:
            buttons.append(("run", stage.at, words("class_run"), "main"))
    if stage.at < last:
        is_main = stage.at == LOBBY or stage.is_revealed
        name = words("class_begin") if stage.at == LOBBY else words("class_next")
        buttons.append(("go", stage.at + 1, name, "main" if is_main else ""))
    if stage.at > LOBBY:
        buttons.append(("go", stage.at - 1, words("class_back"), ""))
    made = "".join(
        f'<button type="button" class="{kind}" data-do="{do}" data-at="{at}">{name}</button>'
        for do, at, name, kind in buttons
    )
    place = "" if stage.at == LOBBY else f"<span>{words('class_step_of', at=stage.at + 1, all=last + 1)}</span>"
    return f'<p class="controls">{made}{place}</p>'


def join_box(address: str, words: Translator) -> str:
    """The address that students open, as a text and as a QR code."""
    code = segno.make(address, error="m", micro=False).svg_inline(omitsize=True, border=2, light="#fff", dark="#000")
    code = code.replace("<svg ", f'<svg class="qr" role="img" aria-label="{escape(words("class_qr"))}" ', 1)
    # Without its scheme, which nobody has to type.
    return (
        f'<div class="join">{code}<p>{words("class_join_at")}<b>{text(address.removeprefix("http://"))}</b></p></div>'
    )


def _count(room: Room, words: Translator) -> str:
    return f'<p class="big">{words.plural("class_in", room.num_students)}</p>'


def _head(room: Room, stage: Stage, words: Translator) -> str:
    step = room.lesson.steps[stage.at]
    place = words("class_step_of", at=stage.at + 1, all=len(room.lesson.steps))
    intro = "" if stage.is_revealed else paragraphs(step.text)
    return f'<p class="place">{place}</p><h1>{text(step.title)}</h1>{_question(room, stage.at, words)}{intro}'


def _question(room: Room, at: int, words: Translator) -> str:
    ask = room.lesson.steps[at].ask
    asked = ask.question if ask else room.view(at).stored.question.text
    return (
        f'<p class="quote"><small>{words("class_the_model_is_asked")}</small><span dir="auto">{text(asked)}</span></p>'
    )


def _progress(stage: Stage, words: Translator) -> str:
    if stage.progress is None:
        return ""
    num_done, num_wanted = stage.progress
    share = 100 * num_done / max(num_wanted, 1)
    return (
        f'<p class="wait">{words("class_running")} {words.percent(share / 100)}</p><svg class="progress" '
        f'viewBox="0 0 100 2" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" width="100" height="2"/>'
        f'<rect class="bar" width="{share:.1f}" height="2"/></svg>'
    )


def asked_of(prediction: Prediction, words: Translator) -> str:
    """The prediction question: the lesson's words, or the usual ones of its kind."""
    if prediction.text:
        return prediction.text
    return words(f"class_ask_{prediction.kind}", layer=prediction.layer)


def options_of(prediction: Prediction, words: Translator) -> list[str]:
    """Texts of a multiple choice; empty where a layer is asked for by its number."""
    if prediction.options:
        return list(prediction.options)
    return [words("class_span", low=low, high=high) for low, high in prediction.spans or []]


def _forms(room: Room, at: int, step: Step, words: Translator) -> str:
    depth = room.num_layers(at)
    return "".join(_form(at, number, each, depth, words) for number, each in enumerate(step.predict))


def _form(at: int, number: int, prediction: Prediction, depth: int, words: Translator) -> str:
    options, name = options_of(prediction, words), f"q{number}"
    if options:
        fields = "".join(
            f'<label class="option"><input type="radio" name="{name}" value="{index}" required>'
            f'<span dir="auto">{text(option)}</span></label>'
            for index, option in enumerate(options)
        )
    else:
        middle, label = (depth + 1) // 2, escape(words("class_layer_slider", depth=depth))
        fields = (
            f'<div class="slider"><output aria-hidden="true">{middle}</output>'
            f'<input type="range" name="{name}" min="1" max="{depth}" value="{middle}" aria-label="{label}">'
            f'<p class="ends" aria-hidden="true"><span>{words("class_first_layer")}</span>'
            f"<span>{words('class_last_layer', depth=depth)}</span></p></div>"
        )
    return (
        f'<form data-step="{at}" data-question="{number}"><fieldset>'
        f"<legend>{text(asked_of(prediction, words))}</legend>{fields}</fieldset>"
        f'<button class="main" data-again="{escape(words("class_change"))}">{words("class_send")}</button>'
        f'<p class="sent" role="status" data-sent="{escape(words("class_sent"))}"></p></form>'
    )


def _reveal(room: Room, stage: Stage, words: Translator, mine: str, with_table: bool = True) -> str:
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
    table = _answers(view, scored, words) if with_table and "answers" in parts else ""
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


def _answers(view: QuestionView, scored: Scored, words: Translator) -> str:
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


_HEADS = ("class_head_layer", "class_head_answer", "class_head_count", "class_head_right")


def _explore(room: Room, stage: Stage, words: Translator) -> str:
    assert stage.run is not None  # it is revealed
    run_id, question_id = stage.run
    presets = room.lesson.presets_of(room.lesson.steps[stage.at])
    balance = "" if presets.balance == 50 else f"&balance={presets.balance:g}"
    query = f"run={run_id}&question={quote(question_id)}{balance}&scaling={presets.scaling}"
    return f'<p><a data-explore="{escape(query)}" href="#">{words("class_explore")}</a></p>'


def _end(room: Room, stage: Stage, words: Translator) -> str:
    is_last = stage.at == len(room.lesson.steps) - 1
    return f'<p class="wait">{words("class_end" if is_last else "class_wait_next")}</p>'
