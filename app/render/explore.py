"""One question on the tab Explore."""

from collections.abc import Hashable, Sequence
from threading import Lock

import gradio as gr
from cachetools import LRUCache, cached

from app import library
from app.figures.curves import layer_curves
from app.figures.river import answer_river
from app.handlers.asked import asked_question, asked_settings
from app.handlers.explore import Estimate, RunUpdate
from app.handlers.form import LAYER_NUMBERS, default_layers, ideas_of
from app.handlers.links import Link
from app.handlers.share import file_name
from app.handlers.shown_question import OpenedQuestion, QuestionResult
from app.language import Translator
from app.messages import Message, Problem
from app.render import Parts
from app.run_names import name_of
from app.views.answers import answer_columns
from app.views.ask import idea_chips
from app.views.base import note, sentence, status_line
from app.views.depth import depth_player
from app.views.detail import layer_detail
from app.views.headline import headline, run_note
from app.views.runs import link_box
from app.views.scores import score_table
from app.views.share import share_box
from app.views.stale import stale_notes
from app.views.verdicts import own_note, verdict_bar
from hcl_core.folders import runs_folder

# Parts of the tab that show a question, and those that change with it in the form.
QUESTION_PARTS = (
    "headline", "depth", "chart", "verdicts", "answers", "river", "numbers", "detail", "link", "share", "shown",
)  # fmt: skip
OPENED_PARTS = (*QUESTION_PARTS, "question", "accepted", "stored_run")
# Stored questions whose parts are in memory: about 150 kB each.
_MOST_KEPT = 1_024
_parts_lock = Lock()


def question_parts(result: QuestionResult, words: Translator) -> Parts:
    """Everything that is known of a question; made once for all who look at the same stored one."""
    is_for_all = result.view.version is not None and not result.view.own.given
    return dict(_kept(result, words)) if is_for_all else _question_parts(result, words)


def keep_parts(result: QuestionResult, words: Translator, parts: Parts) -> None:
    """Keep what was drawn elsewhere of a stored question, for all who look at it."""
    with _parts_lock:
        _kept.cache[_same_parts(result, words)] = parts


def _same_parts(result: QuestionResult, words: Translator) -> Hashable:
    title = library.title_of(result.shown.run_id, runs_folder())
    return result.view.version, result.shown, result.balance, title, words.language


@cached(LRUCache(_MOST_KEPT), key=_same_parts, lock=_parts_lock)
def _kept(result: QuestionResult, words: Translator) -> Parts:
    return _question_parts(result, words)


def _question_parts(result: QuestionResult, words: Translator) -> Parts:
    layers, layer = result.view.layers, result.shown.layer
    return {
        **weighed_parts(result, words),
        "answers": answer_columns(layers, result.scored.best, words, result.view.meanings, layer),
        "river": answer_river(result.view.meanings, layers, words) | {"layer": layer},
        "verdicts": verdict_bar(result.view, words),
        **layer_parts(result, words),
    }


def weighed_parts(result: QuestionResult, words: Translator) -> Parts:
    """What depends on the balance alone."""
    view, scored = result.view, result.scored
    asked = _asked(result, words)
    note = words.sentences((own_note(view, words), run_note(view.manifest, view.num_bad_parts, words)))
    return {
        "headline": _stale(result, words) + headline(scored, view.is_complete, words, asked, note),
        "depth": _depth(result, words),
        "chart": layer_curves(scored, words, result.further) | {"layer": result.shown.layer},
        "numbers": score_table(scored, words, result.further),
        "link": _link(result, words),
        "share": _share(result, words),
    }


def layer_parts(result: QuestionResult, words: Translator) -> Parts:
    """What depends on the chosen layer alone."""
    layer = result.shown.layer
    detail = "" if layer is None else layer_detail(result.view, result.scored, layer, words)
    return {"detail": detail, "shown": result.shown, "link": _link(result, words)}


def _stale(result: QuestionResult, words: Translator) -> str:
    view, shown = result.view, result.shown
    question = view.stored.question
    asked = asked_settings(view.manifest) | asked_question(question)
    return stale_notes([shown.run_id, shown.question_id], question.text, words, asked, not shown.is_live)


def _asked(result: QuestionResult, words: Translator) -> str:
    """Question and run, for the line above the headline."""
    return f"{result.view.stored.question.text[:200]} · {name_of(result.view.manifest, words)}"


def _depth(result: QuestionResult, words: Translator) -> dict[str, object]:
    """The depth player; what is still under way has no address."""
    shown, view = result.shown, result.view
    query = None if shown.is_live else _query(result)
    player = depth_player(view, result.scored, view.meanings, words, shown.run_id, query)
    return player | {"layer": shown.layer}


def _link(result: QuestionResult, words: Translator) -> str:
    return link_box(_query(result), words)


def _query(result: QuestionResult) -> dict[str, object]:
    """Parameters of the address that opens this view again."""
    shown = result.shown
    return Link("explore", shown.run_id, shown.question_id, shown.layer, result.balance).query()


def _share(result: QuestionResult, words: Translator) -> str:
    file = file_name(result.shown.run_id, result.shown.question_id, "scores.csv")
    return share_box(result.view, result.scored, result.balance, file, words)


def stored_parts(result: QuestionResult, words: Translator) -> Parts:
    """A question of a stored run, and that it is stored."""
    return question_parts(result, words) | {"status": status_line(Message("stored_answers"), words)}


def update_parts(update: RunUpdate, words: Translator) -> Parts:
    """A step of a run; a layer that the visitor chose meanwhile stays chosen."""
    parts = question_parts(update.result, words) if update.result else {}
    if update.result and not update.is_first:
        left_out = ("detail", "shown", "link") if update.result.shown.is_live else ("detail",)
        parts = {name: part for name, part in parts.items() if name not in left_out}
        for name in ("depth", "chart", "river"):
            parts[name] = {key: part for key, part in parts[name].items() if key != "layer"}
    return parts | {"status": status_line(update.status, words)}


def opened_parts(opened: OpenedQuestion, words: Translator) -> Parts:
    """A question, in the form too."""
    run_id = opened.result.shown.run_id
    return {
        **question_parts(opened.result, words),
        **asked_question(opened.result.view.stored.question),
        "stored_run": stored_choice(opened.runs, run_id),
    }


def depth_parts(num_hidden_layers: int | None) -> Parts:
    """The form's layers for a model so deep: the later half; where that is not known, the run says what it lacks."""
    limits: Parts = {name: gr.update(maximum=num_hidden_layers) for name in LAYER_NUMBERS}
    return limits | {name: limits[name] | {"value": layer} for name, layer in default_layers(num_hidden_layers).items()}


def run_choice(runs: Sequence[tuple[str, str]], run_id: str | None) -> dict[str, object]:
    """The drop-down of stored runs; nothing is chosen where ``run_id`` is not among them."""
    is_listed = any(each == run_id for _, each in runs)
    update: dict[str, object] = gr.update(choices=list(runs), value=run_id if is_listed else None)
    return update


def stored_choice(runs: Sequence[tuple[str, str]], run_id: str | None) -> dict[str, object]:
    """The same beside a result: where no run is stored, there is nothing to choose."""
    return run_choice(runs, run_id) | {"visible": bool(runs)}


def idea_parts(accepted: str | None, words: Translator) -> Parts:
    """The lines of the accepted answers as chips."""
    return {"ideas": idea_chips(ideas_of(accepted or ""), words)}


def estimate_text(estimate: Estimate | Problem, words: Translator) -> str:
    """How long a run would take, or what is wrong with the form."""
    if isinstance(estimate, Problem):
        return note(words.error(estimate.text))
    asked = words("asked_for", layers=estimate.num_layers or "?", answers=words.count(estimate.num_samples))
    further = " " + words("open_question") if estimate.is_open else ""
    if estimate.on_model is not None:
        further += " " + sentence(estimate.on_model, words)
    if (foretold := estimate.foretold) is None:
        return note(f"{asked}. {words('no_estimate')}{further}")
    low, high = (words.number(seconds, 0 if seconds >= 10 else 1) for seconds in (foretold.low, foretold.high))
    loading = " " + words("plus_loading") if estimate.needs_loading and estimate.on_model is None else ""
    key = "estimate" if foretold.is_timed else "estimate_untimed"
    return note(words(key, asked=asked, low=low, high=high) + loading + further)
