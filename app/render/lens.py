"""The token lens on its tab."""

from app.figures.lens import lens_map
from app.handlers.lens import LensCell, LensResult, LensUpdate
from app.language import Translator
from app.messages import Message
from app.render import Parts
from app.views.base import status_line
from app.views.lens import lens_headline, top_table


def lens_parts(result: LensResult, words: Translator) -> Parts:
    """Sentence and heat map."""
    return {
        "headline": lens_headline(result.table, words),
        "chart": lens_map(result.table, result.shade, words),
        "cell": "",
    }


def stored_parts(result: LensResult, words: Translator) -> Parts:
    """A stored lens and its prompt."""
    return lens_parts(result, words) | {
        "status": status_line(Message("stored_lens"), words),
        "shown": result.shown,
        "prompt": result.table.prompt,
    }


def update_parts(update: LensUpdate, words: Translator) -> Parts:
    """A step of reading a prompt."""
    parts = lens_parts(update.result, words) | {"shown": update.result.shown} if update.result else {}
    return parts | {"status": status_line(update.status, words)}


def cell_parts(cell: LensCell, words: Translator) -> Parts:
    """The most probable tokens of a cell."""
    return {"cell": top_table(cell.table, cell.layer - 1, cell.position, words)}
