"""What all views share: text as text, a line of progress, a message."""

from html import escape

from app.language import Translator
from hcl_core.text import printable


def shown(text: str, most: int = 120) -> str:
    """Escaped, on one line, cut where it would fill the screen."""
    line = printable(text)
    return escape(line if len(line) <= most else line[:most] + "…")


def status(text: str) -> str:
    """A line that says what is going on."""
    return f'<div class="hcl-status" role="status">{escape(printable(text))}</div>'


def progress(words: Translator, what: str, num_done: int, num_wanted: int) -> str:
    """A line of progress with its bar; ``what`` is the key of what is being done."""
    share = num_done / max(num_wanted, 1)
    text = words(
        "progress_answers",
        what=words(what),
        done=words.count(num_done),
        wanted=words.count(num_wanted),
        share=words.percent(share),
    )
    return (
        f'<div class="hcl-status" role="status">{escape(text)}'
        f'<div class="hcl-bar"><u style="width:{share:.1%}"></u></div></div>'
    )


def problem(message: str) -> str:
    """What went wrong and what to do."""
    return f'<div class="hcl-status failed" role="alert">✕ {escape(printable(message)[:1000])}</div>'
