"""The left column of Explore: finding a question, and the settings of a run."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from app.handlers.form import CONTROLS, JUDGES
from app.language import labels
from app.service import Service
from app.tabs.base import run_buttons
from app.terms import explain
from hcl_core.models.catalogue import DEFAULT_MODEL
from hcl_core.models.head_records import EXIT_HEAD_NAMES
from hcl_core.questions.files import SUFFIXES
from hcl_core.questions.own import write_idea
from hcl_core.records import SamplingSettings
from hcl_core.settings.prompts import TEMPLATE_NAMES
from hcl_core.settings.strategies import STRATEGY_NAMES

_DEFAULTS = SamplingSettings()
_FIRST_HITS = 8
# Controls whose labels get a mark.
_EXPLAINED = (
    "first_layer", "num_samples", "temperature", "top_p", "top_k", "max_new_tokens", "seed", "template", "exit_head",
    "judge", "strategy",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FormControls:
    """The components of the column.

    Attributes:
        parts: By name.
    """

    parts: dict[str, Any]

    @property
    def controls(self) -> list[Any]:
        """Those whose values ``handlers.form`` reads, in its order."""
        return [self.parts[name] for name in CONTROLS]


def build_form(core: Service) -> FormControls:
    """Lay out the column."""
    parts: dict[str, Any] = {}
    _question(core, parts)
    _model(core, parts)
    _sampling(parts)
    _run(parts)
    explain(parts, _EXPLAINED)
    return FormControls(parts)


def _question(core: Service, parts: dict[str, Any]) -> None:
    say = labels()
    questions = core.sets.get("", None).questions
    first = questions[0]
    with gr.Column(elem_classes="hcl-find"):
        parts["search"] = gr.Textbox(
            label=say("label_search"), placeholder=say("placeholder_search"), max_lines=1, elem_id="search"
        )
        parts["hits"] = gr.Radio(
            [(each.text, each.id) for each in questions[:_FIRST_HITS]],
            value=first.id,
            label=say("label_hits"),
            elem_classes="hcl-hits",
            elem_id="hits",
        )
        parts["search_status"] = gr.HTML("", elem_id="found")
        with gr.Accordion(say("label_other_set"), open=False):
            parts["set"] = gr.Dropdown(["starter"], value="starter", label=say("label_set"))
            parts["file"] = gr.UploadButton(
                say("button_upload_set"),
                file_types=list(SUFFIXES),
                size="sm",
            )
            parts["set_name"] = gr.Textbox(
                label=say("label_set_name"),
                info=say("info_set_public" if core.is_public else "info_set_name"),
                interactive=not core.is_public,
                max_lines=1,
            )
            parts["load"] = gr.Button(say("button_load"), size="sm", interactive=not core.is_public)
            parts["set_report"] = gr.HTML("", elem_id="set-report")
    parts["question"] = gr.Textbox(first.text, label=say("label_question"), lines=2, max_lines=6, elem_id="question")
    ideas = "\n".join(map(write_idea, first.ideas))
    parts["accepted"] = gr.Textbox(
        ideas, label=say("label_accepted"), placeholder=say("placeholder_accepted"), lines=2, max_lines=5
    )
    # Filled when the page opens: to know them, every run's questions are read.
    parts["stored_run"] = gr.Dropdown([], value=None, label=say("label_stored_run"), info=say("stored_info"))


def model_control(core: Service, info: Any = None) -> gr.Dropdown:
    """The models of the list; on a page of one's own, any other by its Hub id or folder."""
    return gr.Dropdown(
        core.model_choices(),
        value=DEFAULT_MODEL.name,
        label=labels()("label_model"),
        info=info,
        allow_custom_value=core.allows_any_model,
    )


def _model(core: Service, parts: dict[str, Any]) -> None:
    say = labels()
    parts["model"] = model_control(core, say("info_model") if core.allows_any_model else None)
    deepest = DEFAULT_MODEL.num_hidden_layers
    whole: dict[str, Any] = {"minimum": 1, "maximum": deepest, "precision": 0, "min_width": 80}
    with gr.Row():
        parts["first_layer"] = gr.Number(deepest // 2 + 1, label=say("label_first_layer"), **whole)
        parts["last_layer"] = gr.Number(deepest, label=say("label_last_layer"), **whole)
        parts["every"] = gr.Number(1, label=say("label_every"), **whole)


def _sampling(parts: dict[str, Any]) -> None:
    say = labels()
    with gr.Row():
        parts["num_samples"] = gr.Number(
            56, label=say("label_num_samples"), minimum=1, maximum=1000, precision=0, min_width=120
        )
        parts["temperature"] = gr.Number(
            _DEFAULTS.temperature, label=say("label_temperature"), minimum=0, maximum=10, step=0.1, min_width=120
        )
    with gr.Accordion(say("label_more_settings"), open=False):
        with gr.Row():
            parts["top_p"] = gr.Number(
                _DEFAULTS.top_p, label=say("label_top_p"), minimum=0.01, maximum=1, step=0.05, min_width=120
            )
            parts["top_k"] = gr.Number(_DEFAULTS.top_k, label=say("label_top_k"), minimum=0, precision=0, min_width=120)
        with gr.Row():
            parts["max_new_tokens"] = gr.Number(
                20, label=say("label_max_new_tokens"), minimum=1, maximum=512, precision=0, min_width=120
            )
            parts["seed"] = gr.Number(_DEFAULTS.seed, label=say("label_seed"), minimum=0, precision=0, min_width=120)
        parts["template"] = gr.Radio(
            [(say(f"template_{name}"), name) for name in TEMPLATE_NAMES],
            value=TEMPLATE_NAMES[0],
            label=say("label_template"),
        )
        parts["exit_head"] = gr.Radio(
            [(say(f"exit_head_{name}"), name) for name in EXIT_HEAD_NAMES],
            value=EXIT_HEAD_NAMES[0],
            label=say("label_exit_head"),
            info=say("info_exit_head"),
        )
        parts["judge"] = gr.Radio(
            [(say(f"judge_{name}"), name) for name in JUDGES],
            value=JUDGES[0],
            label=say("label_judge"),
            info=say("info_judge"),
        )
        parts["strategy"] = gr.Radio(
            [(say(f"strategy_{name}"), name) for name in STRATEGY_NAMES],
            value=STRATEGY_NAMES[0],
            label=say("label_strategy"),
            info=say("info_strategy"),
        )
    with gr.Accordion(say("exact_prompt"), open=False):
        parts["prompt"] = gr.HTML("", elem_id="prompt")


def _run(parts: dict[str, Any]) -> None:
    with gr.Column(elem_classes="hcl-run"):
        run_buttons(parts, "button_run", "status")
        parts["estimate"] = gr.HTML("", elem_id="estimate")
