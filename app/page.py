"""The page: what stands where, and which event calls which handler."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from app import figures, handlers, service, views
from app.components import AnswerColumns, LayerChart, plotly_js
from hcl_core.catalogue import EXIT_HEAD_NAMES
from hcl_core.prompts import TEMPLATE_NAMES
from hcl_core.records import Question, SamplingSettings

_DEFAULTS = SamplingSettings()
_TITLE = (
    '<div class="hcl-title"><h1>HCL Explorer</h1>'
    "<span>How a language model’s answers change with the layer at which it stops</span></div>"
)


def build(core: service.Service) -> gr.Blocks:
    """The page around ``core``. Launching it is ``app.py``'s."""
    gr.set_static_paths([plotly_js()])
    with gr.Blocks(title="HCL Explorer", analytics_enabled=False, fill_width=True) as page:
        gr.HTML(_TITLE)
        with gr.Tabs():
            with gr.Tab("Explore"):
                _explore_tab(core, page)
            with gr.Tab("Compare") as compare:
                _compare_tab(core, compare)
    page.queue(max_size=32, default_concurrency_limit=4)
    return page


def _explore_tab(core: service.Service, page: gr.Blocks) -> None:
    """One question: its settings on the left, what came of it on the right."""
    questions = {question.text: question for question in service.starter_questions()}
    with gr.Row(equal_height=False, elem_classes="hcl-main"):
        with gr.Column(scale=1, min_width=310, elem_classes="hcl-controls"):
            controls, run, stop, status, starter, stored_run = _controls(core, questions)
        with gr.Column(scale=4, min_width=320, elem_classes="hcl-results"):
            headline = gr.HTML(views.WELCOME, elem_id="headline")
            with gr.Column(elem_classes="hcl-panel"):
                chart = LayerChart(elem_id="curves")
                with gr.Row(elem_classes="hcl-balance"):
                    balance = gr.Slider(
                        0, 100, 50, step=5, label="Balance: % creativity, the rest accuracy", min_width=240
                    )
                    scaling = gr.Radio(
                        [("over these layers", "min_max"), ("absolute", "absolute")],
                        value="min_max",
                        label="Creativity scaled",
                        min_width=240,
                    )
            answers = AnswerColumns(elem_id="answers")
    shown = gr.State(None)
    outputs = [headline, chart, answers, status, shown]

    def explore(request: gr.Request, creativity: float, scaled: str, *values: Any) -> Iterator[handlers.Outputs]:
        """Sample, judge and score answers at every exit layer; a headline, a figure, answers and a status."""
        yield from handlers.explore(core, request.session_hash or "", creativity, scaled, *values)

    def stop_run(request: gr.Request) -> tuple[str, Any]:
        return handlers.stop(core, request.session_hash or ""), gr.update(interactive=False)

    def show(text: str, run_id: str | None, creativity: float, scaled: str) -> handlers.Outputs:
        """The stored answers to a starter question."""
        if not run_id:
            return (gr.skip(),) * 5
        return handlers.show_stored(run_id, questions[text].id, creativity, scaled)

    begun = run.click(_while_running, None, [status, run, stop], queue=False, api_visibility="private")
    running = begun.then(
        explore,
        [balance, scaling, *controls],
        outputs,
        api_name="explore",
        concurrency_id="model",
        concurrency_limit=1,
        show_progress="hidden",
    )
    running.then(_when_idle, None, [run, stop], queue=False, api_visibility="private")
    stop.click(stop_run, None, [status, stop], queue=False, api_visibility="private")
    stored = [starter, stored_run, balance, scaling]
    quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    page.load(show, stored, outputs, **quiet)
    gr.on([starter.input, stored_run.input], show, stored, outputs, **quiet)
    gr.on(
        [balance.input, scaling.input],
        handlers.rebalance,
        [shown, balance, scaling],
        [headline, chart],
        trigger_mode="always_last",
        **quiet,
    )


def _compare_tab(core: service.Service, tab: gr.Tab) -> None:
    """Two stored runs over each other; computed when the tab is opened, and when a choice changes."""
    with gr.Row(equal_height=False, elem_classes="hcl-main"):
        with gr.Column(scale=1, min_width=310, elem_classes="hcl-controls"):
            first = gr.Dropdown(label="First run", allow_custom_value=False)
            second = gr.Dropdown(label="Second run", allow_custom_value=False)
            measure = gr.Radio(
                [(words, name) for name, (words, _) in figures.MEASURES.items()], value="hcb_score", label="Compare"
            )
        with gr.Column(scale=4, min_width=320, elem_classes="hcl-results"):
            said = gr.HTML(views.status("Comparing …"), elem_id="comparison")
            with gr.Column(elem_classes="hcl-panel"):
                chart = LayerChart(elem_id="compared")

    def list_runs(first_id: str | None, second_id: str | None) -> tuple[Any, Any]:
        """The runs there are now; a live one may have come since."""
        runs = [(run.describe(), run.manifest.run_id) for run in core.starter_runs()]
        ids = [run_id for _, run_id in runs]
        chosen = [
            each if each in ids else (ids[place] if place < len(ids) else None)
            for place, each in enumerate((first_id, second_id))
        ]
        return gr.update(choices=runs, value=chosen[0]), gr.update(choices=runs, value=chosen[1])

    choice, quiet = [first, second, measure], {"show_progress": "hidden", "api_visibility": "private"}
    opened = tab.select(list_runs, [first, second], [first, second], queue=False, **quiet)
    opened.then(handlers.compare, choice, [said, chart], **quiet)
    gr.on([first.input, second.input, measure.input], handlers.compare, choice, [said, chart], **quiet)


def _while_running() -> tuple[Any, Any, Any]:
    """A word at once, also where others are before this run; Run rests, Stop is ready."""
    return views.status("Waiting for its turn …"), gr.update(interactive=False), gr.update(interactive=True)


def _when_idle() -> tuple[Any, Any]:
    """Run is ready, Stop rests."""
    return gr.update(interactive=True), gr.update(interactive=False)


def _controls(
    core: service.Service, questions: dict[str, Question]
) -> tuple[list[Any], gr.Button, gr.Button, gr.HTML, gr.Dropdown, gr.Dropdown]:
    """The left column: a run's inputs as ``handlers.make_request`` takes them, Run, Stop, status, stored answers."""
    first = next(iter(questions.values()))
    runs = [(run.describe(), run.manifest.run_id) for run in core.starter_runs()]
    stored_run = gr.Dropdown(
        runs, value=runs[0][1] if runs else None, label="Stored answers of", info="Shown at once, without a model"
    )
    model = gr.Dropdown(
        core.model_choices(),
        value=service.DEFAULT_MODEL_NAME,
        label="Model",
        info="Or type a Hub id or a local folder" if core.allows_any_model else None,
        allow_custom_value=core.allows_any_model,
    )
    starter = gr.Dropdown(list(questions), value=first.text, label="Starter question", filterable=True)
    question = gr.Textbox(first.text, label="Question", lines=2, max_lines=6)
    accepted = gr.Textbox("\n".join(first.accepted_answers), label="Accepted answers, one a line", lines=3, max_lines=6)
    deepest = service.num_hidden_layers(service.DEFAULT_MODEL_NAME) or 32
    with gr.Row():
        first_layer = gr.Number(
            deepest // 2 + 1, label="First layer", minimum=1, maximum=deepest, precision=0, min_width=80
        )
        last_layer = gr.Number(deepest, label="Last layer", minimum=1, maximum=deepest, precision=0, min_width=80)
        every = gr.Number(1, label="Every", minimum=1, maximum=deepest, precision=0, min_width=80)
    with gr.Row():
        num_samples = gr.Number(56, label="Answers a layer", minimum=1, maximum=1000, precision=0, min_width=120)
        temperature = gr.Number(
            _DEFAULTS.temperature, label="Temperature", minimum=0, maximum=10, step=0.1, min_width=120
        )
    with gr.Accordion("Sampling, prompt, head and judge", open=False):
        with gr.Row():
            top_p = gr.Number(_DEFAULTS.top_p, label="Top-p", minimum=0.01, maximum=1, step=0.05, min_width=120)
            top_k = gr.Number(_DEFAULTS.top_k, label="Top-k (0: off)", minimum=0, precision=0, min_width=120)
        with gr.Row():
            max_new_tokens = gr.Number(20, label="Tokens at most", minimum=1, maximum=512, precision=0, min_width=120)
            seed = gr.Number(_DEFAULTS.seed, label="Seed", minimum=0, precision=0, min_width=120)
        template = gr.Radio(list(TEMPLATE_NAMES), value=TEMPLATE_NAMES[0], label="Prompt")
        exit_head = gr.Radio(list(EXIT_HEAD_NAMES), value=EXIT_HEAD_NAMES[0], label="Exit head")
        judge = gr.Radio(["alias", "semantic", "paper"], value="alias", label="Judge")
    with gr.Row():
        run = gr.Button("Run", variant="primary", size="lg", scale=2, min_width=120)
        stop = gr.Button("Stop", size="lg", scale=1, min_width=80, interactive=False)
    status = gr.HTML(views.status("Ready. The model is loaded on the first run."), elem_id="status")

    def choose(text: str) -> tuple[str, str]:
        chosen = questions[text]
        return chosen.text, "\n".join(chosen.accepted_answers)

    def fit_layers(name: str) -> list[Any]:
        layers = service.num_hidden_layers(name)
        if layers is None:  # not known before it is loaded; the run will say if a layer does not exist
            return [gr.update(maximum=None)] * 3
        return [
            gr.update(value=layers // 2 + 1, maximum=layers),
            gr.update(value=layers, maximum=layers),
            gr.update(maximum=layers),
        ]

    starter.change(choose, starter, [question, accepted], queue=False, api_visibility="private")
    model.change(fit_layers, model, [first_layer, last_layer, every], queue=False, api_visibility="private")
    inputs = [model, question, accepted, first_layer, last_layer, every, num_samples]
    inputs += [temperature, top_p, top_k, max_new_tokens, seed, template, exit_head, judge]
    return inputs, run, stop, status, starter, stored_run
