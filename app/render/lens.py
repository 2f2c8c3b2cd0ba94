"""The token lens on its tab."""

from app.figures.lens import lens_map
from app.handlers.lens import MOST_TOKENS, LensCell, LensResult, LensUpdate
from app.handlers.links import LensLink, Link
from app.language import Translator
from app.messages import Message
from app.render import Parts
from app.views.base import status_line
from app.views.lens import colour_scale, lens_headline, no_cell, top_table
from app.views.program_code import LensCall
from app.views.runs import link_box
from app.views.share import lens_programs
from hcl_core.models.catalogue import DEFAULT_MODEL


def lens_parts(result: LensResult, words: Translator) -> Parts:
    """Sentence, colour scale and heat map, in which no cell is chosen yet."""
    return {
        "headline": lens_headline(result.table, words),
        "scale": colour_scale(result.table, result.shade, words),
        "chart": lens_map(result.table, result.shade, words) | {"layer": None},
        "cell": no_cell(words),
        "chosen": None,
        "link": _link(result, words),
        "programs": lens_programs(_call(result), words),
    }


def recoloured_parts(result: LensResult, chosen: tuple[int, int] | None, words: Translator) -> Parts:
    """The same lens in the colours of another measure; the chosen cell, its layer and position, stays chosen."""
    parts = lens_parts(result, words)
    del parts["chart"]["layer"]
    return {name: parts[name] for name in ("scale", "chart")} | {"link": _link(result, words, chosen)}


def _link(result: LensResult, words: Translator, cell: tuple[int, int] | None = None) -> str:
    shown = result.shown
    of_stored = LensLink(shown.question_id, shown.exit_head, result.shade, cell)
    asked = shown.prompt, shown.model, shown.num_tokens, shown.whole, shown.site
    own = LensLink(None, shown.exit_head, result.shade, cell, *asked)
    return link_box(Link("lens", lens=own if shown.is_live else of_stored).query(), words)


def _call(result: LensResult) -> LensCall:
    """What gives the same lens from the endpoint; the stored ones are of the default model's greedy answers."""
    shown = result.shown
    if shown.is_live:
        return LensCall(shown.prompt or "", shown.model, shown.exit_head, shown.num_tokens, shown.whole)
    num_tokens = min(len(result.table.token_texts), MOST_TOKENS)
    return LensCall(result.table.prompt, DEFAULT_MODEL.name, shown.exit_head, num_tokens, False)


def stored_parts(result: LensResult, words: Translator) -> Parts:
    """A stored lens and its prompt."""
    return lens_parts(result, words) | {
        "status": status_line(Message("stored_lens"), words),
        "shown": result.shown,
        "prompt": result.table.prompt,
    }


def update_parts(update: LensUpdate, words: Translator) -> Parts:
    """A step of reading a prompt."""
    parts: Parts = {"status": status_line(update.status, words)}
    if update.result:  # of a prompt of one's own: the name of a stored one would be another's
        parts |= lens_parts(update.result, words) | {"shown": update.result.shown, "stored": None}
    return parts


def cell_parts(cell: LensCell, words: Translator) -> Parts:
    """The most probable tokens of a cell."""
    place = (cell.layer, cell.position)
    return {
        "cell": top_table(cell.of.table, cell.layer - 1, cell.position, words),
        "chosen": place,
        "link": _link(cell.of, words, place),
    }
