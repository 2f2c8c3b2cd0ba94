"""The result as a sentence, how sure it is, and what it does not say."""

from collections.abc import Sequence
from html import escape

from app.language import Translator
from app.outcomes import Scored
from hcl_core.runs.manifest import Manifest
from hcl_core.settings.strategies import Strategy
from hcl_core.text import printable


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
    result = f"<h2>{sentence(scored, words)}</h2><p>{_detail(scored, words)}{partial}</p>"
    below = f'<p class="hcl-note">{escape(note)}</p>' if note else ""
    return f'<div class="hcl-headline">{about}{result}{below}</div>'


def strategy_note(manifest: Manifest, words: Translator) -> str:
    """What an exit layer means in this run, where it is not where the answers come from."""
    name = Strategy.parse(manifest.settings.strategy).name
    return "" if name == "early_exit" else words(f"note_{name}")


def layers_as_text(layers: Sequence[int], words: Translator) -> str:
    """``28 to 30`` or ``24, 27 and 30``."""
    is_run = len(layers) > 2 and len({after - before for before, after in zip(layers, layers[1:], strict=False)}) == 1
    if is_run:
        return words("range", low=layers[0], high=layers[-1])
    return words.listed([str(layer) for layer in layers])


def sentence(scored: Scored, words: Translator) -> str:
    """Which layer balances best, or that none does."""
    if scored.best is None:
        return words("nothing_right")
    if scored.uncertainty.best.kind == "none":
        return words("no_clear_best")
    tied = tuple(sorted({scored.best, *scored.uncertainty.best.best_set}))
    if len(tied) > 1:
        return words("tied_best", layers=layers_as_text(tied, words))
    return words("one_best", layer=scored.best, achieved=_achieved(scored, words))


def _detail(scored: Scored, words: Translator) -> str:
    if scored.best is None:
        return words("nothing_to_balance")
    share = next(each.p_optimal for each in scored.uncertainty.layers if each.exit_layer == scored.best)
    if len(scored.scores) == 1:
        return words("only_layer")
    tied = {scored.best, *scored.uncertainty.best.best_set}
    if len(tied) == 1:
        return words("highest_in", share=words.percent(share))
    lead = words("leads_in", layer=scored.best, share=words.percent(share), achieved=_achieved(scored, words))
    if scored.uncertainty.best.kind == "none":
        lead += " " + words("cannot_be_told_apart", number=len(tied), all=len(scored.scores))
    return lead


def _achieved(scored: Scored, words: Translator) -> str:
    score = next(each for each in scored.scores if each.exit_layer == scored.best)
    ideas = words.ideas(score.creativity_raw)
    return words("achieved", right=words.percent(1 - score.hallucination_rate), ideas=ideas)
