"""The endpoints: what programs can ask of the page. Docstrings are what programs and agents read."""

from collections.abc import Generator
from contextlib import closing
from typing import Any

from app import library
from app.endpoints import records
from app.endpoints.records import (
    CompareResult,
    LensResult,
    Row,
    RunResult,
    RunsResult,
    ScoreResult,
    StatusResult,
    StoredResult,
)
from app.handlers.lens import MOST_TOKENS
from app.library import StoredRun
from app.limits import check_public_head
from app.live import LiveEvent
from app.outcomes import Scored
from app.question_view import QuestionView
from app.visit import Visit
from hcl_core import __version__, pipeline
from hcl_core.errors import SettingsError
from hcl_core.models.catalogue import DEFAULT_MODEL
from hcl_core.models.lens_records import RESID_POST, LensTable
from hcl_core.pipeline.request import RunRequest
from hcl_core.questions.own import make_question, read_idea
from hcl_core.records import DEFAULT_SCALING, SamplingSettings, Scaling, Weights
from hcl_core.runs.manifest import differing_settings
from hcl_core.settings.layers import parse_layer_choice
from hcl_core.settings.prompts import load_template
from hcl_core.settings.strategies import Strategy

# Questions of a set, and runs of a list, in one result.
_MOST_ROWS = 500
_EQUAL = Weights()


def run(
    visit: Visit,
    question: str,
    accept: list[str] | None = None,
    model: str = DEFAULT_MODEL.name,
    layers: str = "16:30",
    samples: int = 20,
    temperature: float = 0.6,
    top_p: float = 0.9,
    top_k: int = 0,
    max_new_tokens: int = 50,
    seed: int = 0,
    exit_head: str = "auto",
    judge: str = "alias",
    strategy: str = "early_exit",
    template: str = "few_shot",
) -> Generator[RunResult, None, None]:
    """Ask a language model one question many times at each exit layer, judge the answers, and score every layer.

    A layer's hallucination_rate is its share of answers that are not right, its creativity how many different right
    ideas it has, and hcb_score balances both; all have 95% intervals. The verdict names the best layer, or the set of
    layers that may be it. Results stream: each is whole for the answers so far, and the last one has complete = true.
    Takes seconds to minutes. The same settings give the same answers and the same run_id; the run is stored, and
    get_run reads it again at no cost.

    Args:
        visit: Who calls.
        question: The question, as a person would ask it.
        accept: Right answers, one each; several names of one idea are separated by |, as in "United States | USA".
            Without any the question is open, and plausibility stands in the place of being right.
        model: Name of a model of status; on a page of one's own also a Hub id or a local folder.
        layers: Exit layers, from 1: "16:30", "2:30:2", "24,28,30" or "all".
        samples: Answers a layer.
        temperature: From 0, always the most probable token, to 10.
        top_p: Share of probability that tokens are drawn from, above 0 and at most 1.
        top_k: Most probable tokens that are drawn from; 0 is all.
        max_new_tokens: Tokens after which an answer is cut.
        seed: The same seed and settings give the same answers.
        exit_head: How early layers are read: "auto", "shared" or "linear".
        judge: "alias", "semantic" or "paper".
        strategy: "early_exit", "self_speculative" or "dynamic".
        template: How the question becomes a prompt: "few_shot", "instruction" or "chat".
    """
    if visit.service.is_public:
        check_public_head(exit_head)  # before a file is looked for
    ideas = [read_idea(each) for each in accept or []]
    request = RunRequest(
        model=model.strip(),
        questions=(make_question(question.strip(), ideas),),
        question_set="page",  # as the page's own: both have the same runs
        layers=parse_layer_choice(layers),
        num_samples=samples,
        sampling=SamplingSettings(temperature, top_p, top_k, max_new_tokens, seed),
        template=load_template(template),
        exit_head=exit_head,
        judge=judge,
        strategy=Strategy.parse(strategy),
    )
    with closing(visit.service.run(request, visit.visitor, "program", visit.address)) as events:
        for live in events:
            if isinstance(live, LiveEvent) and isinstance(live.event, pipeline.WaveDone | pipeline.Finished):
                yield _result(live.run.view(request.questions[0].id), isinstance(live.event, pipeline.Finished))


def score(
    visit: Visit,
    run_id: str,
    question_id: str = "",
    creativity_weight: float = 0.5,
    scaling: Scaling = DEFAULT_SCALING,
) -> ScoreResult:
    """Score a stored run again under another balance of creativity and accuracy; no model is needed.

    Args:
        visit: Who calls.
        run_id: Of run, runs or get_run.
        question_id: One question of the run; empty: all of them together.
        creativity_weight: From 0, accuracy alone counts, to 1, creativity alone counts.
        scaling: Of creativity: "possible", "min_max" (the paper's) or "absolute".
    """
    found = _find(run_id)
    scored = _scored(found, question_id, Weights(creativity_weight, 1 - creativity_weight), scaling)
    return {
        "run_id": found.manifest.id,
        "creativity_weight": creativity_weight,
        "scaling": scaling,
        "verdict": records.verdict_of(scored),
        "scores": records.score_rows(scored),
    }


def lens(
    visit: Visit,
    prompt: str,
    model: str = DEFAULT_MODEL.name,
    exit_head: str = "auto",
    max_new_tokens: int = 12,
    whole_text: bool = False,
    site: str = RESID_POST,
) -> LensResult:
    """Show which tokens each layer of a model finds most probable at every token of the model's own greedy answer.

    settles has, for each token, the first layer from which on the last layer's token stays on top. cells has a row for
    each layer and token: the top tokens with their probabilities, the entropy in nats, the rank of the last layer's
    token and of the text's token, and the divergence from the last layer's probabilities.

    Args:
        visit: Who calls.
        prompt: The exact text that the model goes on from, such as "The capital of France is".
        model: Name of a model of status; on a page of one's own also a Hub id or a local folder.
        exit_head: How early layers are read: "auto", "shared" or "linear".
        max_new_tokens: Tokens of the answer, from 1 to 40.
        whole_text: Whether the prompt's own tokens are read too.
        site: Where each block is read: "resid_post" after it, "resid_mid" between attention and MLP, or what either
            of them adds, "attn_out" or "mlp_out"; all but the first are read by the model's own head, and settles is 0
            for a token that the last of these readouts does not have on top.
    """
    if not 1 <= max_new_tokens <= MOST_TOKENS:
        raise SettingsError(f"the answer's tokens must be from 1 to {MOST_TOKENS}; got {max_new_tokens}")
    steps = visit.service.lenses.look(
        model.strip(), exit_head, prompt, whole_text, max_new_tokens, visit.visitor, visit.address, "program", site
    )
    *_, table = steps
    assert isinstance(table, LensTable)
    return {
        "prompt": table.prompt,
        "tokens": list(table.token_texts),
        "settles": table.settles().tolist(),
        "exit_head": records.head_record(table.head),
        "cells": records.lens_cells(table),
    }


def runs(visit: Visit, limit: int = 50, question: str = "") -> RunsResult:
    """List stored runs: what was asked, with which settings, and the run_id that the other functions take.

    On a public page these are the runs that came with the program.

    Args:
        visit: Who calls.
        limit: Runs to list, from 1 to 500; num_runs says how many there are.
        question: A text that must stand in the question; empty: any. Runs of many questions are listed without it.
    """
    if not 1 <= limit <= _MOST_ROWS:
        raise SettingsError(f"limit must be from 1 to {_MOST_ROWS}; got {limit}")
    listed = [(each, library.only_question_of(each)) for each in visit.service.stored_runs()]
    wanted = question.strip().casefold()
    listed = [(each, text) for each, text in listed if wanted in (text or "").casefold()]
    return {"num_runs": len(listed), "runs": [records.run_row(each, text) for each, text in listed[:limit]]}


def get_run(visit: Visit, run_id: str, question_id: str = "", samples: bool = False) -> StoredResult:
    """Read a stored run: settings, questions, scores by layer with 95% intervals, the verdict, and the answers.

    Args:
        visit: Who calls.
        run_id: Of run or runs.
        question_id: One question of the run; may be left out of a run of one question. Of a run of many, without it,
            scores are those of all questions together, and answers are empty.
        samples: Whether samples has a row for every single answer too.
    """
    found = _find(run_id)
    stored = library.questions_of(found)
    question_id = question_id or (stored[0].question.id if len(stored) == 1 else "")
    view = QuestionView.load(found, question_id) if question_id else None
    scored = _scored(found, question_id, _EQUAL, DEFAULT_SCALING)
    return {
        "run_id": found.manifest.id,
        "settings": records.settings_of(found.manifest),
        "num_questions": len(stored),
        "questions": records.question_rows(each.question for each in ([view.stored] if view else stored[:_MOST_ROWS])),
        "exit_head": records.head_of(found.manifest),
        "verdict": records.verdict_of(scored),
        "scores": records.score_rows(scored),
        "answers": records.answer_rows(view.layers) if view else [],
        "samples": records.sample_rows(view) if view and samples else [],
    }


def compare(
    visit: Visit, first: str, second: str, creativity_weight: float = 0.5, scaling: Scaling = DEFAULT_SCALING
) -> CompareResult:
    """Compare two stored runs on the questions and layers that both have: the first minus the second, by layer.

    Each difference has a 95% interval: one without 0 in it is a difference that chance alone hardly makes.

    Args:
        visit: Who calls.
        first: A run_id.
        second: Another run_id.
        creativity_weight: From 0, accuracy alone counts, to 1, creativity alone counts.
        scaling: Of creativity: "possible", "min_max" (the paper's) or "absolute".
    """
    pair = _find(first), _find(second)
    compared = library.compare(*pair, Weights(creativity_weight, 1 - creativity_weight), scaling)
    return {
        "runs": [each.manifest.id for each in pair],
        "settings_that_differ": dict(differing_settings(pair[0].manifest, pair[1].manifest)),
        "num_questions": compared.num_questions,
        "optimal_layers": list(compared.optimal_layers),
        "p_same_optimal": compared.p_same_optimal,
        "rank_correlation": dict(records.rank_rows(compared)),
        "layers": records.comparison_rows(compared),
    }


def status(visit: Visit) -> StatusResult:
    """Say which models can be asked, how deep they are, what is under way, and what this page allows."""
    service, settings = visit.service, visit.service.settings
    limits: Row = {"runs_at_once": settings.most_runs_at_once, "places": settings.most_places}
    if service.is_public:
        limits |= {
            name: getattr(settings, f"most_{name}")
            for name in (
                "places_a_visitor",
                "places_an_address",
                "letters_a_run",
                "tokens_a_run",
                "seconds_a_run",
                "seconds_a_visitor",
                "seconds_an_address",
            )
        }
    in_memory = service.models.names
    return {
        "version": __version__,
        "public": service.is_public,
        "models": [
            {
                "name": model.name,
                "layers": model.num_hidden_layers,
                "in_memory": model.name in in_memory,
            }
            for model in service.offered_models()
        ],
        "running": service.places.num_taken,
        "waiting": service.num_waiting,
        "limits": limits,
    }


ENDPOINTS: tuple[Any, ...] = (run, score, lens, runs, get_run, compare, status)
# Those that need a model's time.
WITH_MODEL = (run, lens)


def _find(run_id: str) -> StoredRun:
    return library.find_run(run_id.strip())


def _scored(found: StoredRun, question_id: str, weights: Weights, scaling: Scaling) -> Scored:
    outcomes = QuestionView.load(found, question_id).outcomes if question_id else library.outcomes_of(found)
    return outcomes.scored(weights, scaling)


def _result(view: QuestionView, is_finished: bool) -> RunResult:
    manifest, question = view.manifest, view.stored.question
    scored = view.outcomes.scored(_EQUAL, DEFAULT_SCALING)
    return {
        "run_id": manifest.id,
        "question_id": question.id,
        "question": question.text,
        "accept": records.accepted_of(question),
        "settings": records.settings_of(manifest),
        "complete": is_finished,
        "num_answers": len(view.samples),
        "num_wanted": manifest.num_total_samples,
        "exit_head": records.head_of(manifest),
        "verdict": records.verdict_of(scored),
        "scores": records.score_rows(scored),
        "answers": records.answer_rows(view.layers),
    }
