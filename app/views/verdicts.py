"""A visitor's own verdicts: buttons that give them, marks where they hold, and what they come to."""

from collections.abc import Sequence
from html import escape

from app.language import SIGNS, Translator
from app.own_verdicts import NEW_IDEA, OwnGroup, OwnVerdicts
from app.question_view import QuestionView
from app.views.base import shown
from hcl_core.records import Verdict
from hcl_core.runs.answers import CountedAnswer

# Verdicts in the list, and ideas that one can be given; all verdicts count.
_MOST_GROUPS, _MOST_IDEAS = 50, 200
_SIGN = "✎"


def button_labels(words: Translator) -> str:
    """Attributes with the labels of the buttons that ``verdicts.js`` puts on a card."""
    names = {"right": "call_right", "right-too": "call_right_too", "wrong": "call_wrong"}
    return "".join(f' data-{name}="{escape(words(key))}"' for name, key in names.items())


def row_buttons(verdict: Verdict, text_id: str, answer_id: str, words: Translator) -> str:
    """The buttons on a text of a layer, the visitor's verdict pressed."""
    is_own = verdict.judge_outcome is not None
    label = words("call_right" if verdict.outcome == "correct" else "call_right_too")
    buttons = (
        ("right", "✓", label, is_own and verdict.outcome == "correct"),
        ("wrong", "✕", words("call_wrong"), is_own and verdict.outcome != "correct"),
    )
    return (
        f'<div class="hcl-judge" data-answer="{answer_id}" data-text="{text_id}">'
        + "".join(
            f'<button type="button" data-do="{do}" title="{escape(text)}" aria-label="{escape(text)}" '
            f'aria-pressed="{"true" if is_pressed else "false"}">{sign}</button>'
            for do, sign, text, is_pressed in buttons
        )
        + "</div>"
    )


def own_mark(answers: Sequence[CountedAnswer | Verdict], words: Translator, is_readers: bool = True) -> str:
    """That these answers have a person's verdict, and whether it overrules the judge's; empty if they have none.

    Args:
        answers: Of a card or row.
        words: The page's.
        is_readers: Whether that person is who reads this.
    """
    own = [answer for answer in answers if answer.judge_outcome is not None]
    if not own:
        return ""
    is_overruled = any(answer.is_overruled for answer in own)
    keys = ("own_overrules", "own_agrees") if is_readers else ("person_overrules", "person_agrees")
    text = words(keys[0] if is_overruled else keys[1])
    return f'<em class="hcl-own{" overruled" if is_overruled else ""}">{_SIGN} {text}</em>'


def verdict_bar(view: QuestionView, words: Translator) -> str:
    """What the visitor's verdicts on a question come to, each with a way back; before any, how to give one."""
    own = view.own
    if view.is_open or not view.samples:
        return ""
    if not own.given:
        return f'<div class="hcl-own-bar"><p>{_SIGN} {words("own_hint")}</p></div>'
    return (
        f'<div class="hcl-own-bar"><p role="status">{_SIGN} {_summary(own, words)}</p>'
        f'<div role="group" aria-label="{escape(words("own_shown"))}">{_switch(own, words)}</div>'
        f'<button type="button" data-do="undo_all">{words("own_undo_all")}</button>{_list(own, words)}</div>'
    )


def own_note(view: QuestionView, words: Translator) -> str:
    """That the numbers are with the visitor's verdicts; empty where they are the judge's."""
    is_shown = view.own.agreement is not None
    return words.plural("own_note", view.own.num_groups) if is_shown else ""


def own_elsewhere(num_verdicts: int, words: Translator) -> str:
    """Where the judge alone counts: that the visitor's verdicts do not; empty if there are none."""
    return words.plural("own_elsewhere", num_verdicts) if num_verdicts else ""


def _summary(own: OwnVerdicts, words: Translator) -> str:
    if own.agreement is None:
        return words.plural("own_off", own.num_groups)
    counts = own.agreement
    texts = words.plural("own_texts", counts.num_texts_overruled)
    overruled = words.plural("own_overruled", counts.num_overruled, all=words.count(counts.num_samples), texts=texts)
    agreed = words.plural(
        "own_agreement",
        counts.num_texts_looked_at,
        agreed=words.count(counts.num_texts_looked_at - counts.num_texts_overruled),
    )
    return f"{overruled} {agreed}"


def _switch(own: OwnVerdicts, words: Translator) -> str:
    return "".join(
        f'<button type="button" data-do="{do}" aria-pressed="{"true" if is_on else "false"}">{words(key)}</button>'
        for do, key, is_on in (("mine", "own_mine", own.are_on), ("judge", "own_judge", not own.are_on))
    )


def _list(own: OwnVerdicts, words: Translator) -> str:
    """The verdicts that were given together as one line, the latest first."""
    if not own.groups:
        return ""
    latest = own.groups[::-1][:_MOST_GROUPS]
    lines = "".join(_line(group, own.listed, words) for group in latest)
    if hidden := len(own.groups) - len(latest):
        lines += f"<li>{words.plural('own_more', hidden)}</li>"
    return f"<details><summary>{words('own_list')}</summary><ul>{lines}</ul></details>"


def _line(group: OwnGroup, listed: Sequence[str], words: Translator) -> str:
    outcome = "correct" if group.first.is_right else "incorrect"
    judged = words("own_overrules" if group.num_overruled else "own_agrees")
    where = "" if group.first.exit_layer is None else f" · {words('layer_n', layer=group.first.exit_layer)}"
    undo = escape(words("own_undo_of", answer=shown(group.first.given_on, 60)), quote=True)
    return (
        f'<li class="{outcome}" data-group="{group.id}"><i role="img" aria-label="{escape(words(outcome))}">'
        f'{SIGNS[outcome]}</i> <b dir="auto">{shown(group.first.given_on, 80)}</b> '
        f"<small>×{words.count(group.num_samples)}{where} · {judged}</small> {_idea(group, listed, words)}"
        f'<button type="button" data-do="undo" aria-label="{undo}">{words("own_undo")}</button></li>'
    )


def _idea(group: OwnGroup, listed: Sequence[str], words: Translator) -> str:
    """Which idea a right answer is, to choose from; empty where ideas have no names."""
    if not (group.first.is_right and group.idea is not None and group.idea < len(listed)):
        return ""
    options = [(str(number), shown(name, 60)) for number, name in enumerate(listed[:_MOST_IDEAS])]
    if group.first.given_on not in listed:
        options.append((NEW_IDEA, words("own_new_idea")))
    chosen = str(group.idea)
    choices = "".join(
        f'<option value="{value}"{" selected" if value == chosen else ""}>{text}</option>' for value, text in options
    )
    return f'<label>{words("own_counts_as")} <select data-do="idea">{choices}</select></label> '
