"""Learn: seven steps; each asks for a guess before it shows its chart."""

from functools import partial
from typing import Any

import gradio as gr

from app.components import LayerChart, LinkBox
from app.handlers import learn as handlers
from app.language import labels
from app.render import Parts
from app.render.learn import link_parts, step_parts
from app.service import Service
from app.tabs.base import QUIET, Binder
from app.terms import explained
from app.visit import Balance, Visit
from hcl_core.records import DEFAULT_SCALING

_FORMULAS = {"left": "$", "right": "$", "display": False}
_BALANCE_STEP = 6


def build_learn(core: Service) -> dict[str, Any]:
    """Lay out the tab and wire it; its parts."""
    say = labels()
    parts: dict[str, Any] = {"notice": gr.HTML("")}
    steps = []
    with gr.Walkthrough(selected=1, elem_id="learn") as walk:
        for step in range(1, handlers.NUM_STEPS + 1):
            with gr.Step(say(f"learn_{step}_name"), id=step) as container:
                _build_step(core, walk, step)
            steps.append(container)
    parts |= {"walk": walk, "link": LinkBox(elem_id="learn-link")}
    _wire_links(core, parts, steps)
    with gr.Accordion(say("glossary_title"), open=False):
        gr.Markdown(say("glossary"))
    return parts


def _wire_links(core: Service, parts: dict[str, Any], steps: list[gr.Step]) -> None:
    bind = Binder(core, parts, errors_in="notice")

    def link(visit: Visit, step: int) -> Parts:
        return link_parts(step, visit.words)

    for number, step in enumerate(steps, 1):
        step.select(bind(partial(link, step=number)), None, [parts["link"], parts["notice"]], **QUIET)


def _build_step(core: Service, walk: gr.Walkthrough, step: int) -> None:
    say = labels()
    parts: dict[str, Any] = {}
    with gr.Row(equal_height=False, elem_classes="hcl-main hcl-learn"):
        with gr.Column(scale=2, min_width=320):
            gr.Markdown(say(f"learn_{step}_text"), latex_delimiters=[_FORMULAS])
            parts["guess"] = gr.Radio(
                [(say(f"learn_{step}_option_{number}"), number) for number in (1, 2, 3)],
                label=say(f"learn_{step}_question"),
                elem_classes="hcl-guess",
            )
            parts["reveal"] = gr.Button(say("button_reveal"), variant="primary")
        with gr.Column(scale=3, min_width=320):
            parts["text"] = gr.HTML(f'<div class="hcl-unrevealed">{say("learn_unrevealed")}</div>')
            with gr.Column(elem_classes="hcl-panel hcl-wide"):
                parts["chart"] = LayerChart(label=say(f"learn_{step}_name"))
                if step == _BALANCE_STEP:
                    parts["balance"] = gr.Slider(
                        0, 100, 50, step=5, label=say("label_balance"), elem_classes=explained("hcb_score")
                    )
    with gr.Row(elem_classes="hcl-steps"):
        if step > 1:
            back = gr.Button(say("button_back"), min_width=120)
            back.click(lambda: gr.Walkthrough(selected=step - 1), None, walk, **QUIET)
        if step < handlers.NUM_STEPS:
            onward = gr.Button(say("button_next"), min_width=120)
            onward.click(lambda: gr.Walkthrough(selected=step + 1), None, walk, **QUIET)

    def reveal(visit: Visit, guess: int | None) -> Parts:
        return step_parts(handlers.reveal(visit, step, guess), visit.words)

    def weigh(visit: Visit, creativity: object) -> Parts:
        return {"chart": handlers.weigh(visit, Balance.from_controls(creativity, DEFAULT_SCALING)).figure}

    bind = Binder(core, parts, errors_in="text")
    shown = [parts["text"], parts["chart"]]
    parts["reveal"].click(bind(reveal), parts["guess"], shown, **QUIET)
    if step == _BALANCE_STEP:
        parts["balance"].input(bind(weigh), parts["balance"], shown, trigger_mode="always_last", **QUIET)
