"""The result as a sentence, how sure it is, and what it does not say."""

from collections.abc import Sequence
from html import escape

from app.language import Translator
from app.messages import note_on_head
from app.outcomes import Scored
from app.terms import mark
from app.views.base import sentence as plain
from hcl_core.runs.manifest import Manifest
from hcl_core.scores.best_layers import BestLayers
from hcl_core.text import printable

# A score that is this much above what is expected of its layer is said to be too high.
_WORTH_SAYING = 0.01


def welcome(words: Translator) -> str:
    """What stands there before any result."""
    return f'<div class="hcl-empty"><h2>{words("welcome_title")}</h2><p>{words("welcome_text")}</p></div>'


def headline(scored: Scored, is_complete: bool, words: Translator, asked: str = "", note: str = "") -> str:
    """The result.

    Args:
        scored: Of all layers.
        is_complete: Whether all answers are in.
        words: The page's.
        asked: Question and model: the form may say something else by now.
        note: A sentence of the page that the result cannot be read without.
    """
    partial = "" if is_complete else f' <b class="hcl-partial">{words("so_far")}</b>'
    about = f'<p class="hcl-asked" dir="auto">{escape(printable(asked))}</p>' if asked else ""
    result = (
        f"<h2>{sentence(scored, words)}{mark(_measured(scored), words)}</h2><p>{_detail(scored, words)}{partial}</p>"
    )
    below = f'<p class="hcl-note">{escape(note)}</p>' if note else ""
    return f'<div class="hcl-headline">{about}{result}{below}</div>'


def strategy_note(manifest: Manifest, words: Translator) -> str:
    """What an exit layer means in this run, where it is not where the answers come from."""
    name = manifest.strategy.name
    return "" if name == "early_exit" else words(f"note_{name}")


def run_note(manifest: Manifest, num_bad_parts: int, words: Translator) -> str:
    """What the numbers of a run cannot be read without."""
    notes = (left_out_note(num_bad_parts, words), strategy_note(manifest, words), head_note(manifest, words))
    return words.sentences(notes)


def head_note(manifest: Manifest, words: Translator) -> str:
    """Which exit head read the layers, where none was fitted for the weights."""
    note = note_on_head(manifest.head_choice)
    return plain(note, words) + words("full_stop") if note else ""


def left_out_note(num_bad_parts: int, words: Translator) -> str:
    """That damaged parts of a stored run are left out; empty where there are none."""
    return words.plural("parts_left_out", num_bad_parts) if num_bad_parts else ""


def layers_as_text(layers: Sequence[int], words: Translator) -> str:
    """``28 to 30`` or ``24, 27 and 30``."""
    is_run = len(layers) > 2 and len({after - before for before, after in zip(layers, layers[1:], strict=False)}) == 1
    if is_run:
        return words("range", low=layers[0], high=layers[-1])
    return words.listed([str(layer) for layer in layers])


def sentence(scored: Scored, words: Translator) -> str:
    """Which layer balances best, or which set of layers holds the best one."""
    best = scored.uncertainty.best
    if best.optimal_layer is None:
        return words(_nothing_best(scored))
    if not scored.ranks_layers:
        return words("speed_alone_open" if scored.is_open else "speed_alone", right=words.percent(_mean_right(scored)))
    layers = layers_as_text(best.best_set, words)
    achieved = _achieved(scored, words)
    if _are_equal(best):
        return words("equal_best", layers=layers_as_text(best.equal_layers, words), achieved=achieved)
    if best.kind == "clear":
        return words("one_best" if best.has_creativity else "one_right", layer=best.optimal_layer, achieved=achieved)
    if best.kind == "tied":
        return words("tied_best" if best.has_creativity else "tied_right", layers=layers)
    return words("no_clear_best")


def _detail(scored: Scored, words: Translator) -> str:
    """How sure that is; its shares are those of the bars under the curves."""
    best = scored.uncertainty.best
    if best.optimal_layer is None:
        return words(f"why_{_nothing_best(scored)}")
    if not scored.ranks_layers:
        return ""  # the note says why
    parts = [_how_sure(scored, words) + mark("p_optimal", words)]
    score = next(score for score in scored.scores if score.exit_layer == best.optimal_layer)
    if best.has_creativity and score.hcb_score - best.expected_hcb >= _WORTH_SAYING:
        values = {"score": words.number(score.hcb_score), "expected": words.number(best.expected_hcb)}
        parts.append(words("chosen_for_its_score", **values) + mark("hcb_score", words))
    if not best.has_creativity:
        no_creativity = words("no_creativity_one" if scored.num_questions == 1 else "no_creativity_set")
        parts.append(no_creativity + mark("creativity", words))
    if scored.is_unscaled:
        parts.append(words("one_layer_unscaled"))
    if scored.is_open:
        parts.append(words("open_note") + mark("token_plausibility", words))
    return words.sentences(parts)


def _measured(scored: Scored) -> str:
    """What the sentence is about, as a name that the glossary has."""
    if not scored.ranks_layers:
        return "strategy"
    if scored.uncertainty.best.has_creativity:
        return "hcb_score"
    return "token_plausibility" if scored.is_open else "hallucination_rate"


def _nothing_best(scored: Scored) -> str:
    """Why no layer is the best, as a key of the words."""
    if not scored.is_open:
        return "nothing_right"
    has_attempts = any(score.num_attempted > 0 for score in scored.scores)
    return "plausibility_unknown" if has_attempts else "nothing_attempted"


def _how_sure(scored: Scored, words: Translator) -> str:
    best = scored.uncertainty.best
    if len(scored.scores) == 1:
        return words("only_layer")
    shares = {"layer": best.optimal_layer, "share": words.percent(best.p_best)}
    together = words.percent(best.probability)
    if _are_equal(best):
        return words("equal_and_cheapest", layer=best.optimal_layer, together=together)
    if best.kind == "clear":
        return words("best_with", share=shares["share"])
    achieved = _achieved(scored, words)
    if best.equal_layers:
        layers = layers_as_text(best.equal_layers, words)
        leads = words("equal_lead", layers=layers, share=shares["share"], achieved=achieved)
    else:
        leads = words("leads_with", **shares, achieved=achieved)
    if best.kind == "tied":
        return words.sentences((words("together_hold", together=together), leads))
    numbers = {"number": len(best.best_set), "all": best.num_layers, "together": together}
    return words.sentences((leads, words("needed_to_hold", **numbers)))


def _mean_right(scored: Scored) -> float:
    """Share of right answers over all layers."""
    return sum(score.num_correct for score in scored.scores) / sum(score.num_samples for score in scored.scores)


def _are_equal(best: BestLayers) -> bool:
    """Whether the layers that may be the best are exactly equal."""
    return bool(best.equal_layers) and set(best.best_set) <= set(best.equal_layers)


def _achieved(scored: Scored, words: Translator) -> str:
    score = next(each for each in scored.scores if each.exit_layer == scored.best)
    if scored.is_open:
        plausible = words.percent(score.token_plausibility)
        return words("achieved_open", plausible=plausible, ideas=words.ideas(score.creativity_raw, is_open=True))
    right = words.percent(1 - score.hallucination_rate)
    if not scored.uncertainty.best.has_creativity:
        return words("achieved_right", right=right)
    return words("achieved", right=right, ideas=words.ideas(score.creativity_raw))
