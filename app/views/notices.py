"""What a link names and the page does not have, and what a link has filled in: above and in the place of results."""

from collections.abc import Sequence
from html import escape

from app.language import Translator
from app.messages import Message, Problem
from app.views.base import sentence, shown, without_paths
from hcl_core.text import printable


def link_notices(notices: Sequence[Message | Problem], words: Translator) -> str:
    """What was named and is not here, and what is instead; empty where everything is."""
    if not notices:
        return ""
    texts = [
        words.error(without_paths(each.text)) if isinstance(each, Problem) else sentence(each, words)
        for each in notices
    ]
    lines = "".join(f"<li>{escape(printable(text)[:600])}</li>" for text in texts)
    return f'<div class="hcl-notices" role="status"><b>{words("link_title")}</b><ul>{lines}</ul></div>'


def prefilled_form(question: str, words: Translator) -> str:
    """What stands in the place of results while a form that a link has filled in has not run."""
    text = words("prefilled_question", question=shown(question, 300)) if question else words("prefilled_settings")
    return _prefilled(text, words)


def prefilled_prompt(prompt: str, words: Translator) -> str:
    """The same of a token lens."""
    return _prefilled(words("prefilled_prompt", prompt=shown(prompt, 300)), words)


def _prefilled(text: str, words: Translator) -> str:
    return f'<div class="hcl-empty hcl-prefilled"><h2>{words("prefilled_title")}</h2><p>{text}</p></div>'
