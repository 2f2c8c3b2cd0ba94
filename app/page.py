"""The page: its title bar and tabs, and what an address opens. Each tab is a file of ``tabs``."""

from typing import Any
from urllib.parse import parse_qs

import gradio as gr

from app.checked_calls import CheckedBlocks
from app.components import Address, Glossary, StaleMark, Title
from app.endpoints.offer import offer_endpoints
from app.event_queue import SharedQueue
from app.handlers.form import CONTROLS, by_name
from app.handlers.links import FORM_FIELDS, LONGEST_QUERY, SMALL_STEPS, STEPS, read_link
from app.handlers.opening import open_page
from app.language import labels
from app.light_sessions import keep_sessions_light
from app.render import Parts
from app.render.explore import OPENED_PARTS
from app.render.opening import first_parts, page_parts
from app.service import Service
from app.tabs.base import QUIET, Binder, announce
from app.tabs.compare import build_compare
from app.tabs.dataset import build_dataset
from app.tabs.explore import build_explore, wire_measures
from app.tabs.form import FormControls
from app.tabs.head import wire_head
from app.tabs.learn import build_learn
from app.tabs.lens import build_lens
from app.tabs.model import wire_models
from app.tabs.runs import OPENING as OPENING_RUNS
from app.tabs.runs import build_runs
from app.tabs.weights import weights_note, wire_weights
from app.visit import Visit

# Of an address that the browser sends: more than any that the page makes.
_MOST_LETTERS = 20_000
# Parts of the Explore tab that an address can change.
_EXPLORE = (
    *OPENED_PARTS, "status", "balance", "scaling", "prompt", "estimate", "chips", "ideas", "more",
    *(name for name in CONTROLS if name not in OPENED_PARTS),
)  # fmt: skip


def build(core: Service) -> gr.Blocks:
    """The page around ``core``. Launching it is ``app.py``'s."""
    say = labels()
    with CheckedBlocks(
        title="HCL Explorer",
        analytics_enabled=False,
        fill_width=True,
        # Seconds between two looks, and after which a file that was uploaded or made for a download goes.
        delete_cache=(600, 3_600) if core.is_public else (3_600, 86_400),
    ) as page:
        on_weights = weights_note()
        with gr.Row(elem_classes="hcl-title"):
            Title(say("tagline"), elem_classes="hcl-name")
            # Their clicks are the title's script's: nothing of it concerns the server.
            gr.Button(say("large_type"), size="sm", min_width=0, elem_id="switch-large")
            gr.Button(say("dark_mode"), size="sm", min_width=0, elem_id="switch-dark")
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab(say("tab_explore"), id="explore") as explore:
                form = build_explore(core)
            with gr.Tab(say("tab_lens"), id="lens") as lens:
                looked = build_lens(core, lens)
            with gr.Tab(say("tab_compare"), id="compare") as compare:
                comparison = build_compare(core, compare)
            with gr.Tab(say("tab_dataset"), id="dataset") as dataset:
                questions = build_dataset(core, dataset, tabs, form)
            with gr.Tab(say("tab_runs"), id="runs") as runs:
                stored = build_runs(core, runs)
            with gr.Tab(say("tab_learn"), id="learn") as learn:
                walk = build_learn(core, tabs)
        # A space in languages that people wrote: Gradio shows the key of an empty text.
        gr.HTML(f'<p class="hcl-note">{say("machine_made")}</p>', apply_default_css=False)
        Glossary(say("terms")).wire(tabs, walk["walk"])
        _wire_opening(core, page, tabs, form, looked, comparison, questions, stored, walk)
        wire_models(core, page, form, looked["model"])
        wire_head(core, form.head, form.parts["model"], page, form.ran)
        wire_weights(core, page, on_weights, [form.parts["run"], looked["run"], questions["run"]])
        offer_endpoints(core)
        for tab in (explore, lens, compare, dataset, runs, learn):
            tab.select(None, None, None, js=announce("hcl:tab", str(tab.id)), **QUIET)
    # Events that wait do so in the queue alone: sent past it, they would take every worker.
    page.queue(max_size=core.settings.most_events, default_concurrency_limit=4, api_open=False)
    keep_sessions_light()
    page._queue = SharedQueue(page._queue, core.settings)
    return page


def _wire_opening(
    core: Service,
    page: gr.Blocks,
    tabs: gr.Tabs,
    form: FormControls,
    looked: dict[str, Any],
    comparison: dict[str, Any],
    questions: dict[str, Any],
    stored: dict[str, Any],
    walk: dict[str, Any],
) -> None:
    """A first visit, or what the address names; a row of the runs opens like an address; a visitor who leaves."""
    parts = {name: form.parts[name] for name in _EXPLORE} | {"tabs": tabs}
    parts |= {f"lens_{name}": part for name, part in looked.items() if name not in ("run", "stop")}
    parts |= {f"learn_{name}": part for name, part in walk.items()}
    parts |= {f"compare_{name}": part for name, part in comparison.items()}
    parts |= {
        f"set_{name}": questions[name]
        for name in ("headline", "chart", "rows", "link", "status", "shown", "stored_run", "balance", "scaling")
    }
    parts |= {f"runs_{name}": stored[name] for name in OPENING_RUNS}
    outputs = list(parts.values())
    usual = {name: form.parts[name].value for name in CONTROLS}

    def open_address(visit: Visit, query: Any, *values: Any) -> Parts:
        link = read_link(dict(query), query.getlist("a"))
        return first_parts(open_page(visit, link, by_name(values)), visit.words)

    def open_again(visit: Visit, event: gr.EventData) -> Parts:
        """Back or Forward: the form is as on a first visit where the address says nothing of it."""
        query = parse_qs(str(getattr(event, "query", "")).removeprefix("?")[:_MOST_LETTERS])
        link = read_link({name: values[-1] for name, values in query.items()}, query.get("a", []))
        return page_parts(open_page(visit, link, usual, in_front_alone=True), visit.words, usual)

    def open_run(visit: Visit, run_id: str | None, *values: Any) -> Parts:
        link = read_link({"run": run_id or ""}, [])
        return page_parts(open_page(visit, link, by_name(values)), visit.words)

    def leave(request: gr.Request) -> None:
        core.forget(request.session_hash or "")

    bind = Binder(core, parts)
    names = {"controls": list(CONTROLS), "defaults": usual}
    StaleMark(names)
    address = Address(
        names
        | {"fields": dict(FORM_FIELDS), "small": list(SMALL_STEPS), "steps": list(STEPS), "longest": LONGEST_QUERY}
    )
    changes = [part.change for part in form.controls]
    announced = "(...values) => { document.dispatchEvent(new CustomEvent('hcl:form', { detail: values })); return []; }"
    gr.on(changes, None, form.controls, None, js=announced, **QUIET)
    opened = page.load(bind.on_opening(open_address), form.controls, outputs, **QUIET)
    again = address.open(bind.on_choice(open_again), None, outputs, trigger_mode="multiple", **QUIET)
    for event in (opened, again):
        event.then(None, None, None, js=announce("hcl:opened", ""), **QUIET)
    wire_measures(Binder(core, form.parts), form.parts, address.draw)
    stored["open"].click(bind(open_run), [stored["chosen"], *form.controls], outputs, **QUIET)
    page.unload(leave)
