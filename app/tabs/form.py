"""The bar of Explore, which asks, and the drawer below it, which holds every setting of a run."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from app.components import IdeaChips, QuestionList, SettingChips
from app.handlers.form import CONTROLS, JUDGES, NUMBERS
from app.inputs import ListedChoice, number_of
from app.language import labels
from app.service import Service
from app.tabs.base import run_and_stop
from app.tabs.head import build_head
from app.terms import explain
from hcl_core.models.catalogue import DEFAULT_MODEL
from hcl_core.models.head_records import EXIT_HEAD_NAMES
from hcl_core.questions.files import SUFFIXES
from hcl_core.questions.own import write_idea
from hcl_core.records import SamplingSettings
from hcl_core.settings.prompts import TEMPLATE_NAMES
from hcl_core.settings.strategies import STRATEGY_NAMES

_DEFAULTS = SamplingSettings()
# Controls whose labels get a mark.
_EXPLAINED = (
    "first_layer", "num_samples", "temperature", "top_p", "top_k", "max_new_tokens", "seed", "template", "exit_head",
    "judge", "strategy",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FormControls:
    """The components of the bar and the drawer.

    Attributes:
        parts: By name.
        head: Those of ``tabs.head``.
        ran: The event at whose end a run has ended; ``None`` until the tab is wired.
    """

    parts: dict[str, Any]
    head: dict[str, Any]
    ran: Any = None

    @property
    def controls(self) -> list[Any]:
        """Those whose values ``handlers.form`` reads, in its order."""
        return [self.parts[name] for name in CONTROLS]


def build_form(core: Service) -> FormControls:
    """Lay out the bar, and the drawer, which is closed until a visitor opens it."""
    parts: dict[str, Any] = {}
    head: dict[str, Any] = {}
    _bar(core, parts)
    with gr.Column(elem_classes="hcl-asked-with"):
        parts["ideas"] = IdeaChips(elem_id="ideas")
        with gr.Row(elem_classes="hcl-set-line"):
            parts["chips"] = SettingChips(elem_id="chips")
            parts["estimate"] = gr.HTML("", elem_id="estimate")
            parts["facts"] = gr.HTML("", elem_id="model-facts")
    with gr.Row(elem_id="drawer", elem_classes="hcl-drawer", equal_height=False):
        _model(core, parts, head)
        _sampling(parts)
        _prompt_and_judge(parts)
        _set(core, parts)
    explain(parts, _EXPLAINED)
    return FormControls(parts, head)


def _bar(core: Service, parts: dict[str, Any]) -> None:
    """The question, Run and Stop, and what is going on; it stays in view."""
    say = labels()
    first = core.sets.get("", None).questions[0]
    with gr.Column(elem_classes="hcl-ask"):
        with gr.Row(elem_classes="hcl-ask-row", equal_height=False):
            with gr.Column(elem_classes="hcl-question", min_width=0, scale=1):
                parts["question"] = gr.Textbox(
                    first.text,
                    label=say("label_question"),
                    placeholder=say("placeholder_question"),
                    lines=1,
                    max_lines=3,
                    elem_id="question",
                )
                parts["found"] = QuestionList(elem_id="found")
            run_and_stop(parts, "button_run", ("run", "stop"))
        with gr.Row(elem_classes="hcl-status-line"):
            parts["status"] = gr.HTML("", elem_id="status")
            gr.HTML(say("hint_keys"), elem_classes="hcl-keys")
    ideas = "\n".join(map(write_idea, first.ideas))
    # Not in sight: its lines are the chips. Programs that call the page send it as it is.
    parts["accepted"] = gr.Textbox(ideas, label=say("label_accepted"), lines=2, elem_id="accepted")


def model_control(core: Service, info: Any = None, elem_id: str | None = None) -> gr.Dropdown:
    """The models of the list; on a page of one's own, any other by its Hub id or folder.

    ``tabs.model`` adds what is known of each to its label, in the visitor's language; the value stays its name.
    """
    say = labels()
    return gr.Dropdown(
        [
            (f"{each.name} · {each.num_hidden_layers} {say('model_layers')}", each.name)
            for each in core.offered_models()
        ],
        value=DEFAULT_MODEL.name,
        label=say("label_model"),
        info=info,
        allow_custom_value=core.allows_any_model,
        elem_id=elem_id,
    )


def _group() -> gr.Column:
    """A column of the drawer."""
    return gr.Column(min_width=270, elem_classes="hcl-group")


def _heading(key: str) -> None:
    gr.HTML(labels()(key), elem_classes="hcl-group-name")


def _model(core: Service, parts: dict[str, Any], head: dict[str, Any]) -> None:
    say = labels()
    deepest = DEFAULT_MODEL.num_hidden_layers
    layer: dict[str, Any] = {"high": deepest, "min_width": 70}
    with _group():
        _heading("group_model")
        parts["model"] = model_control(core, say("info_model") if core.allows_any_model else None, "set-model")
        with gr.Row():
            parts["first_layer"] = number_of(
                NUMBERS["first_layer"], deepest // 2 + 1, elem_id="set-first_layer", **layer
            )
            parts["last_layer"] = number_of(NUMBERS["last_layer"], deepest, **layer)
            parts["every"] = number_of(NUMBERS["every"], 1, **layer)
        parts["exit_head"] = gr.Radio(
            [(say(f"exit_head_{name}"), name) for name in EXIT_HEAD_NAMES],
            value=EXIT_HEAD_NAMES[0],
            label=say("label_exit_head"),
            info=say("info_exit_head"),
        )
        head |= build_head(core)


def _sampling(parts: dict[str, Any]) -> None:
    say = labels()

    def number(name: str, value: float, **named: Any) -> None:
        parts[name] = number_of(NUMBERS[name], value, min_width=110, **named)

    with _group():
        _heading("group_sampling")
        with gr.Row():
            number("num_samples", 56, elem_id="set-num_samples")
            number("temperature", _DEFAULTS.temperature, step=0.1, elem_id="set-temperature")
        with gr.Row():
            number("top_p", _DEFAULTS.top_p, step=0.05)
            number("top_k", _DEFAULTS.top_k)
        with gr.Row():
            number("max_new_tokens", 20)
            number("seed", _DEFAULTS.seed)
        parts["strategy"] = gr.Radio(
            [(say(f"strategy_{name}"), name) for name in STRATEGY_NAMES],
            value=STRATEGY_NAMES[0],
            label=say("label_strategy"),
            info=say("info_strategy"),
        )


def _prompt_and_judge(parts: dict[str, Any]) -> None:
    say = labels()
    with _group():
        _heading("group_prompt")
        parts["template"] = gr.Radio(
            [(say(f"template_{name}"), name) for name in TEMPLATE_NAMES],
            value=TEMPLATE_NAMES[0],
            label=say("label_template"),
        )
        with gr.Accordion(say("exact_prompt"), open=False):
            parts["prompt"] = gr.HTML("", elem_id="prompt")
        parts["judge"] = gr.Radio(
            [(say(f"judge_{name}"), name) for name in JUDGES],
            value=JUDGES[0],
            label=say("label_judge"),
            info=say("info_judge"),
        )


def _set(core: Service, parts: dict[str, Any]) -> None:
    say = labels()
    with _group():
        _heading("group_set")
        parts["set"] = ListedChoice(["starter"], value="starter", label=say("label_set"), info=say("info_search_set"))
        endings = [each for each in SUFFIXES if not (core.is_public and each == ".parquet")]
        parts["file"] = gr.UploadButton(say("button_upload_set"), file_types=endings, size="sm")
        parts["set_name"] = gr.Textbox(
            label=say("label_set_name"),
            info=say("info_set_public" if core.is_public else "info_set_name"),
            interactive=not core.is_public,
            max_lines=1,
        )
        parts["load"] = gr.Button(say("button_load"), size="sm", interactive=not core.is_public)
        parts["set_report"] = gr.HTML("", elem_id="set-report")
