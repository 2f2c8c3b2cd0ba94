"""The result as a sentence, how sure it is, and what it does not say."""

from collections.abc import Sequence
from html import escape

from app.language import Words
from app.library import Scored
from hcl_core.text import printable


def welcome(words: Words) -> str:
    """What stands there before any result."""
    return f'<div class="hcl-empty"><h2>{words("welcome_title")}</h2><p>{words("welcome_text")}</p></div>'


def headline(scored: Scored, is_complete: bool, words: Words, asked: str = "", note: str = "") -> str:
    """The result.

    Args:
        scored: Of all layers.
        is_complete: Whether all answers are in.
        words: The page's.
        asked: Question and model: the form may say something else by now.
        note: What has to be known to read the result; ours.
    """
    partial = "" if is_complete else f' <b class="hcl-partial">{words("so_far")}</b>'
    about = f'<p class="hcl-asked" dir="auto">{escape(printable(asked))}</p>' if asked else ""
    said = f"<h2>{sentence(scored, words)}</h2><p>{_detail(scored, words)}{partial}</p>"
    below = f'<p class="hcl-note">{escape(note)}</p>' if note else ""
    return f'<div class="hcl-headline">{about}{said}{below}</div>'


def spoken_layers(layers: Sequence[int], words: Words) -> str:
    """``28 to 30`` or ``24, 27 and 30``."""
    is_run = len(layers) > 2 and len({after - before for before, after in zip(layers, layers[1:], strict=False)}) == 1
    if is_run:
        return words("range", low=layers[0], high=layers[-1])
    return words.listed([str(layer) for layer in layers])


def sentence(scored: Scored, words: Words) -> str:
    """Which layer balances best, or that none does."""
    if scored.best is None:
        return words("nothing_right")
    if scored.sure.best.kind == "none":
        return words("no_clear_best")
    tied = tuple(sorted({scored.best, *scored.sure.best.best_set}))
    if len(tied) > 1:
        return words("tied_best", layers=spoken_layers(tied, words))
    return words("one_best", layer=scored.best, achieved=_achieved(scored, words))


def _detail(scored: Scored, words: Words) -> str:
    if scored.best is None:
        return words("nothing_to_balance")
    share = next(each.p_optimal for each in scored.sure.layers if each.exit_layer == scored.best)
    if len(scored.scores) == 1:
        return words("only_layer")
    tied = {scored.best, *scored.sure.best.best_set}
    if len(tied) == 1:
        return words("highest_in", share=words.percent(share))
    lead = words("leads_in", layer=scored.best, share=words.percent(share), achieved=_achieved(scored, words))
    if scored.sure.best.kind == "none":
        lead += " " + words("cannot_be_told_apart", number=len(tied), all=len(scored.scores))
    return lead


def _achieved(scored: Scored, words: Words) -> str:
    score = next(each for each in scored.scores if each.exit_layer == scored.best)
    right = words.percent(1 - score.hallucination_rate)
    ideas = score.creativity_raw
    if ideas == 1:
        return words("achieved_one", right=right)
    digits = 0 if float(ideas).is_integer() else 1
    return words("achieved_many", right=right, ideas=words.number(ideas, digits))
