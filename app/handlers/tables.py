"""Tables under heads in the visitor's language: Gradio translates labels, not these."""

import gradio as gr

from app.handlers.base import Parts
from app.language import Translator
from app.views import questions, runs


def headed_questions(words: Translator, given: Parts) -> Parts:
    """``given`` with its rows of questions as the table takes them."""
    return _headed(words, given, questions.COLUMNS)


def headed_runs(words: Translator, given: Parts) -> Parts:
    """``given`` with its rows of runs as the table takes them."""
    return _headed(words, given, runs.COLUMNS)


def _headed(words: Translator, given: Parts, columns: tuple[str, ...]) -> Parts:
    if "rows" not in given:
        return given
    heads = [words(f"column_{name}") for name in columns]
    return given | {"rows": gr.update(value={"headers": heads, "data": given["rows"]})}
