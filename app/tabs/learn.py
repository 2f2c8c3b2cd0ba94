"""Learn: steps that ask for a guess before they show a chart, and one that leads to a question of one's own."""

from functools import partial
from typing import Any

import gradio as gr

from app.components import FormulaSwitch, LayerChart, LinkBox, Stepper
from app.handlers import learn as handlers
from app.inputs import CheckedSlider
from app.language import labels
from app.render import Parts
from app.render.learn import place_parts, step_parts
from app.service import Service
from app.tabs.base import QUIET, Binder
from app.terms import explained
from app.views.learn import picture, stepper
from app.visit import Balance, Visit
from hcl_core.records import DEFAULT_SCALING

_FORMULAS = {"left": "$", "right": "$", "display": False}
_BALANCE_STEP = 6
_FOCUS_QUESTION = "() => setTimeout(() => document.querySelector('#question textarea, #question input')?.focus(), 300)"

Guesses = dict[int, bool | None]


def build_learn(core: Service, tabs: gr.Tabs) -> dict[str, Any]:
    """Lay out the tab and wire it; its parts.

    Args:
        core: The page's service.
        tabs: The page's, for the last step, which opens Explore.
    """
    say = labels()
    parts: dict[str, Any] = {"notice": gr.HTML(""), "guesses": gr.State({})}
    with gr.Row(elem_classes="hcl-learn-top"):
        parts["stepper"] = Stepper(stepper(1, {}, say), elem_id="learn-steps")
        FormulaSwitch(say("button_formulas"), elem_id="switch-formulas")
    containers, asking = [], []
    with gr.Walkthrough(selected=1, elem_id="learn") as walk:
        for step in range(1, handlers.NUM_STEPS + 1):
            with gr.Step(say(f"learn_{step}_name"), id=step) as container:
                if step <= handlers.NUM_GUESSES:
                    asking.append(_build_step(step))
                else:
                    _build_last_step(parts, tabs)
                _build_ways_on(walk, step)
            containers.append(container)
    parts |= {"walk": walk, "link": LinkBox(elem_id="learn-link")}
    for step, own in enumerate(asking, 1):
        _wire_step(core, step, own | {name: parts[name] for name in ("guesses", "stepper", "score", "link")})
    _wire_place(core, parts, containers)
    with gr.Accordion(say("glossary_title"), open=False):
        gr.Markdown(say("glossary"))
    return parts


def _build_step(step: int) -> dict[str, Any]:
    say = labels()
    parts: dict[str, Any] = {}
    with gr.Row(equal_height=False, elem_classes="hcl-main hcl-learn"):
        with gr.Column(scale=2, min_width=320):
            _build_text(step)
            gr.Markdown(say(f"learn_{step}_formula"), latex_delimiters=[_FORMULAS], elem_classes="hcl-formula")
        with gr.Column(scale=3, min_width=320):
            parts["guess"] = gr.Radio(
                [(say(f"learn_{step}_option_{number}"), number) for number in range(1, handlers.OPTIONS + 1)],
                label=say(f"learn_{step}_question"),
                elem_classes="hcl-guess",
            )
            parts["options"] = gr.HTML("")
            with gr.Row(elem_classes="hcl-reveal"):
                parts["reveal"] = gr.Button(say("button_reveal"), variant="primary", interactive=False, min_width=120)
                parts["no_guess"] = gr.Button(say("button_no_guess"), elem_classes="hcl-quiet", min_width=120)
            parts["text"] = gr.HTML(f'<div class="hcl-unrevealed">{say("learn_unrevealed")}</div>')
            with gr.Column(elem_classes="hcl-panel hcl-wide"):
                parts["chart"] = LayerChart(label=say(f"learn_{step}_name"))
                if step == _BALANCE_STEP:
                    parts["balance"] = CheckedSlider(
                        0,
                        100,
                        50,
                        step=5,
                        label=say("label_balance"),
                        visible=False,
                        elem_classes=explained("hcb_score"),
                    )
    return parts


def _build_text(step: int) -> None:
    say = labels()
    gr.HTML(picture(step, say(f"learn_{step}_picture")), apply_default_css=False)
    gr.Markdown(say(f"learn_{step}_text"))


def _build_last_step(parts: dict[str, Any], tabs: gr.Tabs) -> None:
    with gr.Row(equal_height=False, elem_classes="hcl-main hcl-learn"):
        with gr.Column(scale=2, min_width=320):
            _build_text(handlers.NUM_STEPS)
        with gr.Column(scale=3, min_width=320):
            parts["score"] = gr.HTML("", elem_id="learn-score")
            ask = gr.Button(labels()("button_ask_own"), variant="primary", elem_id="learn-ask")
    opened = ask.click(lambda: gr.Tabs(selected="explore"), None, tabs, **QUIET)
    opened.then(None, None, None, js=_FOCUS_QUESTION, **QUIET)


def _build_ways_on(walk: gr.Walkthrough, step: int) -> None:
    say = labels()
    with gr.Row(elem_classes="hcl-steps"):
        if step > 1:
            back = gr.Button(say("button_back"), min_width=120)
            back.click(lambda: gr.Walkthrough(selected=step - 1), None, walk, **QUIET)
        if step < handlers.NUM_STEPS:
            onward = gr.Button(say("button_next"), min_width=120)
            onward.click(lambda: gr.Walkthrough(selected=step + 1), None, walk, **QUIET)


def _wire_step(core: Service, step: int, parts: dict[str, Any]) -> None:
    def may_reveal(_: Visit, guess: int | None) -> Parts:
        return {"reveal": gr.update(interactive=guess is not None)}

    def reveal(visit: Visit, guesses: Guesses, guess: int | None) -> Parts:
        revealed = handlers.reveal(visit, step, guess)
        done = {**guesses, step: revealed.is_right}
        shown = step_parts(revealed, visit.words) | place_parts(step, done, visit.words) | {"guesses": done}
        return shown | ({"balance": gr.update(visible=True)} if step == _BALANCE_STEP else {})

    def weigh(visit: Visit, creativity: object) -> Parts:
        return {"chart": handlers.weigh(visit, Balance.from_controls(creativity, DEFAULT_SCALING)).figure}

    bind = Binder(core, parts, errors_in="text")
    parts["guess"].input(bind(may_reveal), parts["guess"], parts["reveal"], **QUIET)
    revealed = list(parts.values())
    parts["reveal"].click(bind(reveal), [parts["guesses"], parts["guess"]], revealed, **QUIET)
    parts["no_guess"].click(bind(partial(reveal, guess=None)), parts["guesses"], revealed, **QUIET)
    if step == _BALANCE_STEP:
        shown = [parts["text"], parts["chart"]]
        parts["balance"].input(bind(weigh), parts["balance"], shown, trigger_mode="always_last", **QUIET)


def _wire_place(core: Service, parts: dict[str, Any], containers: list[gr.Step]) -> None:
    """The stepper opens a step, and follows the step on screen, whoever opened it."""

    def go(_: Visit, event: gr.EventData) -> Parts:
        step = getattr(event, "step", None)
        is_step = isinstance(step, int) and 1 <= step <= handlers.NUM_STEPS
        return {"walk": gr.Walkthrough(selected=step)} if is_step else {}

    def follow(visit: Visit, guesses: Guesses, step: int) -> Parts:
        return place_parts(step, guesses, visit.words)

    bind = Binder(core, parts, errors_in="notice")
    parts["stepper"].choose(bind.on_choice(go), None, [parts["walk"], parts["notice"]], **QUIET)
    placed = [parts[name] for name in ("stepper", "score", "link", "notice")]
    for step, container in enumerate(containers, 1):
        container.select(bind(partial(follow, step=step)), parts["guesses"], placed, **QUIET)
