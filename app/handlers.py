"""What happens on the page's events; one generator for a run. Errors become words here and nowhere else."""

import logging
import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from app import figures, library, views
from app.library import Outcome
from app.service import LiveEvent, Service, StoppedError
from hcl_core import pipeline
from hcl_core.answers import count_answers
from hcl_core.errors import HclError, SettingsError
from hcl_core.manifest import Manifest, differing_settings
from hcl_core.prompts import load_template
from hcl_core.questions.jsonl import make_question
from hcl_core.records import SamplingSettings, Scaling, Weights, check_scaling
from hcl_core.request import RunRequest
from hcl_core.scoring import Scorer

logger = logging.getLogger(__name__)

# Seconds between two progress lines: a page need not follow every decode step.
_PROGRESS_INTERVAL = 0.25

# What the page shows: headline, chart, answers, status, and which run and question that is.
Outputs = tuple[Any, Any, Any, Any, Any]


def make_request(
    model: str,
    question: str,
    accepted: str,
    first_layer: int,
    last_layer: int,
    every: int,
    num_samples: int,
    temperature: float,
    top_p: float,
    top_k: int,
    max_new_tokens: int,
    seed: int,
    template: str,
    exit_head: str,
    judge: str,
) -> RunRequest:
    """The controls' values, in the order of the page, as a request.

    Raises:
        HclError: A value is missing or out of range.
    """
    answers = [line.strip() for line in (accepted or "").splitlines() if line.strip()]
    first, last = sorted((_whole("First layer", first_layer), _whole("Last layer", last_layer)))
    return RunRequest(
        model=(model or "").strip(),
        questions=(make_question(question or "", answers),),
        question_set="page",
        layers=f"{first}:{last}:{_whole('Every', every)}",
        num_samples=_whole("Answers a layer", num_samples),
        sampling=SamplingSettings(
            temperature=_given("Temperature", temperature),
            top_p=_given("Top-p", top_p),
            top_k=_whole("Top-k", top_k),
            max_new_tokens=_whole("Tokens at most", max_new_tokens),
            seed=_whole("Seed", seed),
        ),
        template=load_template(template),
        exit_head=exit_head,
        judge=judge,
    )


def _given(label: str, value: float | None) -> float:
    if value is None:
        raise SettingsError(f"{label} is empty: type a number")
    return float(value)


def _whole(label: str, value: float | None) -> int:
    return int(_given(label, value))


def explore(service: Service, visitor: str, creativity: float, scaling: str, *controls: Any) -> Iterator[Outputs]:
    """Run what the controls ask for; show every wave as it comes.

    Whatever fails, what is on the page already stays on it.
    """
    skip = gr.skip()
    try:
        request = make_request(*controls)
        if service.loaded_model() != request.model:
            yield skip, skip, skip, views.status(f"Loading {request.model}; the first time takes half a minute …"), skip
        asked = f"{request.questions[0].text[:200]} · {request.model}"
        yield from _follow(service.run(request, visitor), asked, _weights(creativity), check_scaling(scaling))
    except StoppedError:
        stopped = views.status("Stopped. What came so far stays; Run goes on from there.")
        yield skip, skip, skip, stopped, skip
    except HclError as error:
        yield skip, skip, skip, views.problem(str(error)), skip
    except Exception:
        logger.exception("a run failed")
        yield skip, skip, skip, views.problem("Something went wrong in the program; its log has the details."), skip


def _follow(events: Iterator[LiveEvent], asked: str, weights: Weights, scaling: Scaling) -> Iterator[Outputs]:
    skip = gr.skip()
    shown_at = 0.0
    for live in events:
        event, scorer = live.event, live.scorer
        if isinstance(event, pipeline.Decoding):
            if time.monotonic() - shown_at > _PROGRESS_INTERVAL:
                shown_at = time.monotonic()
                yield skip, skip, skip, views.status("Sampling", event.num_done, event.num_wanted), skip
        elif isinstance(event, pipeline.Finished):
            shown = {"run_id": event.manifest.run_id, "question_id": next(iter(scorer.samples)), "asked": asked}
            yield *_results(scorer, asked, True, weights, scaling), views.status(_done(event.manifest)), shown
        elif isinstance(event, pipeline.WaveDone):
            results = _results(scorer, asked, event.num_done == event.num_wanted, weights, scaling)
            yield *results, views.status("Sampling", event.num_done, event.num_wanted), skip
        elif event.num_present:
            results = _results(scorer, asked, False, weights, scaling)
            yield *results, views.status("Going on", event.num_present, event.num_wanted), skip


def _results(
    scorer: Scorer, asked: str, is_complete: bool, weights: Weights, scaling: Scaling
) -> tuple[str, figures.Figure, str]:
    """Headline, chart and answers of what there is so far."""
    scored = Outcome.of(scorer.table).scored(weights, scaling)
    (samples,) = scorer.samples.values()
    columns = count_answers(samples, scorer.verdicts, scorer.clusters)
    return (
        views.headline(scored, is_complete, asked),
        figures.layer_curves(scored.scores, scored.sure, scored.best),
        views.answer_columns(columns, scored.best),
    )


def show_stored(run_id: str, question_id: str, creativity: float, scaling: str) -> Outputs:
    """A question of a stored run, at once and without a model."""
    skip = gr.skip()
    try:
        run = library.find_run(run_id)
        scored = library.outcome_of(run, question_id).scored(_weights(creativity), check_scaling(scaling))
        question = next(each for each in library.questions_of(run) if each.id == question_id)
        columns = library.answers_of(run, question_id)
    except HclError as error:
        return skip, skip, skip, views.problem(str(error)), skip
    asked = f"{question.text[:200]} · {run.manifest.describe()}"
    return (
        views.headline(scored, run.manifest.finished_at is not None, asked),
        figures.layer_curves(scored.scores, scored.sure, scored.best),
        views.answer_columns(columns, scored.best),
        views.status("Stored answers, judged when they were made. Run samples new ones with the settings above."),
        {"run_id": run_id, "question_id": question_id, "asked": asked},
    )


def rebalance(shown: dict[str, str] | None, creativity: float, scaling: str) -> tuple[Any, Any]:
    """Headline and chart of what is shown, with other weights or scaling; no model and no new draws."""
    if not shown:
        return gr.skip(), gr.skip()
    try:
        run = library.find_run(shown["run_id"])
        outcome = library.outcome_of(run, shown["question_id"])
        scored = outcome.scored(_weights(creativity), check_scaling(scaling))
    except HclError:
        return gr.skip(), gr.skip()
    is_complete = run.manifest.finished_at is not None
    return (
        views.headline(scored, is_complete, shown["asked"]),
        figures.layer_curves(scored.scores, scored.sure, scored.best),
    )


def compare(first_id: str, second_id: str, measure: str) -> tuple[Any, Any]:
    """Two stored runs against each other: what to say, and the curves with their difference."""
    try:
        if measure not in figures.MEASURES:
            raise SettingsError(f"measure must be one of {', '.join(figures.MEASURES)}; got {measure!r}")
        runs = [library.find_run(run_id or "") for run_id in (first_id, second_id)]
        compared = library.compare(runs[0], runs[1], Weights(), "min_max")
        scored = [library.outcome_of(run).scored(Weights(), "min_max") for run in runs]
    except HclError as error:
        return views.problem(str(error)), gr.skip()
    names = (runs[0].describe(), runs[1].describe())
    curves = [(name, each.scores, each.sure) for name, each in zip(names, scored, strict=True)]
    differences = list(zip(compared.exit_layers, compared.differences[measure], strict=True))
    differing = differing_settings(runs[0].manifest, runs[1].manifest)
    said = views.comparison(compared, measure, names, differing)
    return said, figures.compared_curves(curves, differences, measure)


def _weights(creativity: float | None) -> Weights:
    """The slider's percentage of creativity as weights that sum to 1."""
    share = min(100.0, max(0.0, float(50 if creativity is None else creativity))) / 100
    return Weights(share, 1 - share)


def _done(manifest: Manifest) -> str:
    settings = manifest.settings
    return (
        f"{settings.model} on {manifest.device} · {len(settings.exit_layers)} layers × {settings.num_samples} answers "
        f"in {manifest.decode_seconds:.1f} s · saved as run {manifest.run_id}"
    )


def stop(service: Service, visitor: str) -> str:
    """Ask the visitor's run to end."""
    service.stop(visitor)
    return views.status("Stopping …")
