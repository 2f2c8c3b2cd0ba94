"""The page as it opens: parts of all tabs, those of other tabs than Explore by the tab's name and theirs."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import gradio as gr

from app.handlers.explore_start import EmptyStart, PrefilledStart, StoredStart
from app.handlers.links import Link
from app.handlers.opening import CompareStart, LensStart, OpenedPage, RunsStart, SetStart
from app.language import Translator
from app.messages import Message, Problem
from app.render import Parts, compare, dataset, learn, lens, runs
from app.render.explore import depth_parts, estimate_text, idea_parts, opened_parts, run_choice, stored_choice
from app.views.ask import setting_chips
from app.views.base import problem, status_line
from app.views.detail import prompt_box
from app.views.headline import welcome
from app.views.notices import link_notices, prefilled_form, prefilled_prompt
from app.views.runs import link_box

_Result = TypeVar("_Result")
# Parts of the tab Runs that a page that opens leaves as they are.
_UNTOUCHED = ("confirm", "file")


# Where each tab says what the address names and is not there.
_NOTICES_IN = {
    "explore": "headline",
    "lens": "lens_headline",
    "compare": "compare_notice",
    "dataset": "set_headline",
    "runs": "runs_manifest",
    "learn": "learn_notice",
}


def first_parts(opened: OpenedPage, words: Translator) -> Parts:
    """``page_parts`` of a page that has shown nothing before, so the walkthrough stands at its first step."""
    return _of_tab("learn", learn.link_parts(1, words)) | page_parts(opened, words)


def page_parts(opened: OpenedPage, words: Translator, usual: Mapping[str, object] | None = None) -> Parts:
    """Everything that the address changes.

    Args:
        opened: What it asks for.
        words: The page's.
        usual: Values of the form's controls on a first visit, for a page that has other ones by now.
    """
    link = opened.link
    parts: Parts = {"tabs": gr.Tabs(selected=link.tab)}
    if opened.explore and opened.estimate:
        parts |= {"balance": link.balance.creativity, "scaling": link.balance.scaling, "more": list(link.balance.more)}
        parts |= dict(usual or {}) | _explore(opened.explore, words) | _form(opened, usual or {})
        parts["estimate"] = estimate_text(opened.estimate, words)
        parts |= _in_short(parts, opened.values, words)
    if opened.lens:
        parts |= _of_tab("lens", _lens(opened.lens, link, words))
    if link.tab == "learn":
        parts |= _of_tab("learn", learn.opened_parts(link.step, words))
    if opened.compare:
        parts |= _of_tab("compare", _compare(opened.compare, link, words))
    if opened.dataset:
        balance = {"balance": link.balance.creativity, "scaling": link.balance.scaling}
        parts |= _of_tab("set", balance | _dataset(opened.dataset, words))
    if opened.runs:
        parts |= _of_tab("runs", _runs(opened.runs, words))
    place = _NOTICES_IN[link.tab]
    parts[place] = link_notices(opened.notices, words) + parts.get(place, "")
    return parts


def _form(opened: OpenedPage, usual: Mapping[str, object]) -> Parts:
    """The form as the address fills it in; a model brings its layers, unless the address names those too."""
    link = opened.link
    fitted = depth_parts(opened.num_hidden_layers) if "model" in {**usual, **link.form} else {}
    layers = {name: update | {"value": link.form[name]} for name, update in fitted.items() if name in link.form}
    return fitted | dict(link.form) | layers


def _of_tab(tab: str, parts: Parts) -> Parts:
    return {f"{tab}_{name}": part for name, part in parts.items()}


def _or_problem(
    result: _Result | Problem, words: Translator, render: Callable[[_Result], Parts], problem_in: str
) -> Parts:
    return {problem_in: problem(result.text, words)} if isinstance(result, Problem) else render(result)


def _explore(start: StoredStart | PrefilledStart | EmptyStart, words: Translator) -> Parts:
    if isinstance(start, EmptyStart):
        return {"headline": welcome(words), "status": status_line(start.status, words)} | _nothing_shown()
    prompt = {"prompt": prompt_box(start.prompt, words)}
    if isinstance(start, StoredStart):
        return opened_parts(start.opened, words) | prompt | {"status": status_line(start.status, words)}
    status = status_line(Message("prefilled"), words)
    listed = {"stored_run": stored_choice(start.runs, None)}
    return prompt | _nothing_shown() | {"headline": prefilled_form(start.question, words), "status": status} | listed


def _in_short(parts: Parts, values: Mapping[str, object], words: Translator) -> Parts:
    """The chips of the form as ``parts`` leave it; ``values`` are those of the controls that they do not change."""
    form = {name: parts.get(name, value) for name, value in values.items()}
    plain = {name: each.get("value", values[name]) if isinstance(each, dict) else each for name, each in form.items()}
    return {"chips": setting_chips(plain, words)} | idea_parts(str(plain["accepted"] or ""), words)


def _nothing_shown() -> Parts:
    """No results: those of the view before this one go."""
    empty = dict.fromkeys(("depth", "chart", "river", "shown"))
    return empty | dict.fromkeys(("answers", "numbers", "detail", "link"), "")


def _lens(start: LensStart, link: Link, words: Translator) -> Parts:
    asked = link.lens
    parts: Parts = {"head": asked.exit_head, "shade": asked.shade, "shown": start.shown}
    if start.shown.is_live:
        parts |= {
            "stored": None,
            "prompt": asked.prompt,
            "model": asked.model,
            "num_tokens": asked.num_tokens,
            "whole": asked.whole,
            "site": asked.site,
        }
    else:
        parts["stored"] = start.shown.question_id
    if start.result is None:
        parts |= {"headline": prefilled_prompt(asked.prompt or "", words), "chart": None, "cell": "", "scale": ""}
        address = link_box(Link("lens", lens=asked).query(), words)
        return parts | {"link": address, "status": status_line(Message("prefilled_lens"), words)}
    is_stored = not start.shown.is_live
    parts |= lens.stored_parts(start.result, words) if is_stored else lens.lens_parts(start.result, words)
    if start.cell:
        parts |= lens.cell_parts(start.cell, words)
        parts["chart"] |= {"layer": start.cell.layer, "position": start.cell.position}
    return parts


def _compare(start: CompareStart, link: Link, words: Translator) -> Parts:
    listed: Parts = {"runs": gr.update(choices=list(start.choices), value=list(start.ids))}
    listed |= {"measure": link.measure, "by_share": link.by_share}
    return listed | _or_problem(
        start.comparison, words, lambda comparison: compare.comparison_parts(comparison, link.by_share, words), "text"
    )


def _dataset(start: SetStart, words: Translator) -> Parts:
    listed = {"stored_run": run_choice(start.choices, start.run_id)}
    return listed | _or_problem(start.result, words, lambda result: dataset.stored_parts(result, words), "status")


def _runs(start: RunsStart, words: Translator) -> Parts:
    parts = runs.list_parts(start.runs, words)
    if start.result:
        parts |= _or_problem(start.result, words, lambda result: runs.run_parts(result, words), "status")
    return {name: part for name, part in parts.items() if name not in _UNTOUCHED}
