"""One question: run it, show what is stored of it, weigh it, look at one of its layers."""

import time
from collections.abc import Iterator
from typing import Any

from app import library
from app.estimate import estimate_seconds
from app.figures.curves import layer_curves
from app.figures.river import answer_river
from app.handlers.base import Parts, told, told_while_running, weights
from app.handlers.form import make_request
from app.handlers.measures import further_measures
from app.language import Translator
from app.library import Look
from app.service import LiveEvent, Service, num_hidden_layers
from app.views.answers import answer_columns
from app.views.base import progress, status
from app.views.detail import layer_detail, prompt_box
from app.views.headline import headline
from app.views.runs import link_box
from app.views.scores import score_table
from hcl_core import pipeline
from hcl_core.errors import HclError, SettingsError
from hcl_core.records import check_scaling
from hcl_core.runs.manifest import Manifest
from hcl_core.runs.meanings import follow_meanings
from hcl_core.settings.layers import parse_layers
from hcl_core.settings.prompts import load_template
from hcl_core.settings.strategies import EARLY_EXIT, Strategy

# Seconds between two updates: a page need not follow every decode step.
INTERVAL = 0.25

# Which question of which run is on screen: run_id, question_id, whether it is under way, and the chosen layer.
Shown = dict[str, Any]


@told_while_running
def explore(
    words: Translator, service: Service, visitor: str, creativity: float, scaling: str, more: list[str], *controls: Any
) -> Iterator[Parts]:
    """Run what the controls ask for; show every wave as it comes.

    Whatever fails, what is on the page already stays on it.
    """
    request = make_request(*controls)
    check_scaling(scaling)
    if service.loaded_model() != request.model:
        yield {"status": status(words("loading_model", model=request.model[:200]))}
    shown_at, wave, has_results = 0.0, None, False
    for live in service.run(request, visitor):
        wave = live if isinstance(live.event, pipeline.WaveDone) else wave
        is_end = isinstance(live.event, pipeline.Finished)
        if is_end or time.monotonic() - shown_at > INTERVAL:
            # A wave that came too soon after the last update is shown with the next.
            parts = _parts_of(live if is_end else wave or live, creativity, scaling, more, service, words)
            yield _keep_layer(parts) if has_results else parts
            has_results = has_results or "headline" in parts
            shown_at, wave = time.monotonic(), None


def _keep_layer(parts: Parts) -> Parts:
    """A layer that is chosen while a run goes on stays chosen when the next wave comes."""
    if parts.get("shown", {}).get("live"):
        parts = {name: part for name, part in parts.items() if name not in ("shown", "link")}
    for name in ("chart", "river"):
        if name in parts:
            parts[name] = {key: part for key, part in parts[name].items() if key != "layer"}
    return {name: part for name, part in parts.items() if name != "detail"}


def _parts_of(
    live: LiveEvent, creativity: float, scaling: str, more: list[str], service: Service, words: Translator
) -> Parts:
    event, question_id = live.event, live.run.questions[0].question.id
    shown: Shown = {"run_id": live.run.manifest.run_id, "question_id": question_id, "layer": None}
    if isinstance(event, pipeline.Finished):
        results = show(live.run.look(question_id), shown, creativity, scaling, more, service, words)
        return results | {"status": status(_done(event.manifest, words))}
    if isinstance(event, pipeline.Decoding):
        return {"status": progress(words, "sampling", event.num_done, event.num_wanted)}
    num_done = event.num_present if isinstance(event, pipeline.Started) else event.num_done
    if not num_done:
        return {"status": status(words("sampling_begins"))}
    results = show(live.run.look(question_id), shown | {"live": True}, creativity, scaling, more, service, words)
    what = "going_on" if isinstance(event, pipeline.Started) else "sampling"
    return results | {"status": progress(words, what, num_done, event.num_wanted)}


def show(
    look: Look, shown: Shown, creativity: float, scaling: str, more: list[str], service: Service, words: Translator
) -> Parts:
    """Headline, chart, answers, river and numbers of one question."""
    scored = look.outcome.scored(weights(creativity), check_scaling(scaling))
    further = further_measures(look, more, service)
    meanings = follow_meanings(look.layers)
    river = answer_river(meanings, {each.exit_layer: each.num_samples for each in look.layers}, words)
    return {
        "headline": headline(scored, look.is_complete, words, asked_of(look), strategy_note(look.manifest, words)),
        "chart": layer_curves(scored, words, further) | {"layer": shown.get("layer")},
        "answers": answer_columns(look.layers, scored.best, words, meanings, shown.get("layer")),
        "river": river | {"layer": shown.get("layer")},
        "numbers": score_table(scored, words, further),
        "detail": layer_detail(look, scored, shown["layer"], words) if shown.get("layer") else "",
        "shown": shown,
        "link": link_of(shown, creativity, scaling, words),
    }


def asked_of(look: Look) -> str:
    """Question and model, for the line above the headline."""
    settings = look.manifest.settings
    question = look.stored.question.text[:200]
    return f"{question} · {settings.model} · {settings.exit_head} head · T {settings.sampling.temperature:g}"


def strategy_note(manifest: Manifest, words: Translator) -> str:
    """What an exit layer means in this run, where it is not where the answers come from."""
    name = Strategy.parse(manifest.settings.strategy).name
    return "" if name == "early_exit" else words(f"note_{name}")


def link_of(shown: Shown, creativity: float, scaling: str, words: Translator) -> str:
    """The address that opens this view again."""
    query = {"run": shown["run_id"], "question": shown["question_id"], "layer": shown.get("layer")}
    return link_box(query | balance_query(creativity, scaling), words)


def balance_query(creativity: float, scaling: str) -> dict[str, object]:
    """Weights and scaling for an address; the usual ones are left out."""
    return {
        "balance": None if creativity == 50 else f"{creativity:g}",
        "scaling": None if scaling == "min_max" else scaling,
    }


def resolve(service: Service, visitor: str, shown: Shown) -> Look:
    """What ``shown`` names: under way in memory, or stored.

    Raises:
        RunFolderError: It is neither.
    """
    if shown.get("live"):
        live = service.live_run(visitor)
        if live.manifest.run_id == shown["run_id"]:
            return live.look(shown["question_id"])
    return library.look_at(library.find_run(shown["run_id"]), shown["question_id"])


@told("status")
def show_stored(
    words: Translator, service: Service, run_id: str, question_id: str, creativity: float, scaling: str, more: list[str]
) -> Parts:
    """A question of a stored run, at once and without a model."""
    look = library.look_at(library.find_run(run_id), question_id)
    shown = {"run_id": run_id, "question_id": question_id, "layer": None}
    parts = show(look, shown, creativity, scaling, more, service, words)
    return parts | {"status": status(words("stored_answers"))}


@told("status")
def show_question(
    words: Translator, service: Service, run_id: str, question: str, creativity: float, scaling: str, more: list[str]
) -> Parts:
    """The same, of the question with that text."""
    question_id = library.question_id_of(library.find_run(run_id), question)
    return show_stored(words, service, run_id, question_id or "", creativity, scaling, more)


@told("status")
def rebalance(
    words: Translator,
    service: Service,
    visitor: str,
    shown: Shown | None,
    creativity: float,
    scaling: str,
    more: list[str],
) -> Parts:
    """What is shown, with other weights, scaling or curves; no model and no new draws."""
    if not shown:
        return {}
    look = resolve(service, visitor, shown)
    scored = look.outcome.scored(weights(creativity), check_scaling(scaling))
    further = further_measures(look, more, service)
    return {
        "headline": headline(scored, look.is_complete, words, asked_of(look), strategy_note(look.manifest, words)),
        "chart": layer_curves(scored, words, further) | {"layer": shown.get("layer")},
        "numbers": score_table(scored, words, further),
        "link": link_of(shown, creativity, scaling, words),
    }


@told("status")
def choose_layer(
    words: Translator, service: Service, visitor: str, shown: Shown | None, layer: Any, creativity: float, scaling: str
) -> Parts:
    """Everything about one layer of what is shown."""
    if not shown:
        return {}
    look = resolve(service, visitor, shown)
    scored = look.outcome.scored(weights(creativity), check_scaling(scaling))
    if layer not in look.manifest.settings.exit_layers:
        raise SettingsError(f"this run has no such exit layer: {str(layer)[:20]}")
    chosen = shown | {"layer": int(layer)}
    return {
        "detail": layer_detail(look, scored, int(layer), words),
        "shown": chosen,
        "link": link_of(chosen, creativity, scaling, words),
    }


def _done(manifest: Manifest, words: Translator) -> str:
    settings = manifest.settings
    return words(
        "run_done",
        model=settings.model,
        device=manifest.device,
        layers=len(settings.exit_layers),
        answers=settings.num_samples,
        seconds=words.number(manifest.decode_seconds, 1),
        run=manifest.run_id,
    )


def preview(words: Translator, service: Service, model: str, question: str, template: str) -> Parts:
    """The exact prompt that the form would send."""
    try:
        prompt = service.exact_prompt(model or "", question or "", load_template(template))
    except HclError:
        prompt = None
    return {"prompt": prompt_box(prompt, words)}


@told("estimate")
def estimate(words: Translator, service: Service, *controls: Any) -> Parts:
    """How long the form's run would take, or what is wrong with the form."""
    try:
        request = make_request(*controls)
    except HclError as error:
        return {"estimate": status(str(error))}
    depth = num_hidden_layers(request.model)
    layers = parse_layers(request.layers, depth) if depth else ()
    asked = words("asked_for", layers=len(layers) or "?", answers=words.count(request.num_samples))
    runs = library.stored_runs(with_own=not service.is_public)
    is_known = layers and Strategy.parse(request.strategy) == EARLY_EXIT
    span = estimate_seconds(request, layers, [run.manifest for run in runs]) if is_known else None
    if span is None:
        return {"estimate": status(f"{asked}. {words('no_estimate')}")}
    low, high = (words.number(seconds, 0 if seconds >= 10 else 1) for seconds in span)
    loading = "" if service.loaded_model() == request.model else " " + words("plus_loading")
    return {"estimate": status(words("estimate", asked=asked, low=low, high=high) + loading)}


def stop(words: Translator, service: Service, visitor: str) -> Parts:
    """Ask the visitor's run to end."""
    service.stop(visitor)
    return {"status": status(words("stopping"))}


def run_choices(service: Service, question: str) -> list[tuple[str, str]]:
    """Label and id of the stored runs that have asked this question."""
    wanted = question.strip()
    runs = [run for run in service.stored_runs() if library.question_id_of(run, wanted)]
    return [(run.describe(), run.manifest.run_id) for run in runs]
