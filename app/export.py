"""A run, or one question of it, as an HTML page that needs nothing else, no script either: charts are SVG."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path

from app import library
from app.figures.base import Figure
from app.figures.curves import layer_curves
from app.figures.printed import inline_svg, printed
from app.figures.river import answer_river
from app.language import Translator
from app.library import StoredRun
from app.outcomes import Scored, ScoredOutcomes
from app.own_verdicts import num_given
from app.question_view import QuestionView
from app.run_names import run_name
from app.theme import STYLE_SHEET
from app.views.answers import answer_columns
from app.views.headline import headline, run_note
from app.views.methods import figure_caption, figure_title, methods_text
from app.views.runs import manifest_view
from app.views.scores import score_table
from app.visit import Balance
from hcl_core.atomic import exported_file
from hcl_core.judges.person import PersonVerdict
from hcl_core.pipeline.overrule import JudgedQuestion, overruled_outcomes
from hcl_core.text import printable
from hcl_core.transfer.export import NOBODYS

# Questions whose answers are shown: each adds about 100 kB.
_MOST_QUESTIONS = 20
_EQUAL = Balance()


def export_page(
    run: StoredRun,
    target: Path,
    words: Translator,
    overruled: Mapping[int, JudgedQuestion] = NOBODYS,
    lay_over: Callable[[QuestionView], QuestionView] = lambda view: view,
    given: Sequence[PersonVerdict] = (),
) -> None:
    """Write the page of a judged run.

    Args:
        run: The run.
        target: The file; replaced if it exists.
        words: Of the page.
        overruled: Questions on which a person has given verdicts, see ``pipeline.overrule.overruled_questions``.
        lay_over: Makes of a question what it is with these verdicts.
        given: The verdicts.

    Raises:
        RunFolderError: It has not been judged, or ``target`` can't be written.
    """
    outcomes = library.outcomes_of(run)
    if overruled:
        table = overruled_outcomes(library.table_of(run), overruled, run.manifest)
        outcomes = ScoredOutcomes.of(table, run.manifest.strategy)
    scored = outcomes.scored(_EQUAL.weights, _EQUAL.scaling)
    questions = library.questions_of(run)
    sections = "".join(
        f"<hr>{_question(lay_over(QuestionView.load(run, stored.question.id)), _EQUAL, words)}"
        for stored in questions[:_MOST_QUESTIONS]
    )
    if len(questions) > _MOST_QUESTIONS:
        sections += f"<p>{words('export_cut', shown=_MOST_QUESTIONS, all=words.count(len(questions)))}</p>"
    body = (
        f"{manifest_view(run, words)}"
        f"{headline(scored, run.manifest.finished_at is not None, words, note=_persons_note(given, words))}"
        f"{_curves(run, scored, words)}{score_table(scored, words)}{_methods(run, scored, _EQUAL, words)}{sections}"
    )
    _write(body, run_name(run, words), target, words)


def export_question_page(run: StoredRun, question_id: str, balance: Balance, target: Path, words: Translator) -> None:
    """Write the page of one question.

    Raises:
        RunFolderError: The run lacks it or has not been judged, or ``target`` can't be written.
    """
    view = QuestionView.load(run, question_id)
    scored, question = view.outcomes.scored(balance.weights, balance.scaling), view.stored.question.text
    river = answer_river(view.meanings, view.layers, words)
    charts = _curves(run, scored, words, question) + _chart(river, run, words, question)
    body = (
        f"{_question(view, balance, words, charts)}{score_table(scored, words)}"
        f"{_methods(run, scored, balance, words, question)}{manifest_view(run, words)}"
    )
    _write(body, question, target, words)


def _write(body: str, title: str, target: Path, words: Translator) -> None:
    style = STYLE_SHEET.read_text(encoding="utf-8")
    page = (
        f'<!doctype html><html lang="{words.language}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{escape(printable(title))}</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{style}{_PAGE_STYLE}</style></head><body><main>{body}</main></body></html>"
    )
    with exported_file(target) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")


# The page is opened as a file, on whose address other files are: nothing in it runs or is fetched.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_PAGE_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:0;background:#faf9f7}"
    "main{max-width:1200px;margin:auto;padding:24px}"
    "figure{margin:20px 0;background:#fff;border:1px solid var(--hcl-line);border-radius:12px;padding:12px}"
    "figure svg{display:block;width:100%;height:auto;max-width:900px;margin:auto}"
)


def _persons_note(given: Sequence[PersonVerdict], words: Translator) -> str:
    return words.plural("person_note", num_given(given)) if given else ""


def _chart(figure: Figure, run: StoredRun, words: Translator, question: str | None) -> str:
    title = figure_title(run.manifest, question, words)
    svg = printed(figure, "svg", title, figure_caption(run.manifest, words))
    return f"<figure>{inline_svg(svg, title)}</figure>"


def _curves(run: StoredRun, scored: Scored, words: Translator, question: str | None = None) -> str:
    return _chart(layer_curves(scored, words), run, words, question)


def _methods(run: StoredRun, scored: Scored, balance: Balance, words: Translator, question: str | None = None) -> str:
    text = methods_text(run.manifest, scored, balance.weights, balance.scaling, words, question)
    return f"<h3>{words('share_methods')}</h3><p>{escape(text)}</p>"


def _question(view: QuestionView, balance: Balance, words: Translator, charts: str = "") -> str:
    scored = view.outcomes.scored(balance.weights, balance.scaling)
    notes = (run_note(view.manifest, view.num_bad_parts, words), _persons_note(view.own.given, words))
    note = words.sentences(notes)
    top = headline(scored, view.is_complete, words, view.stored.question.text, note)
    return f"{top}{charts}{answer_columns(view.layers, scored.best, words, view.meanings, is_live=False)}"
