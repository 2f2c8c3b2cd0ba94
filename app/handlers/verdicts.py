"""A visitor calls answers right or wrong, undoes it, and looks at the numbers with and without that."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.handlers.shown_question import QuestionResult, ShownQuestion, show, view_of
from app.own_verdicts import NEW_IDEA, id_of
from app.question_view import QuestionView
from app.visit import Balance, Visit
from hcl_core.errors import SettingsError
from hcl_core.judges.person import PersonVerdict, PersonVerdicts, idea_of


@dataclass(frozen=True, slots=True)
class Press:
    """A button or choice of the page, as a browser sends it: names and ids alone, no text of a model.

    Attributes:
        do: ``right`` and ``wrong`` judge, ``idea`` chooses a right answer's idea, ``undo`` and ``undo_all`` take back,
            ``mine`` and ``judge`` choose what is shown.
        layer: Exit layer of the card or row.
        answer: Id of an answer on it.
        text: Id of the whole text; empty on a card, which is judged with all that means the same.
        group: Id of verdicts that were given together.
        idea: Place of an idea among those of the question, or ``own_verdicts.NEW_IDEA``.
    """

    do: str
    layer: str = ""
    answer: str = ""
    text: str = ""
    group: str = ""
    idea: str = ""

    @classmethod
    def from_event(cls, event: Any) -> "Press":
        """From an event of the page, which may hold anything; what is no text is taken as missing."""
        values = {name: getattr(event, name, "") for name in cls.__slots__}
        return cls(**{name: value if isinstance(value, str) else "" for name, value in values.items()})


def judge(visit: Visit, shown: ShownQuestion, press: Press, balance: Balance) -> QuestionResult:
    """Do what was pressed; the question as it then is.

    Raises:
        SettingsError: There is no such answer (any more), or it cannot be judged.
        HclError: Verdicts cannot be kept, or as ``shown_question.show``.
    """
    book = visit.service.own_verdicts
    if press.do in ("mine", "judge"):
        book.switch(visit.visitor, press.do == "mine")
        return show(visit, shown, balance)
    book.switch(visit.visitor, are_on=True)  # what was pressed is found among what it changes
    view = view_of(visit, shown)
    if view.is_open:
        raise SettingsError("answers to an open question are neither right nor wrong: there is nothing to overrule")
    book.change(visit.visitor, shown.run_id, _change(view, press))
    return show(visit, shown, balance)


def _change(view: QuestionView, press: Press) -> Callable[[PersonVerdicts], PersonVerdicts]:
    """What ``press`` makes of the visitor's verdicts."""
    given = view.own.given
    if press.do in ("right", "wrong"):
        is_right = press.do == "right"
        new = _on_text(view, press, is_right) if press.text else _on_card(view, press, is_right)
        if undone := _repeated(view, new):
            return lambda kept: kept.without(undone)
        return lambda kept: kept.given(new)
    if press.do == "undo_all":
        return lambda kept: kept.without(given)
    chosen = next((group.verdicts for group in view.own.groups if group.id == press.group), None)
    if chosen is None or press.do not in ("undo", "idea"):
        raise SettingsError("that verdict is not there any more: the list shows those that are")
    if press.do == "undo":
        return lambda kept: kept.without(chosen)
    renamed = [_as_idea(view, verdict, press.idea) for verdict in chosen]
    return lambda kept: kept.given(renamed)


def _on_card(view: QuestionView, press: Press, is_right: bool) -> list[PersonVerdict]:
    """On all answers that mean the same as one of a layer, in every layer."""
    for meaning in view.meanings:
        groups = {str(layer): group for layer, group in meaning.groups.items()}
        pressed = groups.get(press.layer)
        if pressed and press.answer in {id_of(answer.text) for answer in pressed.answers}:
            answers = [answer for group in groups.values() for answer in group.answers]
            rights = {answer.text: (answer.judge_outcome or answer.outcome) == "correct" for answer in answers}
            return [_verdict(view, text, is_right, pressed.text, right) for text, right in rights.items()]
    raise SettingsError("this answer is no longer there: more have come since")


def _on_text(view: QuestionView, press: Press, is_right: bool) -> list[PersonVerdict]:
    """On one text of a layer."""
    for sample in view.samples:
        ids = str(sample.exit_layer), id_of(sample.answer), id_of(sample.completion_text)
        if ids == (press.layer, press.answer, press.text):
            verdict = view.verdicts[sample.key]
            right = (verdict.judge_outcome or verdict.outcome) == "correct"
            text = {"exit_layer": sample.exit_layer, "completion": sample.completion_text}
            return [_verdict(view, sample.answer, is_right, sample.answer, right, **text)]
    raise SettingsError("this answer is no longer there: more have come since")


def _verdict(
    view: QuestionView, answer: str, is_right: bool, given_on: str, is_right_to_judge: bool, **text: Any
) -> PersonVerdict:
    question = view.stored.question
    # What the judge calls right too stays the idea that it is.
    idea = idea_of(question, view.own.given, given_on) if is_right and not is_right_to_judge else None
    return PersonVerdict(question.id, answer, is_right, given_on, idea, **text)


def _repeated(view: QuestionView, new: Sequence[PersonVerdict]) -> list[PersonVerdict]:
    """The verdicts that hold already where ``new`` would say the same; empty if one of these would change anything."""
    by_target = {each.target: each for each in view.own.given}
    holding = [by_target.get(each.target) or by_target.get((each.question_id, each.answer, None, None)) for each in new]
    found = [held for held, each in zip(holding, new, strict=True) if held and held.is_right == each.is_right]
    return found if len(found) == len(new) else []


def _as_idea(view: QuestionView, verdict: PersonVerdict, idea: str) -> PersonVerdict:
    listed = view.own.listed
    if idea == NEW_IDEA:
        name = verdict.given_on
    elif idea.isascii() and idea.isdigit() and len(idea) < 6 and int(idea) < len(listed):
        name = listed[int(idea)]
    else:
        raise SettingsError(f"this question has no idea {idea[:20]!r}: choose one of the list")
    return replace(verdict, idea=name)
