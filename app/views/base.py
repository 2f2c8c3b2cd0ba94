"""What all views share: text as text, and what is going on as one line."""

import math
import sys
from html import escape
from pathlib import Path

from app.language import Translator
from app.messages import FitStep, Message, Progress, Status
from app.terms import mark
from hcl_core.folders import PROGRAM, precomputed_folder, runs_folder
from hcl_core.models.head_records import EXIT_HEAD_NAMES
from hcl_core.text import printable


def shown(text: str, most: int = 120) -> str:
    """Escaped, on one line, cut where it would fill the screen."""
    line = printable(text)
    return escape(line if len(line) <= most else line[:most] + "…")


def setting_name(name: str, words: Translator) -> str:
    """What a setting is called, and the mark that explains it."""
    return words(f"setting_{name}") + mark(name, words)


def setting(name: str, value: object, words: Translator, most: int = 120) -> str:
    """The value of a setting, escaped; a head in words, with its name in files and commands in brackets."""
    if name == "exit_head" and value in EXIT_HEAD_NAMES[1:]:
        return f"{words(f'head_{value}')} ({value})"
    return shown(words.shortest(value) if isinstance(value, float) else str(value), most)


def sentence(message: Message, words: Translator) -> str:
    """The message in the visitor's language; not escaped."""
    values = {
        name: words.number(value, 1) if isinstance(value, float) else value for name, value in message.values.items()
    }
    return words(message.key, **values)


def status_line(status: Status, words: Translator) -> str:
    """What is going on, or what went wrong."""
    if isinstance(status, Message):
        return note(sentence(status, words))
    if isinstance(status, FitStep):
        return _fit_step(status, words)
    return _progress(status, words) if isinstance(status, Progress) else problem(status.text, words)


def note(text: str) -> str:
    """A line that says what is going on."""
    return f'<div class="hcl-status" role="status">{escape(printable(text))}</div>'


def problem(text: str, words: Translator) -> str:
    """What went wrong and what to do, without where on this machine the runs are."""
    told = words.error(without_paths(text))
    return f'<div class="hcl-status failed" role="alert">✕ {escape(printable(told)[:1000])}</div>'


def without_paths(text: str) -> str:
    """``text`` without where on this machine the program and its runs are, and whose account it is."""
    for folder in (runs_folder(), precomputed_folder(), PROGRAM, Path(sys.prefix)):
        for path in (folder.absolute(), folder):
            text = text.replace(f"{path}/", "")
    return text.replace(f"{Path.home()}/", "~/")


def _progress(progress: Progress, words: Translator) -> str:
    """A line of progress with its bar."""
    share = progress.num_done / max(progress.num_wanted, 1)
    text = words(
        "progress_answers",
        what=words(progress.stage),
        done=words.count(progress.num_done),
        wanted=words.count(progress.num_wanted),
        share=words.percent(share),
    )
    if progress.seconds_left is not None:
        text += " · " + words("seconds_left", seconds=words.count(math.ceil(progress.seconds_left)))
    if progress.num_beside:
        text += " · " + words.plural("runs_beside", progress.num_beside)
    return _with_bar(text, share)


def _fit_step(step: FitStep, words: Translator) -> str:
    """A line of the progress of a fit with its bar."""
    progress = step.progress
    share = progress.num_done / max(progress.num_wanted, 1)
    text = words(f"fit_{progress.phase}", done=words.count(progress.num_done), wanted=words.count(progress.num_wanted))
    if step.seconds_left is not None:
        text += " · " + words("seconds_left", seconds=words.count(math.ceil(step.seconds_left)))
    return _with_bar(text, share)


def _with_bar(text: str, share: float) -> str:
    return (
        f'<div class="hcl-status" role="status">{escape(text)}'
        f'<div class="hcl-bar"><u style="width:{share:.1%}"></u></div></div>'
    )
