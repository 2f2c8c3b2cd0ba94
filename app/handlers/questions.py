"""Finding a question: search in a set, load a further set, take a question over into the form."""

from pathlib import Path

import gradio as gr

from app.handlers.base import Parts, told
from app.language import Translator
from app.service import Service
from app.views.base import status
from hcl_core.records import Question
from hcl_core.text import printable

_MOST_HITS = 20
_HIT_LETTERS = 110


@told("found")
def search(words: Translator, service: Service, visitor: str, set_name: str, text: str) -> Parts:
    """The best hits of ``text`` in a set; its first questions where there is no text."""
    loaded = service.sets.get(visitor, set_name)
    hits = loaded.index.search((text or "")[:500], _MOST_HITS)
    choices = [(printable(" ".join(each.text.split()))[:_HIT_LETTERS], each.id) for each in hits]
    said = words.plural("hits", len(hits)) if (text or "").strip() else words("first_of", shown=len(hits))
    counted = words("of_set", total=words.count(len(loaded.questions)))
    return {
        "hits": gr.update(choices=choices, value=None),
        "found": status(f"{said} {counted}" if hits else words("no_hits")),
    }


@told("found")
def take(words: Translator, service: Service, visitor: str, set_name: str, question_id: str | None) -> Parts:
    """The chosen question as the form shows it."""
    question = service.sets.get(visitor, set_name).find(question_id)
    if question is None:
        return {}
    return {"question": question.text} | accepted_of(question)


def accepted_of(question: Question) -> Parts:
    """One accepted answer a line."""
    return {"accepted": "\n".join(" ".join(answer.split()) for answer in question.accepted_answers)}


@told("found")
def load_file(words: Translator, service: Service, visitor: str, file: str | None) -> Parts:
    """An uploaded set becomes the chosen one."""
    if not file:
        return {}
    name = service.sets.load_file(visitor, Path(file))
    return _chosen(service, visitor, name)


@told("found")
def load_named(words: Translator, service: Service, visitor: str, name: str) -> Parts:
    """So does one that was named."""
    return _chosen(service, visitor, service.sets.load_named(visitor, name or ""))


def _chosen(service: Service, visitor: str, name: str) -> Parts:
    return {"set": gr.update(choices=service.sets.names(visitor), value=name)}
