"""The bar that asks: questions to choose from, right answers as chips, and the settings in short."""

from collections.abc import Mapping, Sequence
from html import escape

from app.language import Translator
from app.views.base import shown
from hcl_core.records import Question
from hcl_core.text import one_line

_MOST_LETTERS = 160


def question_list(questions: Sequence[Question], note: str, words: Translator) -> str:
    """The options of a combobox, each with its id, and a note below; ``ask.js`` opens it under the question."""
    options = "".join(_option(number, question, words) for number, question in enumerate(questions))
    listed = f'<ul id="question-list" role="listbox" aria-label="{escape(words("label_hits"))}">{options}</ul>'
    return f'<div class="hcl-found">{listed}<p>{escape(note)}</p></div>'


def _option(number: int, question: Question, words: Translator) -> str:
    ideas = words("open_short") if question.is_open else words.plural("right_answers", len(question.ideas))
    return (
        f'<li id="found-{number}" role="option" aria-selected="false" data-id="{escape(question.id)}">'
        f'<span dir="auto">{shown(one_line(question.text), _MOST_LETTERS)}</span><small>{ideas}</small></li>'
    )


def idea_chips(ideas: Sequence[Sequence[str]], words: Translator) -> str:
    """Accepted ideas as chips, the names of an idea on one; ``ideas.js`` takes them away and adds one.

    Args:
        ideas: The names of each, the first one in front.
        words: The page's.
    """
    chips = "".join(_chip(number, names, words) for number, names in enumerate(ideas))
    hint = words("add_idea")
    # There at all times: Gradio updates nodes by their place, and would put a new field in the place of one in which
    # somebody types.
    is_open = f"<em{' hidden' if ideas else ''}>{words('no_right_answers')}</em>"
    return (
        f'<div class="hcl-ideas"><label for="add-idea">{words("right_answers_label")}</label>'
        f'<ul data-more="{escape(words("show_all_ideas"))}">{chips}</ul>{is_open}'
        f'<button type="button" class="hcl-all" aria-expanded="false" hidden></button>'
        f'<input id="add-idea" autocomplete="off" placeholder="{escape(hint)}"></div>'
    )


def _chip(number: int, names: Sequence[str], words: Translator) -> str:
    first, *others = names
    also = f" <small>| {shown(' | '.join(others), 60)}</small>" if others else ""
    label = escape(words("remove_idea", idea=first[:80]))
    title = f' title="{escape(" | ".join(names)[:500])}"' if others else ""
    return (
        f'<li><span dir="auto"{title}>{shown(first, 60)}{also}</span>'
        f'<button type="button" data-remove="{number}" aria-label="{label}">×</button></li>'
    )


def setting_chips(values: Mapping[str, object], words: Translator) -> str:
    """What a run would be made with; a press on one opens the drawer at the control that it names.

    Args:
        values: Of the form's controls as they stand, by name.
        words: The page's.
    """
    layers = words("range", low=_text(values["first_layer"], words), high=_text(values["last_layer"], words))
    if values["every"] not in (None, 1):
        layers += " " + words("by_step", every=_text(values["every"], words))
    chips = (
        ("model", words("label_model"), _text(values["model"], words)),
        ("first_layer", words("chip_layers"), layers),
        ("num_samples", words("chip_answers"), _text(values["num_samples"], words)),
        ("temperature", words("label_temperature"), _text(values["temperature"], words)),
    )
    buttons = "".join(
        f'<button type="button" data-opens="{name}">{escape(label)} <b>{shown(value, 60)}</b></button>'
        for name, label, value in chips
    )
    switch = (
        '<button type="button" class="hcl-drawer-switch" aria-expanded="false" aria-controls="drawer">'
        f"{escape(words('all_settings'))}</button>"
    )
    return f'<div class="hcl-setting-chips">{buttons}{switch}</div>'


def _text(value: object, words: Translator) -> str:
    """A control's value as people write it; a dash where it is empty."""
    if isinstance(value, int | float):
        return words.number(value, 0 if float(value).is_integer() else len(f"{value:g}".partition(".")[2]))
    return str(value or "–")
