"""Share and cite: links to the files of a question, and texts to copy."""

from html import escape
from urllib.parse import urlencode

from app.figures.printed import KINDS
from app.language import Translator
from app.outcomes import Scored
from app.question_view import QuestionView
from app.views.citations import bibtex
from app.views.figure_code import figure_code
from app.views.methods import figure_caption, methods_text
from app.views.program_code import LensCall, lens_python_code, lens_shell_code, python_code, shell_code
from app.visit import Balance
from hcl_core.text import printable


def share_box(view: QuestionView, scored: Scored, balance: Balance, scores_file: str, words: Translator) -> str:
    """A quiet row of links, and the texts below it; ``share.js`` makes pictures and copies texts.

    Args:
        view: The question; nothing is shown of one whose answers are not all in, since its files would change.
        scored: Its scores.
        balance: How it is weighed.
        scores_file: What the CSV of its scores is saved as.
        words: The page's.
    """
    if not view.is_complete:
        return ""
    manifest, question = view.manifest, view.stored.question
    query = {"run": manifest.id, "question": question.id, **balance.query()}
    address = urlencode({name: value for name, value in query.items() if value not in (None, "")}, safe=",")
    groups = [
        _group(words("share_curves"), _picture("curves") + "".join(_link("curves", kind, address) for kind in KINDS)),
        _group(words("share_river"), _picture("river") + "".join(_link("river", kind, address) for kind in KINDS)),
        _group(words("share_page"), _link("page", "html", address)),
        _group(words("share_answers"), _link("answers", "csv", address)),
        _group(words("share_scores"), _link("scores", "csv", address)),
    ]
    methods = methods_text(manifest, scored, balance.weights, balance.scaling, words, question.text)
    texts = [
        _text("share_methods", methods, words),
        _text("share_bibtex", bibtex(manifest), words),
        _text("share_code", figure_code(scored, scores_file), words),
        _text("share_python", python_code(manifest.id, question.id), words),
        _text("share_curl", shell_code(manifest.id, question.id), words),
    ]
    caption = escape(figure_caption(manifest, words))
    has_own = view.own.given and view.own.are_on
    note = f'<p class="hcl-note">{escape(words("share_without_own"))}</p>' if has_own else ""
    return (
        f'<section class="hcl-share" aria-label="{escape(words("share_head"))}" '
        f'data-title="{escape(printable(question.text))}" data-caption="{caption}" data-file="{manifest.id}">'
        f"<h3>{words('share_head')}</h3><div>{''.join(groups)}</div>{note}{''.join(texts)}</section>"
    )


def lens_programs(call: LensCall, words: Translator) -> str:
    """Programs that get a token lens from the page; ``share.js`` copies them."""
    return programs_box((lens_python_code(call), lens_shell_code(call)), words)


def programs_box(programs: tuple[str, str], words: Translator) -> str:
    """Python and shell code that get a result from the page; ``share.js`` copies them."""
    name = words("lens_programs")
    python, shell = programs
    texts = [_text("share_python", python, words), _text("share_curl", shell, words)]
    return (
        f'<section class="hcl-share hcl-programs" aria-label="{escape(name)}"><h3>{name}</h3>{"".join(texts)}</section>'
    )


def _group(name: str, links: str) -> str:
    return f'<span role="group" aria-label="{escape(name)}">{escape(name)} {links}</span>'


def _picture(chart: str) -> str:
    return f'<button type="button" data-picture="{chart}">PNG</button>'


def _link(file: str, kind: str, address: str) -> str:
    return f'<a href="share/{file}.{kind}?{escape(address)}" download>{kind.upper()}</a>'


def _text(key: str, text: str, words: Translator) -> str:
    name = words(key)
    return (
        f'<details name="share"><summary>{name}</summary><pre tabindex="0" aria-label="{escape(name)}">{escape(text)}'
        f'</pre><button type="button" data-done="{escape(words("copied"))}">{words("copy")}</button></details>'
    )
