"""Token lens: what every layer would say at every place of a text, as a heat map."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from app import service
from app.components import LayerChart
from app.figures.lens import SHADES
from app.handlers import lens as handlers
from app.handlers.base import Parts
from app.language import Translator, labels
from app.tabs.base import QUIET, on_choice, on_page, wire_run
from app.views.base import status


def build_lens(core: service.Service, tab: gr.Tab) -> None:
    """Lay out the tab and wire it."""
    parts: dict[str, Any] = {"seen": gr.State(None)}
    with gr.Row(equal_height=False, elem_classes="hcl-main"):
        with gr.Column(scale=1, min_width=310, elem_classes="hcl-controls"):
            _controls(core, parts)
        with gr.Column(scale=4, min_width=320, elem_classes="hcl-results"):
            parts["headline"] = gr.HTML("", elem_id="lens-headline")
            with gr.Column(elem_classes="hcl-panel hcl-wide"):
                parts["chart"] = LayerChart(elem_id="lens", label=labels()("chart_lens"))
            parts["cell"] = gr.HTML("", elem_id="lens-cell")
    _wire(core, tab, parts)


def _controls(core: service.Service, parts: dict[str, Any]) -> None:
    say = labels()
    stored = handlers.shipped_choices()
    parts["stored"] = gr.Dropdown(
        stored, value=stored[0][1], label=say("label_stored_lens"), info=say("info_stored_lens")
    )
    parts["head"] = gr.Radio(
        [(say(f"head_{name}"), name) for name in handlers.HEADS], value=handlers.HEADS[0], label=say("label_exit_head")
    )
    parts["shade"] = gr.Radio([(say(name), name) for name in SHADES], value=SHADES[0], label=say("label_shade"))
    parts["prompt"] = gr.Textbox(label=say("label_lens_prompt"), info=say("info_lens_prompt"), lines=4, max_lines=12)
    parts["model"] = gr.Dropdown(
        core.model_choices(),
        value=service.DEFAULT_MODEL_NAME,
        label=say("label_model"),
        allow_custom_value=core.allows_any_model,
    )
    with gr.Row():
        parts["num_tokens"] = gr.Number(
            12, label=say("label_max_new_tokens"), minimum=1, maximum=handlers.MOST_TOKENS, precision=0, min_width=110
        )
        parts["whole"] = gr.Checkbox(False, label=say("label_whole_text"), min_width=150)
    with gr.Column(elem_classes="hcl-run"):
        with gr.Row():
            parts["run"] = gr.Button(say("button_look"), variant="primary", size="lg", scale=2, min_width=120)
            parts["stop"] = gr.Button(say("button_stop"), size="lg", scale=1, min_width=80, interactive=False)
        parts["status"] = gr.HTML("", elem_id="lens-status")


def _wire(core: service.Service, tab: gr.Tab, parts: dict[str, Any]) -> None:
    def show(words: Translator, _: str, question_id: str, head: str, shade: str) -> Parts:
        return handlers.show_shipped(words, question_id, head, shade)

    def open_tab(words: Translator, visitor: str, seen: Any, question_id: str, head: str, shade: str) -> Parts:
        return {} if seen else handlers.show_shipped(words, question_id, head, shade)

    def look(words: Translator, visitor: str, *values: Any) -> Iterator[Parts]:
        """Read every layer along a model's greedy answer to a prompt; the last update is a heat map."""
        yield from handlers.look(words, core, visitor, *values)

    def recolour(words: Translator, visitor: str, seen: Any, shade: str) -> Parts:
        return handlers.recolour(words, core, visitor, seen, shade)

    def choose(words: Translator, visitor: str, event: gr.EventData, seen: Any) -> Parts:
        place = getattr(event, "place", None)
        return handlers.choose_cell(words, core, visitor, seen, getattr(event, "layer", None), place)

    results = [parts[name] for name in ("headline", "chart", "cell", "seen", "status", "prompt")]
    stored = [parts[name] for name in ("stored", "head", "shade")]
    tab.select(on_page(parts, open_tab), [parts["seen"], *stored], results, **QUIET)
    parts["stored"].input(on_page(parts, show), stored, results, **QUIET)
    parts["shade"].input(on_page(parts, recolour), [parts["seen"], parts["shade"]], results, **QUIET)
    parts["chart"].choose(
        on_choice(parts, choose), parts["seen"], [parts["cell"], parts["status"]], trigger_mode="always_last", **QUIET
    )
    names = ("model", "head", "prompt", "whole", "num_tokens", "shade")
    wire_run(core, parts, look, [parts[name] for name in names], results, "lens")
    # A stored lens has both heads: the other one is there at once.
    parts["head"].input(on_page(parts, _other_head), [parts["seen"], *stored], results, **QUIET)


def _other_head(words: Translator, _: str, seen: Any, question_id: str, head: str, shade: str) -> Parts:
    if seen and seen.get("live"):
        return {"status": status(words("press_look"))}
    return handlers.show_shipped(words, question_id, head, shade)
