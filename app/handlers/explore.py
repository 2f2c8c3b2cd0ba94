"""One question: what it would be asked as, how long a run would take, and the run."""

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from app import library
from app.handlers.form import Form
from app.handlers.models import num_hidden_layers
from app.handlers.shown_question import QuestionResult, ShownQuestion, show_text, weigh
from app.jobs import StoppedError
from app.live import LiveEvent
from app.messages import Message, Problem, Stage, Status, message_of, progress_of
from app.models_here import notice_on_model
from app.question_view import QuestionView
from app.visit import Balance, Visit
from hcl_core import pipeline
from hcl_core.errors import GpuError, HclError
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
    form.check_layers(num_hidden_layers(visit, form.model))
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


def preview(visit: Visit, model: str, question: str, template: str) -> str | None:
    """The exact prompt that the form would send; ``None`` where that cannot be known yet."""
    try:
        return visit.service.exact_prompt(model, question, load_template(template))
    except HclError:
        return None


def estimate(visit: Visit, form: Form) -> Estimate:
    """How long the form's run would take; raises ``HclError`` if it could not be started."""
    form.check(visit.words)
    depth = num_hidden_layers(visit, form.model)
    form.check_layers(depth)
    request = form.request()
    visit.service.check_allowed(request)
    layers = request.layers.resolve(depth) if depth else ()
    foretold = visit.service.foretell(request, layers) if layers else None
    needs_loading = visit.service.models.find(request.model) is None
    on_model = notice_on_model(request.model, visit.service.is_public) if needs_loading else None
    is_open = request.questions[0].is_open
    return Estimate(len(layers) or None, request.num_samples, foretold, needs_loading, is_open, on_model)
