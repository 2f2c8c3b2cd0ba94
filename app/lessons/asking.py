"""What a step asks a class to predict: the question, its choices, the form, and what has been predicted so far."""

from collections import Counter
from html import escape

from app.language import Translator
from app.lessons.base import text
from app.lessons.chart import option_bars
from app.lessons.records import Prediction, Step
from app.lessons.room import Room


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


def forms(room: Room, at: int, step: Step, words: Translator) -> str:
    """A form for each prediction of the step."""
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


def spread_so_far(prediction: Prediction, spread: Counter[int], words: Translator) -> str:
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
