"""A run as one HTML page that needs nothing else: curves, numbers, questions and answers, plotly.js inside."""

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from app import library
from app.figures.curves import layer_curves
from app.language import Translator
from app.library import StoredRun
from app.outcomes import ScoredOutcomes
from app.own_verdicts import num_given
from app.question_view import QuestionView
from app.run_names import run_name
from app.theme import STYLE_SHEET, light_colours
from app.views.answers import answer_columns
from app.views.headline import headline
from app.views.runs import manifest_view
from app.views.scores import score_table
from hcl_core.atomic import exported_file
from hcl_core.judges.person import PersonVerdict
from hcl_core.pipeline.overrule import JudgedQuestion, overruled_outcomes
from hcl_core.records import DEFAULT_SCALING, Weights
from hcl_core.text import printable
from hcl_core.transfer.export import NOBODYS

# Questions whose answers are shown: each adds about 100 kB.
_MOST_QUESTIONS = 20
_VARIABLE = re.compile(r"^var\((--[\w-]+)\)$")


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
    import plotly.io

    outcomes = library.outcomes_of(run)
    if overruled:
        table = overruled_outcomes(library.table_of(run), overruled, run.manifest)
        outcomes = ScoredOutcomes.of(table, run.manifest.strategy)
    scored = outcomes.scored(Weights(), DEFAULT_SCALING)
    figure = _coloured(layer_curves(scored, words))
    chart = plotly.io.to_html(
        {"data": figure["data"], "layout": figure["layout"]}, include_plotlyjs=True, full_html=False, validate=False
    )
    questions = library.questions_of(run)
    sections = "".join(
        _question(lay_over(QuestionView.load(run, stored.question.id)), words) for stored in questions[:_MOST_QUESTIONS]
    )
    if len(questions) > _MOST_QUESTIONS:
        sections += f"<p>{words('export_cut', shown=_MOST_QUESTIONS, all=words.count(len(questions)))}</p>"
    title = escape(printable(run_name(run, words)))
    style = STYLE_SHEET.read_text(encoding="utf-8")
    page = (
        f'<!doctype html><html lang="{words.language}"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{style}{_PAGE_STYLE}</style></head><body><main>{manifest_view(run, words)}"
        f"{headline(scored, run.manifest.finished_at is not None, words, note=_persons_note(given, words))}"
        f"{chart}{score_table(scored, words)}"
        f"{sections}</main></body></html>"
    )
    with exported_file(target) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")


_PAGE_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:0;background:#faf9f7}"
    "main{max-width:1200px;margin:auto;padding:24px}"
)


def _question(view: QuestionView, words: Translator) -> str:
    scored = view.outcomes.scored(Weights(), DEFAULT_SCALING)
    top = headline(scored, view.is_complete, words, view.stored.question.text, _persons_note(view.own.given, words))
    return f"<hr>{top}{answer_columns(view.layers, scored.best, words, is_live=False)}"


def _persons_note(given: Sequence[PersonVerdict], words: Translator) -> str:
    return words.plural("person_note", num_given(given)) if given else ""


def _coloured(value: Any) -> Any:
    """``value`` with the names of colours replaced by the light theme's colours."""
    if isinstance(value, dict):
        return {key: _coloured(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_coloured(item) for item in value]
    if isinstance(value, str):
        if value == "inherit":
            return "system-ui, sans-serif"
        name = _VARIABLE.match(value)
        return light_colours().get(name.group(1), value) if name else value
    return value
