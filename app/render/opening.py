"""The page as it opens: parts of all tabs, those of other tabs than Explore by the tab's name and theirs."""

from collections.abc import Callable
from typing import TypeVar

import gradio as gr

from app.handlers.opening import CompareStart, EmptyStart, OpenedPage, PrefilledStart, RunsStart, SetStart, StoredStart
from app.language import Translator
from app.messages import Message, Problem
from app.render import Parts, compare, dataset, runs
from app.render.explore import estimate_text, opened_parts, run_choice
from app.views.base import problem, status_line
from app.views.detail import prompt_box
from app.views.headline import welcome

_Result = TypeVar("_Result")
# Parts of the tab Runs that a page that opens leaves as they are.
_UNTOUCHED = ("confirm", "file")


def page_parts(opened: OpenedPage, words: Translator) -> Parts:
    """Everything that the address changes."""
    link = opened.link
    parts: Parts = {"tabs": gr.Tabs(selected=link.tab)}
    parts |= {"balance": link.balance.creativity, "scaling": link.balance.scaling}
    parts |= dict(link.form)
    parts |= _explore(opened.explore, words)
    parts["estimate"] = estimate_text(opened.estimate, words)
    if opened.compare:
        parts |= _of_tab("compare", _compare(opened.compare, link.measure, words))
    if opened.dataset:
        balance = {"balance": link.balance.creativity, "scaling": link.balance.scaling}
        parts |= _of_tab("set", balance | _dataset(opened.dataset, words))
    if opened.runs:
        parts |= _of_tab("runs", _runs(opened.runs, words))
    return parts


def _of_tab(tab: str, parts: Parts) -> Parts:
    return {f"{tab}_{name}": part for name, part in parts.items()}


def _or_problem(
    result: _Result | Problem, words: Translator, render: Callable[[_Result], Parts], problem_in: str
) -> Parts:
    return {problem_in: problem(result.text, words)} if isinstance(result, Problem) else render(result)


def _explore(start: StoredStart | PrefilledStart | EmptyStart, words: Translator) -> Parts:
    if isinstance(start, EmptyStart):
        return {"headline": welcome(words), "status": status_line(start.status, words)}
    prompt = {"prompt": prompt_box(start.prompt, words)}
    if isinstance(start, StoredStart):
        return opened_parts(start.opened, words) | prompt | {"status": status_line(Message("stored_answers"), words)}
    status = status_line(Message("prefilled"), words)
    return prompt | {"headline": welcome(words), "status": status, "stored_run": run_choice(start.runs, None)}


def _compare(start: CompareStart, measure: str, words: Translator) -> Parts:
    listed: Parts = {"runs": gr.update(choices=list(start.choices), value=list(start.ids)), "measure": measure}
    return listed | _or_problem(
        start.comparison, words, lambda comparison: compare.comparison_parts(comparison, False, words), "text"
    )


def _dataset(start: SetStart, words: Translator) -> Parts:
    listed = {"stored_run": run_choice(start.choices, start.run_id)}
    return listed | _or_problem(start.result, words, lambda result: dataset.stored_parts(result, words), "status")


def _runs(start: RunsStart, words: Translator) -> Parts:
    parts = runs.list_parts(start.runs, words)
    if start.result:
        parts |= _or_problem(start.result, words, lambda result: runs.run_parts(result, words), "status")
    return {name: part for name, part in parts.items() if name not in _UNTOUCHED}
