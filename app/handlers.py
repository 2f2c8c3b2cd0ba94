"""What happens on the page's events; one generator for a run. Errors become words here and nowhere else."""

import logging
import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from app import figures, views
from app.service import LiveEvent, Service, StoppedError
from hcl_core import pipeline
from hcl_core.answers import count_answers
from hcl_core.errors import HclError, SettingsError
from hcl_core.manifest import Manifest
from hcl_core.metrics import balanced_layer, score_layers
from hcl_core.prompts import load_template
from hcl_core.questions.jsonl import make_question
from hcl_core.records import SamplingSettings, Weights
from hcl_core.request import RunRequest
from hcl_core.scoring import Scorer

logger = logging.getLogger(__name__)

# Seconds between two progress lines: a page need not follow every decode step.
_PROGRESS_INTERVAL = 0.25

# Headline, chart, answers, status.
Outputs = tuple[Any, Any, Any, Any]


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
    )


def _given(label: str, value: float | None) -> float:
    if value is None:
        raise SettingsError(f"{label} is empty: type a number")
    return float(value)


def _whole(label: str, value: float | None) -> int:
    return int(_given(label, value))


def explore(service: Service, visitor: str, *controls: Any) -> Iterator[Outputs]:
    """Run what the controls ask for; show every wave as it comes.

    Whatever fails, what is on the page already stays on it.
    """
    skip = gr.skip()
    try:
        request = make_request(*controls)
        if service.loaded_model() != request.model:
            yield skip, skip, skip, views.status(f"Loading {request.model}; the first time takes half a minute …")
        asked = f"{request.questions[0].text[:200]} · {request.model}"
        yield from _follow(service.run(request, visitor), asked)
    except StoppedError:
        yield skip, skip, skip, views.status("Stopped. What came so far stays; Run goes on from there.")
    except HclError as error:
        yield skip, skip, skip, views.problem(str(error))
    except Exception:
        logger.exception("a run failed")
        yield skip, skip, skip, views.problem("Something went wrong in the program; its log has the details.")


def _follow(events: Iterator[LiveEvent], asked: str) -> Iterator[Outputs]:
    skip = gr.skip()
    shown_at = 0.0
    for live in events:
        event, scorer = live.event, live.scorer
        if isinstance(event, pipeline.Started):
            if event.num_present:
                yield *_results(scorer, asked, False), views.status("Going on", event.num_present, event.num_wanted)
        elif isinstance(event, pipeline.Decoding):
            if time.monotonic() - shown_at > _PROGRESS_INTERVAL:
                shown_at = time.monotonic()
                yield skip, skip, skip, views.status("Sampling", event.num_done, event.num_wanted)
        elif isinstance(event, pipeline.WaveDone):
            is_complete = event.num_done == event.num_wanted
            yield *_results(scorer, asked, is_complete), views.status("Sampling", event.num_done, event.num_wanted)
        else:
            yield *_results(scorer, asked, True), views.status(_done(event.manifest))


def _results(scorer: Scorer, asked: str, is_complete: bool) -> tuple[str, figures.Figure, str]:
    """Headline, chart and answers of what there is so far."""
    scores = score_layers(scorer.table, Weights())
    best = balanced_layer(scores)
    (samples,) = scorer.samples.values()
    columns = count_answers(samples, scorer.verdicts, scorer.clusters)
    return (
        views.headline(scores, best, is_complete, asked),
        figures.layer_curves(scores, best),
        views.answer_columns(columns, best),
    )


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
