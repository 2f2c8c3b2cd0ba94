"""One question: run it, show what is stored of it, weigh it, choose one of its layers."""

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, TypeVar

from app import library
from app.handlers.form import Form
from app.handlers.measures import further_measures
from app.handlers.models import num_hidden_layers
from app.jobs import StoppedError
from app.live import LiveEvent
from app.messages import Message, Problem, Stage, Status, message_of, progress_of
from app.models_here import notice_on_model
from app.outcomes import Scored
from app.question_view import QuestionView
from app.run_names import run_names
from app.service import Service
from app.visit import Balance, Visit
from hcl_core import pipeline
from hcl_core.errors import GpuError, HclError, SettingsError
from hcl_core.pipeline.estimate import Foretold
from hcl_core.runs.manifest import Manifest
from hcl_core.settings.prompts import load_template

# Seconds between two updates: a page need not follow every decode step.
INTERVAL = 0.25
# And at least so many times what the last update took. Both times the number of runs under way: where many watch runs
# of theirs, drawing must not take the time that decoding needs.
PAUSE = 3


class _HasResult(Protocol):
    """A step of a run, of one question or of a set."""

    @property
    def result(self) -> object | None:
        """What has come so far, where it is new."""


_Update = TypeVar("_Update", bound=_HasResult)


@dataclass(frozen=True, slots=True)
class ShownQuestion:
    """Which question of which run is on screen; the browser's session keeps it.

    Attributes:
        run_id: Of the run.
        question_id: Of its question.
        layer: The chosen exit layer.
        is_live: Whether the run is the visitor's, under way or stopped, in memory.
    """

    run_id: str
    question_id: str
    layer: int | None = None
    is_live: bool = False


@dataclass(frozen=True)
class QuestionResult:
    """What is known of one question under one balance.

    Attributes:
        shown: Which question, and its chosen layer.
        view: The question and its answers.
        balance: How it is weighed.
        further: Values by layer of the balance's further curves.
    """

    shown: ShownQuestion
    view: QuestionView
    balance: Balance
    further: Mapping[str, Sequence[float]]

    @cached_property
    def scored(self) -> Scored:
        """Scores under that balance; no new draws."""
        return self.view.outcomes.scored(self.balance.weights, self.balance.scaling)


@dataclass(frozen=True, slots=True)
class OpenedQuestion:
    """A question that the whole tab turns to, its form too.

    Attributes:
        result: What is known of it.
        runs: Label and id of the stored runs that have asked it.
    """

    result: QuestionResult
    runs: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class RunUpdate:
    """A step of a run.

    Attributes:
        status: What is going on.
        result: What has come so far, where it is more than before.
        is_first: Whether nothing of this run is on screen yet; later, a layer that the visitor has chosen stays.
    """

    status: Status
    result: QuestionResult | None = None
    is_first: bool = True


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long a run would take.

    Attributes:
        num_layers: Exit layers; ``None`` where the model's depth is not known.
        num_samples: Answers an exit layer.
        foretold: Seconds; ``None`` where nothing is known of them.
        needs_loading: Whether the model has to be loaded first.
        is_open: Whether the question has no accepted answers.
        on_model: What stands in the way of the model, if anything does.
    """

    num_layers: int | None
    num_samples: int
    foretold: Foretold | None
    needs_loading: bool
    is_open: bool = False
    on_model: Message | None = None


def run(visit: Visit, form: Form, balance: Balance) -> Generator[RunUpdate, None, None]:
    """Run what the form asks for; an update for every wave, but no more than a page can follow.

    Raises:
        HclError: Anything that the visitor can mend.
        StoppedError: The visitor stopped it, after results had come.
    """
    return until_stopped(_or_stored(visit, form, balance), RunUpdate(Message("stopped_empty")))


def until_stopped(updates: Generator[_Update, None, None], empty: _Update) -> Generator[_Update, None, None]:
    """``updates``, and ``empty`` in the place of ``StoppedError`` where none of them had results: nothing stays."""
    has_results = False
    try:
        with closing(updates):
            for update in updates:
                has_results = has_results or update.result is not None
                yield update
    except StoppedError:
        if has_results:
            raise
        yield empty


def _or_stored(visit: Visit, form: Form, balance: Balance) -> Generator[RunUpdate, None, None]:
    """The run; where no GPU was lent before its first answers, a stored run of the question and why."""
    has_results = False
    try:
        with closing(_run(visit, form, balance)) as updates:
            for update in updates:
                has_results = has_results or update.result is not None
                yield update
    except GpuError as error:
        stored = None if has_results else _stored_answers(visit, form, balance)
        if stored is None:
            raise
        yield RunUpdate(Problem(str(GpuError(f"{error}; a stored run of this question is shown"))), stored)


def _stored_answers(visit: Visit, form: Form, balance: Balance) -> QuestionResult | None:
    """The question as a stored run has asked it, if one has; rather one of the model that was asked for."""
    (question,) = form.request().questions
    runs = [run for run in visit.service.stored_runs() if library.question_id_of(run, question.text)]
    runs.sort(key=lambda run: run.manifest.settings.model != form.model)
    return show_text(visit, runs[0].manifest.id, question.text, balance) if runs else None


def _run(visit: Visit, form: Form, balance: Balance) -> Generator[RunUpdate, None, None]:
    form.check(visit.words)
    next_at, wave, is_first = 0.0, None, True
    with closing(visit.service.run(form.request(), visit.visitor, "explore", visit.address)) as events:
        for live in events:
            if not isinstance(live, LiveEvent):
                yield RunUpdate(message_of(live))
                continue
            wave = live if isinstance(live.event, pipeline.WaveDone) else wave
            is_end = isinstance(live.event, pipeline.Finished)
            began = time.monotonic()
            # The first answers are shown when they come; a later wave, too soon after the last update, with the next.
            if is_end or began > next_at or (is_first and wave is not None):
                update = _update(live if is_end else wave or live, visit, balance)
                yield replace(update, is_first=is_first)
                is_first = is_first and update.result is None
                now, wave = time.monotonic(), None
                next_at = now + max(INTERVAL, PAUSE * (now - began)) * max(1, visit.service.num_runs_under_way)


def _update(live: LiveEvent, visit: Visit, balance: Balance) -> RunUpdate:
    event, question_id = live.event, live.run.questions[0].question.id
    if isinstance(event, pipeline.Decoding):
        return RunUpdate(progress_of(live, event.num_done, event.num_wanted))
    shown = ShownQuestion(live.run.manifest.id, question_id)

    def view() -> QuestionView:
        return visit.service.own_verdicts.laid_over(live.run.view(question_id), visit.visitor)

    if isinstance(event, pipeline.Finished):
        result = weigh(view(), shown, balance, visit.service)
        return RunUpdate(_done(event.manifest), result)
    num_done = event.num_present if isinstance(event, pipeline.Started) else event.num_done
    if not num_done:
        return RunUpdate(Message("sampling_begins"))
    result = weigh(view(), replace(shown, is_live=True), balance, visit.service)
    stage: Stage = "going_on" if isinstance(event, pipeline.Started) else "sampling"
    return RunUpdate(progress_of(live, num_done, event.num_wanted, stage), result)


def _done(manifest: Manifest) -> Message:
    settings = manifest.settings
    values = {
        "model": settings.model,
        "device": manifest.device,
        "layers": len(settings.exit_layers),
        "answers": settings.num_samples,
        "seconds": float(manifest.decode_seconds),
        "run": manifest.id,
    }
    return Message("run_done", values)


def weigh(view: QuestionView, shown: ShownQuestion, balance: Balance, service: Service) -> QuestionResult:
    """A question under a balance; no model."""
    return QuestionResult(shown, view, balance, further_measures(view, balance.more, service))


def show(visit: Visit, shown: ShownQuestion, balance: Balance) -> QuestionResult:
    """A question that is under way in memory, or stored.

    Raises:
        RunFolderError: It is neither.
    """
    return weigh(view_of(visit, shown), shown, balance, visit.service)


def view_of(visit: Visit, shown: ShownQuestion) -> QuestionView:
    """The question with the visitor's verdicts; raises ``RunFolderError`` as ``show`` does."""
    if shown.is_live:
        judged = visit.service.live_run(visit.visitor, shown.run_id).view(shown.question_id)
    else:
        judged = QuestionView.load(library.find_run(shown.run_id), shown.question_id)
    return visit.service.own_verdicts.laid_over(judged, visit.visitor)


def show_text(visit: Visit, run_id: str, text: str, balance: Balance) -> QuestionResult:
    """The question with that text, of a stored run; raises ``RunFolderError`` if the run has not asked it."""
    question_id = library.question_id_of(library.find_run(run_id), text)
    return show(visit, ShownQuestion(run_id, question_id or ""), balance)


def choose_layer(visit: Visit, shown: ShownQuestion, layer: object, balance: Balance) -> QuestionResult:
    """The question on screen with another chosen layer; raises ``SettingsError`` if the run lacks that."""
    view = view_of(visit, shown)
    if not isinstance(layer, int) or layer not in view.manifest.settings.exit_layers:
        raise SettingsError(f"this run has no such exit layer: {str(layer)[:20]}")
    result = weigh(view, replace(shown, layer=layer), replace(balance, more=()), visit.service)
    return replace(result, balance=balance)  # the further curves are drawn already


def open_question(visit: Visit, shown: ShownQuestion, balance: Balance) -> OpenedQuestion:
    """A question for the whole tab; raises ``RunFolderError`` as ``show`` does."""
    result = show(visit, shown, balance)
    return OpenedQuestion(result, run_choices(visit, result.view.stored.question.text))


def run_choices(visit: Visit, question: str) -> list[tuple[str, str]]:
    """Label and id of the stored runs that have asked this question."""
    text = question.strip()
    runs = [run for run in visit.service.stored_runs() if library.question_id_of(run, text)]
    return list(zip(run_names(runs, visit.words), (run.manifest.id for run in runs), strict=True))


def preview(visit: Visit, model: str, question: str, template: str) -> str | None:
    """The exact prompt that the form would send; ``None`` where that cannot be known yet."""
    try:
        return visit.service.exact_prompt(model, question, load_template(template))
    except HclError:
        return None


def estimate(visit: Visit, form: Form) -> Estimate:
    """How long the form's run would take; raises ``HclError`` if it could not be started."""
    form.check(visit.words)
    request = form.request()
    visit.service.check_allowed(request)
    depth = num_hidden_layers(visit, request.model)
    layers = request.layers.resolve(depth) if depth else ()
    foretold = visit.service.foretell(request, layers) if layers else None
    needs_loading = visit.service.models.find(request.model) is None
    on_model = notice_on_model(request.model, visit.service.is_public) if needs_loading else None
    is_open = request.questions[0].is_open
    return Estimate(len(layers) or None, request.num_samples, foretold, needs_loading, is_open, on_model)
