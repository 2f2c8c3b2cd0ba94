"""What a search found, and a set that was loaded, on the tab Explore."""

import gradio as gr

from app.handlers.questions import Hits
from app.language import Translator
from app.render import Parts
from app.sets import LoadedSet
from app.views.ask import question_list
from app.views.base import note
from app.views.loading import report_line


def hit_parts(hits: Hits, words: Translator) -> Parts:
    """The questions to choose from, and how many there are."""
    of_set = words("of_set", total=words.count(hits.num_questions))
    if not hits.questions:
        counted = words("no_hits", total=words.count(hits.num_questions))
    elif hits.is_search:
        counted = f"{words.plural('hits', len(hits.questions))} {of_set}"
    else:
        counted = f"{words('first_of', shown=len(hits.questions))} {of_set}"
    return {"found": question_list(hits.questions, counted, words)}


def set_parts(names: list[str], loaded: LoadedSet, words: Translator) -> Parts:
    """A question set that was loaded becomes the chosen one; a line says what was read and what was not."""
    report = note(report_line(loaded.report, words)) if loaded.report else ""
    return {"set": gr.update(choices=names, value=loaded.name), "set_report": report}
