"""What Explore shows when the page opens: stored answers, those of an unfinished run too, or a form filled in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from app import library
from app.handlers import explore, shown_question
from app.handlers.asked import form_of
from app.handlers.links import Link
from app.handlers.shown_question import OpenedQuestion, QuestionResult, ShownQuestion
from app.language import Translator
from app.messages import Message, Problem, Status
from app.run_names import name_of
from app.visit import Balance, Visit
from hcl_core.errors import HclError
from hcl_core.models.catalogue import DEFAULT_MODEL
from hcl_core.settings.layers import format_layers
from hcl_core.settings.prompts import TEMPLATE_NAMES

_Result = TypeVar("_Result")
# What an address names and is not there, and what is instead.
Notices = list[Message | Problem]
# Of a name in an address, letters that are quoted.
MOST_QUOTED = 80


@dataclass(frozen=True, slots=True)
class StoredStart:
    """Explore shows stored answers.

    Attributes:
        opened: Their question.
        prompt: Of the question, where it can be known.
        status: Whether there are more of them to come.
        form: That goes on with a run which is not finished, by control; empty for a finished one.
    """

    opened: OpenedQuestion
    prompt: str | None
    status: Message = Message("stored_answers")
    form: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PrefilledStart:
    """Explore's form is filled in and nothing runs; ``runs`` are label and id of the stored ones of that question."""

    question: str
    prompt: str | None
    runs: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class EmptyStart:
    """Explore has nothing to show; ``status`` says why."""

    status: Status


def attempt(work: Callable[[], _Result]) -> _Result | Problem:
    """One tab's problem is no reason to leave the others empty."""
    try:
        return work()
    except HclError as error:
        return Problem(str(error))


def start_of(visit: Visit, link: Link, notices: Notices) -> StoredStart | PrefilledStart | EmptyStart:
    """What the tab Explore shows as the page opens; ``notices`` get what the address names and is not there."""
    named = _named(visit, link, notices) if link.tab == "explore" and link.run_id is not None else None
    if named is None and link.form and (link.tab == "explore" or "question" in link.form):
        return _prefilled(visit, link)
    if named is not None:
        return _started(visit, link, named)
    started = attempt(lambda: _first(visit, link))
    if isinstance(started, Problem):
        return EmptyStart(started)
    if isinstance(started, StoredStart) and link.tab == "explore" and link.run_id is not None:
        notices.append(_instead(started.opened.result, visit.words))
    return started


def _named(visit: Visit, link: Link, notices: Notices) -> OpenedQuestion | None:
    """The question that the address names, or another of its run; ``None`` without the run."""
    run_id = link.run_id or ""
    run = attempt(lambda: library.find_run(run_id))
    if isinstance(run, Problem):
        notices.append(Message("link_no_run", {"run": run_id[:MOST_QUOTED]}))
        return None
    layers = run.manifest.settings.exit_layers
    if link.layer is not None and link.layer not in layers:
        is_range = layers[-1] - layers[0] == len(layers) - 1
        present = visit.words("range", low=layers[0], high=layers[-1]) if is_range else format_layers(layers)
        notices.append(Message("link_no_layer", {"layer": link.layer, "layers": present}))
    layer = link.layer if link.layer in layers else None
    ids = [stored.question.id for stored in library.questions_of(run)]
    question_id = link.question_id if link.question_id in ids else ids[0]
    # A run that is not finished can be the visitor's, in memory: its answers are judged there already.
    is_live = run.manifest.finished_at is None and visit.service.has_live_run(visit.visitor, run_id)
    shown = ShownQuestion(run_id, question_id, layer, is_live)
    opened = attempt(lambda: shown_question.open_question(visit, shown, _at_once(link.balance)))
    if isinstance(opened, Problem):
        notices.append(opened)
        return None
    if link.question_id and link.question_id != question_id:
        notices.append(Message("link_no_question", {"question": link.question_id[:MOST_QUOTED]}))
        notices.append(_instead(opened.result, visit.words))
    return opened


def _instead(result: QuestionResult, words: Translator) -> Message:
    question = result.view.stored.question.text[:200]
    return Message("link_instead", {"instead": f"{question} · {name_of(result.view.manifest, words)}"})


def _first(visit: Visit, link: Link) -> StoredStart | EmptyStart:
    """The stored answers of a first visit."""
    run = next(iter(visit.service.stored_runs()), None)
    if run is None:
        return EmptyStart(Message("ready"))
    shown = ShownQuestion(run.manifest.id, library.questions_of(run)[0].question.id)
    return _started(visit, link, shown_question.open_question(visit, shown, _at_once(link.balance)))


def _at_once(balance: Balance) -> Balance:
    """Without the further curves, which can take seconds: the page asks for them once it is open."""
    return replace(balance, more=())


def _started(visit: Visit, link: Link, opened: OpenedQuestion) -> StoredStart:
    view = opened.result.view
    status, form = Message("stored_answers"), {}
    if view.manifest.finished_at is None:
        form = form_of(view.manifest, view.stored.question)
        status = _unfinished(visit, opened.result.shown.run_id, can_go_on=bool(form))
    link = replace(link, form={**form, **link.form})
    question = str(link.form.get("question", view.stored.question.text))
    return StoredStart(opened, _prompt(visit, link, question), status, form)


def _unfinished(visit: Visit, run_id: str, can_go_on: bool) -> Message:
    run = library.find_run(run_id)
    key = "stored_under_way" if visit.service.is_under_way(run_id) else "stored_stopped"
    how = "go_on_here" if can_go_on else "go_on_there"
    values = {"done": library.num_present(run), "wanted": run.manifest.num_total_samples, "how": visit.words(how)}
    return Message(key, values)


def _prefilled(visit: Visit, link: Link) -> PrefilledStart:
    """A form that someone else has filled in: nothing runs until Run is pressed."""
    question = str(link.form.get("question", ""))
    return PrefilledStart(question, _prompt(visit, link, question), shown_question.run_choices(visit, question))


def _prompt(visit: Visit, link: Link, question: str) -> str | None:
    template = str(link.form.get("template", TEMPLATE_NAMES[0]))
    return explore.preview(visit, str(link.form.get("model", DEFAULT_MODEL.name)), question, template)
