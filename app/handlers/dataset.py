"""A whole question set: run it live, the curve growing question by question, or show what is stored of it."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gradio as gr

from app import library
from app.figures.curves import layer_curves
from app.handlers.base import Parts, told, told_while_running, weights
from app.handlers.explore import INTERVAL, Shown, balance_query, resolve, run_choices, show, strategy_note
from app.handlers.form import make_request
from app.handlers.questions import accepted_of
from app.language import Translator
from app.library import Outcome
from app.service import LiveRun, Service
from app.views.base import progress, status
from app.views.headline import headline
from app.views.questions import question_rows
from app.views.runs import link_box
from hcl_core import pipeline
from hcl_core.errors import SettingsError
from hcl_core.pipeline.request import RunRequest
from hcl_core.questions.selection import Selection
from hcl_core.records import Question, check_scaling
from hcl_core.runs.manifest import Manifest
from hcl_core.scores.metrics import OutcomeTable

# While a set runs its intervals are drawn from fewer resampled runs, and not more often than this, in seconds.
_LIVE_REPLICATES = 200
_CURVE_INTERVAL = 1.0
# Rows of the table, which is sent anew with each update of the curve: about 100 kB.
MOST_QUESTIONS = 1_000


def make_set_request(
    service: Service,
    visitor: str,
    set_name: str,
    num_questions: float,
    shuffle_seed: float | None,
    min_answers: float,
    *controls: Any,
) -> RunRequest:
    """The Explore tab's settings, for questions of a set.

    Raises:
        HclError: A value is missing or out of range.
    """
    model, _, _, *others = controls
    loaded = service.sets.get(visitor, set_name)
    most = min(len(loaded.questions), MOST_QUESTIONS)
    if not num_questions or not 1 <= num_questions <= most:
        more = " on a page; the terminal takes more" if most == MOST_QUESTIONS else ""
        raise SettingsError(f"questions must be from 1 to {most:,}{more}; got {num_questions}")
    shuffle = int(shuffle_seed) if shuffle_seed else None
    selection = Selection(int(num_questions), shuffle, int(min_answers or 1))
    request = make_request(model, "any", "any", *others)
    return replace(request, questions=tuple(selection.of(loaded)), question_set=selection.describe(loaded.name))


@told_while_running
def run_set(
    words: Translator, service: Service, visitor: str, creativity: float, scaling: str, *choices: Any
) -> Iterator[Parts]:
    """Ask every question of the selection; the curve grows with each."""
    request = make_set_request(service, visitor, *choices)
    check_scaling(scaling)
    if service.loaded_model() != request.model:
        yield {"status": status(words("loading_model", model=request.model[:200]))}
    drawn_at = told_at = 0.0
    for live in service.run(request, visitor):
        event = live.event
        if isinstance(event, pipeline.Finished):
            shown: Shown = {"run_id": event.manifest.run_id}
            done = words("set_done", run=event.manifest.run_id, seconds=words.number(event.manifest.decode_seconds, 1))
            yield _results(live.run.manifest, _asked(live.run), event.table, True, creativity, scaling, words)
            yield {"status": status(done), "shown": shown}
        elif isinstance(event, pipeline.WaveDone) and time.monotonic() - drawn_at > _CURVE_INTERVAL:
            told = progress(words, "sampling", event.num_done, event.num_wanted)
            shown = {"run_id": live.run.manifest.run_id, "live": True}
            began = time.monotonic()
            parts = _results(live.run.manifest, _asked(live.run), event.table, False, creativity, scaling, words)
            yield parts | {"status": told, "shown": shown}
            told_at = time.monotonic()
            drawn_at = told_at + 4 * (told_at - began)  # drawing may take a fifth of the time at most
        elif isinstance(event, pipeline.Decoding) and time.monotonic() - told_at > INTERVAL:
            told_at = time.monotonic()
            yield {"status": progress(words, "sampling", event.num_done, event.num_wanted)}


def _asked(live: LiveRun) -> list[Question]:
    return [each.question for each in live.questions]


def _results(
    manifest: Manifest,
    questions: list[Question],
    table: OutcomeTable,
    is_complete: bool,
    creativity: float,
    scaling: str,
    words: Translator,
) -> Parts:
    outcome = Outcome.of(table) if is_complete else Outcome.of(table, _LIVE_REPLICATES)
    return _of_outcome(manifest, questions, table, outcome, is_complete, creativity, scaling, words)


def _of_outcome(
    manifest: Manifest,
    questions: list[Question],
    table: OutcomeTable,
    outcome: Outcome,
    is_complete: bool,
    creativity: float,
    scaling: str,
    words: Translator,
) -> Parts:
    scored = outcome.scored(weights(creativity), check_scaling(scaling))
    rows = question_rows(questions, table)
    answered = sum(row[-2] != "" for row in rows)
    return {
        "headline": headline(
            scored,
            is_complete,
            words,
            _asked_line(manifest, answered, len(rows), words),
            strategy_note(manifest, words),
        ),
        "chart": layer_curves(scored, words),
        "rows": rows,
        "link": _link(manifest, creativity, scaling, words) if is_complete else "",
    }


def _link(manifest: Manifest, creativity: float, scaling: str, words: Translator) -> str:
    return link_box({"tab": "dataset", "run": manifest.run_id} | balance_query(creativity, scaling), words)


def _asked_line(manifest: Manifest, answered: int, num_questions: int, words: Translator) -> str:
    asked = words("questions_of_set", done=answered, all=num_questions, set=manifest.question_set[:100])
    return f"{asked} · {manifest.describe()}"


def set_run_choices(service: Service) -> list[tuple[str, str]]:
    """Label and id of the stored runs of more than one question."""
    runs = [run for run in service.stored_runs() if run.manifest.num_questions > 1]
    return [(f"{run.manifest.question_set[:40]} · {run.describe()}", run.manifest.run_id) for run in runs]


@told("status")
def show_run(words: Translator, run_id: str, creativity: float, scaling: str) -> Parts:
    """A stored run's questions and its curve over all of them."""
    run = library.find_run(run_id)
    questions = [stored.question for stored in library.questions_of(run)]
    is_complete = run.manifest.finished_at is not None
    parts = _of_outcome(
        run.manifest, questions, library.table_of(run), library.outcome_of(run), is_complete, creativity, scaling, words
    )
    return parts | {"status": status(words("stored_set")), "shown": {"run_id": run_id}}


@told("status")
def rebalance_set(
    words: Translator, service: Service, visitor: str, shown: Shown | None, creativity: float, scaling: str
) -> Parts:
    """What is shown, with other weights or scaling; the questions' rows stay."""
    if not shown:
        return {}
    if shown.get("live"):
        live = service.live_run(visitor)
        outcome, manifest, is_complete = Outcome.of(live.scorer.table, _LIVE_REPLICATES), live.manifest, False
    else:
        run = library.find_run(shown["run_id"])
        outcome, manifest, is_complete = library.outcome_of(run), run.manifest, run.manifest.finished_at is not None
    scored = outcome.scored(weights(creativity), check_scaling(scaling))
    answered = (len(outcome.table.outcomes), manifest.num_questions)
    return {
        "headline": headline(
            scored, is_complete, words, _asked_line(manifest, *answered, words), strategy_note(manifest, words)
        ),
        "chart": layer_curves(scored, words),
        "link": _link(manifest, creativity, scaling, words) if is_complete else "",
    }


@told("status")
def open_question(
    words: Translator,
    service: Service,
    visitor: str,
    shown: Shown | None,
    question_id: Any,
    creativity: float,
    scaling: str,
    more: list[str],
) -> Parts:
    """A question of the run on screen, as the Explore tab shows it, and that tab in front."""
    if not shown or not isinstance(question_id, str):
        return {}
    chosen = {"run_id": shown["run_id"], "question_id": question_id, "layer": None}
    if shown.get("live"):
        chosen["live"] = True
    look = resolve(service, visitor, chosen)
    choices = run_choices(service, look.stored.question.text)
    is_listed = any(run_id == shown["run_id"] for _, run_id in choices)
    listed = gr.update(choices=choices, value=shown["run_id"] if is_listed else None)
    return (
        show(look, chosen, creativity, scaling, more, service, words)
        | accepted_of(look.stored.question)
        | {
            "question": look.stored.question.text,
            "stored_run": listed,
            "tabs": gr.Tabs(selected="explore"),
            "status": status(words("opened_from_set")),
        }
    )
