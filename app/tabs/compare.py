"""Compare: several runs over each other; computed when the tab is opened, and when a choice changes."""

from typing import Any

import gradio as gr

from app.components import LayerChart, LinkAndPrograms
from app.figures.compared import MEASURES, MOST_RUNS
from app.handlers import compare as handlers
from app.inputs import ListedChoice
from app.language import labels
from app.render import Parts
from app.render.compare import comparison_parts
from app.service import Service
from app.tabs.base import QUIET, Binder, controls_column, main_row, results_column
from app.terms import explained
from app.visit import Visit


def build_compare(core: Service, tab: gr.Tab) -> dict[str, Any]:
    """Lay out the tab and wire it; its parts."""
    say = labels()
    parts: dict[str, Any] = {}
    with main_row():
        with controls_column():
            parts["runs"] = ListedChoice(
                [], multiselect=True, max_choices=MOST_RUNS, label=say("label_runs"), info=say("info_runs")
            )
            parts["measure"] = gr.Radio(
                [(say(name), name) for name in MEASURES], value="hcb_score", label=say("label_measure")
            )
            parts["by_share"] = gr.Radio(
                [(say("by_layer"), False), (say("by_share"), True)],
                value=False,
                label=say("label_axis"),
                elem_classes=explained("share_of_depth"),
            )
        with results_column():
            parts["notice"] = gr.HTML("")
            parts["text"] = gr.HTML("", elem_id="comparison")
            with gr.Column(elem_classes="hcl-panel"):
                parts["chart"] = LayerChart(elem_id="compared", label=say("chart_compared"))
            parts["link"] = LinkAndPrograms()

    def list_runs(visit: Visit, chosen: list[str] | None) -> Parts:
        """The runs there are now; a live one may have come since."""
        choices = handlers.choices(visit)
        ids = [run_id for _, run_id in choices]
        still_there = [each for each in chosen or [] if each in ids] or ids[:2]
        return {"runs": gr.update(choices=choices, value=still_there)}

    def compare(visit: Visit, ids: list[str] | None, measure: str, by_share: bool) -> Parts:
        return comparison_parts(handlers.compare(visit, ids or [], measure), by_share, visit.words)

    def choose(visit: Visit, *values: Any) -> Parts:
        """Another choice than that of the address, of which the notice speaks."""
        return {"notice": "", **compare(visit, *values)}

    bind = Binder(core, parts, errors_in="text")
    shown = [parts[name] for name in ("text", "chart", "link")]
    choice = [parts[name] for name in ("runs", "measure", "by_share")]
    opened = tab.select(bind(list_runs), parts["runs"], parts["runs"], **QUIET)
    slow = {"show_progress": "hidden", "api_visibility": "private"}
    opened.then(bind(compare), choice, shown, **slow)
    moved = [each.input for each in choice]
    gr.on(moved, bind(choose), choice, [parts["notice"], *shown], trigger_mode="always_last", **slow)
    return parts
