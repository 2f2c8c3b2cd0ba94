"""The page: its title bar and tabs, and what an address opens. Each tab is a file of ``tabs``."""

from typing import Any

import gradio as gr

from app.checked_calls import CheckedBlocks
from app.components import Title
from app.handlers.form import CONTROLS, by_name
from app.handlers.links import read_link
from app.handlers.opening import open_page
from app.language import labels
from app.render import Parts
from app.render.opening import page_parts
from app.service import Service
from app.tabs.base import QUIET, Binder
from app.tabs.compare import build_compare
from app.tabs.dataset import build_dataset
from app.tabs.explore import build_explore
from app.tabs.form import FormControls
from app.tabs.learn import build_learn
from app.tabs.lens import build_lens
from app.tabs.runs import OPENING as OPENING_RUNS
from app.tabs.runs import build_runs
from app.visit import Visit

# Parts of the Explore tab that an address can change.
_EXPLORE = (
    "headline", "depth", "chart", "answers", "river", "numbers", "detail", "link", "shown", "status", "balance",
    "scaling", "stored_run", "prompt", "estimate", *CONTROLS,
)  # fmt: skip


def build(core: Service) -> gr.Blocks:
    """The page around ``core``. Launching it is ``app.py``'s."""
    say = labels()
    with CheckedBlocks(
        title="HCL Explorer", analytics_enabled=False, fill_width=True, delete_cache=(3600, 86_400)
    ) as page:
        with gr.Row(elem_classes="hcl-title"):
            Title(say("tagline"), elem_classes="hcl-name")
            # Their clicks are the title's script's: nothing of it concerns the server.
            gr.Button(say("large_type"), size="sm", min_width=0, elem_id="switch-large")
            gr.Button(say("dark_mode"), size="sm", min_width=0, elem_id="switch-dark")
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab(say("tab_explore"), id="explore"):
                form = build_explore(core)
            with gr.Tab(say("tab_lens"), id="lens") as lens:
                build_lens(core, lens)
            with gr.Tab(say("tab_compare"), id="compare") as compare:
                comparison = build_compare(core, compare)
            with gr.Tab(say("tab_dataset"), id="dataset") as dataset:
                questions = build_dataset(core, dataset, tabs, form)
            with gr.Tab(say("tab_runs"), id="runs") as runs:
                stored = build_runs(core, runs)
            with gr.Tab(say("tab_learn"), id="learn"):
                build_learn(core)
        _wire_opening(core, page, tabs, form, comparison, questions, stored)
    # Events that wait do so in the queue alone: sent past it, they would take every worker.
    page.queue(max_size=32, default_concurrency_limit=4, api_open=False)
    return page


def _wire_opening(
    core: Service,
    page: gr.Blocks,
    tabs: gr.Tabs,
    form: FormControls,
    comparison: dict[str, Any],
    questions: dict[str, Any],
    stored: dict[str, Any],
) -> None:
    """A first visit, or what the address names; a row of the runs opens like an address; a visitor who leaves."""
    parts = {name: form.parts[name] for name in _EXPLORE} | {"tabs": tabs}
    parts |= {f"compare_{name}": comparison[name] for name in ("runs", "measure", "text", "chart", "link")}
    parts |= {
        f"set_{name}": questions[name]
        for name in ("headline", "chart", "rows", "link", "status", "shown", "stored_run", "balance", "scaling")
    }
    parts |= {f"runs_{name}": stored[name] for name in OPENING_RUNS}
    outputs = list(parts.values())

    def open_address(visit: Visit, query: Any, *values: Any) -> Parts:
        link = read_link(dict(query), query.getlist("a"))
        return page_parts(open_page(visit, link, by_name(values)), visit.words)

    def open_run(visit: Visit, run_id: str | None, *values: Any) -> Parts:
        link = read_link({"run": run_id or ""}, [])
        return page_parts(open_page(visit, link, by_name(values)), visit.words)

    def leave(request: gr.Request) -> None:
        core.forget(request.session_hash or "")

    bind = Binder(core, parts)
    page.load(bind.on_opening(open_address), form.controls, outputs, **QUIET)
    stored["open"].click(bind(open_run), [stored["chosen"], *form.controls], outputs, **QUIET)
    page.unload(leave)
