"""What a search found, in the form of the tab Explore."""

import gradio as gr

from app.handlers.questions import Hits
from app.language import Translator
from app.messages import Message
from app.render import Parts
from app.sets import LoadedSet
from app.views.base import note, status_line
from app.views.loading import report_line
from hcl_core.text import printable

_LABEL_LETTERS = 110


def hit_parts(hits: Hits, words: Translator) -> Parts:
    """The questions to choose from, and how many there are."""
    found = hits.questions
    choices = [(printable(" ".join(each.text.split()))[:_LABEL_LETTERS], each.id) for each in found]
    counted = words.plural("hits", len(found)) if hits.is_search else words("first_of", shown=len(found))
    of_set = words("of_set", total=words.count(hits.num_questions))
    return {
        "hits": gr.update(choices=choices, value=None),
        "search_status": note(f"{counted} {of_set}") if found else status_line(Message("no_hits"), words),
    }


def set_parts(names: list[str], loaded: LoadedSet, words: Translator) -> Parts:
    """A question set that was loaded becomes the chosen one; a line says what was read and what was not."""
    report = note(report_line(loaded.report, words)) if loaded.report else ""
    return {"set": gr.update(choices=names, value=loaded.name), "set_report": report}
