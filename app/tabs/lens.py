"""Token lens: what every layer would say at every token of a text, as a heat map."""

from collections.abc import Generator
from contextlib import closing
from typing import Any

import gradio as gr

from app.components import LayerChart, LinkBox, ShareBox
from app.figures.lens import SHADES
from app.handlers import lens as handlers
from app.handlers.lens import ShownLens
from app.inputs import number_of
from app.language import labels
from app.messages import Message
from app.render import Parts
from app.render import lens as render
from app.service import Service
from app.tabs.base import QUIET, Binder, controls_column, main_row, results_column, run_buttons, wire_in_turn, wire_run
from app.tabs.form import model_control
from app.terms import explained
from app.views.base import status_line
from app.views.lens import question_of
from app.visit import Visit
from hcl_core.models.lens_records import SITES


def build_lens(core: Service, tab: gr.Tab) -> dict[str, Any]:
    """Lay out the tab and wire it; its parts."""
    parts: dict[str, Any] = {"shown": gr.State(None), "chosen": gr.State(None)}
    with main_row():
        with controls_column():
            _controls(core, parts)
        with results_column():
            parts["headline"] = gr.HTML("", elem_id="lens-headline")
            parts["scale"] = gr.HTML("", elem_id="lens-scale")
            with gr.Column(elem_classes="hcl-panel hcl-wide"):
                parts["chart"] = LayerChart(elem_id="lens", label=labels()("chart_lens"))
            parts["cell"] = gr.HTML("", elem_id="lens-cell")
            parts["link"] = LinkBox(elem_id="lens-link")
            parts["programs"] = ShareBox(elem_id="lens-programs")
    _wire(core, tab, parts)
    return parts


def _controls(core: Service, parts: dict[str, Any]) -> None:
    say = labels()
    stored = [(question_of(lens), key) for key, lens in handlers.shipped_lenses(handlers.HEADS[0]).items()]
    parts["stored"] = gr.Dropdown(
        stored, value=stored[0][1], label=say("label_stored_lens"), info=say("info_stored_lens")
    )
    parts["head"] = gr.Radio(
        [(say(f"exit_head_{name}"), name) for name in handlers.HEADS],
        value=handlers.HEADS[0],
        label=say("label_exit_head"),
        elem_classes=explained("exit_head"),
    )
    parts["shade"] = gr.Radio([(say(name), name) for name in SHADES], value=SHADES[0], label=say("label_shade"))
    parts["prompt"] = gr.Textbox(label=say("label_lens_prompt"), info=say("info_lens_prompt"), lines=4, max_lines=12)
    parts["model"] = model_control(core)
    parts["site"] = gr.Dropdown(
        [(say(f"site_{name}"), name) for name in SITES],
        value=SITES[0],
        label=say("label_site"),
        info=say("info_site"),
        elem_classes=explained("site"),
    )
    with gr.Row(elem_classes="hcl-fields"):
        parts["num_tokens"] = number_of(
            handlers.NUM_TOKENS, 12, elem_classes=explained("max_new_tokens"), min_width=110
        )
        parts["whole"] = gr.Checkbox(False, label=say("label_whole_text"), min_width=150)
    with gr.Column(elem_classes="hcl-run"):
        run_buttons(parts, "button_look", "lens-status")


def _wire(core: Service, tab: gr.Tab, parts: dict[str, Any]) -> None:
    def show_stored(visit: Visit, question_id: str, head: str, shade: str) -> Parts:
        return render.stored_parts(handlers.show(visit, ShownLens(question_id, head), shade), visit.words)

    def open_tab(visit: Visit, shown: ShownLens | None, question_id: str, head: str, shade: str) -> Parts:
        return {} if shown else show_stored(visit, question_id, head, shade)

    def change_head(visit: Visit, shown: ShownLens | None, question_id: str, head: str, shade: str) -> Parts:
        """A stored lens has both heads: the other one is there at once."""
        if shown and shown.is_live:
            return {"status": status_line(Message("press_look"), visit.words)}
        return show_stored(visit, question_id, head, shade)

    def change_site(visit: Visit) -> Parts:
        """Stored lenses are of whole blocks: inside them the model has to look."""
        return {"status": status_line(Message("press_look_site"), visit.words)}

    def look(
        visit: Visit,
        model: str | None,
        head: str,
        prompt: str | None,
        whole: bool,
        num_tokens: Any,
        shade: str,
        site: str = SITES[0],
    ) -> Generator[Parts, None, None]:
        """Read every layer along a model's greedy answer to a prompt; the last update is a heat map."""
        with closing(
            handlers.read_prompt(visit, model or "", head, prompt or "", bool(whole), num_tokens, shade, site)
        ) as updates:
            for update in updates:
                yield render.update_parts(update, visit.words)

    def recolour(visit: Visit, shown: ShownLens | None, shade: str, chosen: tuple[int, int] | None) -> Parts:
        return render.recoloured_parts(handlers.show(visit, shown, shade), chosen, visit.words) if shown else {}

    def choose(visit: Visit, event: gr.EventData, shown: ShownLens | None, shade: str) -> Parts:
        if not shown:
            return {}
        layer, position = getattr(event, "layer", None), getattr(event, "position", None)
        return render.cell_parts(handlers.choose_cell(visit, shown, layer, position, shade), visit.words)

    bind = Binder(core, parts)
    names = ("headline", "scale", "chart", "cell", "chosen", "link", "programs", "shown", "status", "prompt", "stored")
    results = [parts[name] for name in names]
    stored = [parts[name] for name in ("stored", "head", "shade")]
    tab.select(bind(open_tab), [parts["shown"], *stored], results, **QUIET)
    parts["stored"].input(bind(show_stored), stored, results, **QUIET)
    parts["head"].input(bind(change_head), [parts["shown"], *stored], results, **QUIET)
    parts["site"].input(bind(change_site), None, results, **QUIET)
    looked = [parts["shown"], parts["shade"]]
    parts["shade"].input(bind(recolour), [*looked, parts["chosen"]], results, **QUIET)
    cell = [parts[name] for name in ("cell", "chosen", "link", "status")]
    wire_in_turn(parts["chart"].choose, bind.on_choice(choose), looked, cell, "choose ")  # of no group
    asked = [parts[name] for name in ("model", "head", "prompt", "whole", "num_tokens", "shade", "site")]
    wire_run(bind, parts, look, asked, results, "lens")
