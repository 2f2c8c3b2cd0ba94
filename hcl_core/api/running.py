"""A run, from a question or a set of them to its scores."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from hcl_core import registry
from hcl_core.api.judging import Judged
from hcl_core.api.models import Model, loaded
from hcl_core.api.progress import follow_run, progress_bars
from hcl_core.api.runs import Run
from hcl_core.api.states import store_states
from hcl_core.errors import SettingsError
from hcl_core.pipeline.request import RunRequest
from hcl_core.pipeline.starting import start
from hcl_core.questions.own import make_question, read_idea
from hcl_core.questions.report import LoadReport
from hcl_core.questions.selection import Selection
from hcl_core.records import Question, SamplingSettings
from hcl_core.runs.states import OWN_EXIT
from hcl_core.settings.layers import LayerChoice, LayerList, parse_layer_choice
from hcl_core.settings.presets import describe_preset, find_preset
from hcl_core.settings.prompts import PromptTemplate, load_template
from hcl_core.settings.strategies import Strategy

_DEFAULTS = SamplingSettings()
_SAMPLING = ("temperature", "top_p", "top_k", "max_new_tokens")
# Without a preset. The names are those of ``Preset.options``.
_USUAL: dict[str, object] = {
    "layers": "all",
    "samples": 50,
    **{name: getattr(_DEFAULTS, name) for name in _SAMPLING},
    "template": "few_shot",
    "judge": "alias",
    "ideas": "accepted",
}
_log = logging.getLogger(__name__)


def run(
    model: Model | str,
    question: str | None = None,
    *,
    accept: str | Iterable[str | tuple[str, ...]] = (),
    questions: str | Path | Iterable[Question] | None = None,
    split: str | None = None,
    limit: int | None = None,
    shuffle_seed: int | None = None,
    min_answers: int = 1,
    preset: str | None = None,
    layers: str | Iterable[int] | None = None,
    samples: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    max_new_tokens: int | None = None,
    seed: int = _DEFAULTS.seed,
    exit_head: str = "auto",
    strategy: str = "early_exit",
    template: str | Path | None = None,
    judge: str | None = None,
    ideas: str | None = None,
    save_states: str | Iterable[int] | None = None,
    folder: str | Path | None = None,
    progress: bool = True,
) -> Run:
    """Sample answers at every exit layer, judge and score them.

    The run is stored while it is made. Interrupted, it keeps the answers that it has, and the same call goes on; a run
    that is finished is opened. Its defaults are those of ``python -m hcl_core run``.

    Args:
        model: From ``load_model``, or a name of it.
        question: A question of your own; without ``accept`` it is open, and its answers are not judged right or wrong.
        accept: Accepted ideas; one that has several names is a tuple of them, or text such as ``"United States|USA"``.
        questions: In place of ``question``: ``"starter"``, another set that is known by name, or a file or folder of
            questions; or the questions themselves.
        split: Of a data set; by default the one that has answers.
        limit: The most questions that are asked.
        shuffle_seed: Shuffle the questions first.
        min_answers: Ask only questions with so many accepted ideas.
        preset: ``"paper"``: the layers, samples, sampling, template, judge, ideas and scaling of the paper's protocol,
            but by true early exit; an argument that is given replaces the preset's. ``None``: the defaults below.
        layers: ``"all"``, the default, ``"2:30:2"`` (the stop is included), ``"24,28,30"``, or the layers' numbers,
            from 1.
        samples: Answers a question and layer; default 50.
        temperature: 0 is greedy; default 0.6.
        top_p: Probability mass of the nucleus; default 0.9.
        top_k: Most probable tokens to draw from; 0, the default, is all.
        max_new_tokens: Longest answer; default 50.
        seed: Of the noise: the same one gives the same answers.
        exit_head: ``"auto"``, ``"shared"``, ``"linear"``, or a file of `fit-head`.
        strategy: ``"early_exit"``, ``"self_speculative"`` or ``"dynamic"``, with their options as in the terminal.
        template: Name of a prompt template, by default ``"few_shot"``, or the ``Path`` of a file with one.
        judge: ``"alias"``, the default, ``"semantic"``, ``"paper"`` or ``"llm:MODEL"``.
        ideas: ``"accepted"``, the default, or ``"embedding"`` for clusters of meaning.
        save_states: Store the hidden states of the answers' tokens beside the run, for ``Run.states``: after the layers
            that are given, as in ``layers``; ``"exit"``: after the layer at which each answer was given.
        folder: The run's folder; by default one among your runs, named by the run's id.
        progress: Whether a bar is shown, in a terminal or a notebook.

    Raises:
        SettingsError: A value is outside its range, or some do not go together.
        HclError: The questions cannot be read, the model lacks a layer, or the folder holds something else.
    """
    selection = Selection(limit, shuffle_seed, min_answers)
    chosen, question_set = _questions(question, accept, questions, split, selection)
    options, protocol = _with_preset(
        preset,
        layers=layers,
        samples=samples,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        max_new_tokens=max_new_tokens,
        template=template,
        judge=judge,
        ideas=ideas,
    )
    request = RunRequest(
        model=model if isinstance(model, str) else model.name,
        questions=tuple(chosen),
        question_set=question_set,
        layers=_layers(options["layers"]),
        num_samples=options["samples"],
        sampling=SamplingSettings(**{name: options[name] for name in _SAMPLING}, seed=seed),
        template=template_of(options["template"]),
        exit_head=exit_head,
        judge=options["judge"],
        preset=protocol,
        strategy=Strategy.parse(strategy),
        ideas=options["ideas"],
    )
    ready = loaded(model)
    state_layers = None if save_states in (None, OWN_EXIT) else _layers(save_states).resolve(ready.num_layers)
    out = None if folder is None else Path(folder).expanduser()
    place, events = start(request, ready.lm, ready.checkpoint, out, others=ready.others)
    finished = follow_run(events, progress_bars(Console(stderr=True), progress))
    if save_states is not None:
        store_states(place, ready.lm, state_layers, progress_bars(Console(stderr=True), progress))
    return Run.of(Judged(place, finished.manifest, finished.table))


def _with_preset(name: str | None, **arguments: object) -> tuple[dict[str, Any], str | None]:
    """The options of a run by name, and what its manifest says of its preset; ``None`` is an argument not given."""
    given = {option: value for option, value in arguments.items() if value is not None}
    if name is None:
        return _USUAL | given, None
    preset = find_preset(name)
    options = preset.options() | given
    return options, describe_preset(preset, options)


def _questions(
    question: str | None,
    accept: str | Iterable[str | tuple[str, ...]],
    questions: str | Path | Iterable[Question] | None,
    split: str | None,
    selection: Selection,
) -> tuple[Sequence[Question], str]:
    """The questions to ask, and the name of their set."""
    accepted = [accept] if isinstance(accept, str) else list(accept)
    if (question is None) == (questions is None):
        raise SettingsError("give either a question, with accept=[...] where answers can be right, or questions=...")
    if question is None and accepted:
        raise SettingsError("accept goes with a question of your own; a set brings its own accepted answers")
    if isinstance(questions, str | Path):
        source = registry.load_questions(str(questions), split, on_report=_log_report)
        return selection.of(source), selection.describe(source.name)
    if split is not None or selection != Selection():
        raise SettingsError("split, limit, shuffle_seed and min_answers go with a set of questions, by name or file")
    if questions is not None:
        return list(questions), "own"
    return [
        make_question(question or "", (read_idea(each) if isinstance(each, str) else each for each in accepted))
    ], "own"


def _log_report(report: LoadReport) -> None:
    _log.log(logging.WARNING if report.num_skipped else logging.INFO, "%s", report.describe())


def _layers(layers: str | Iterable[int]) -> LayerChoice:
    return parse_layer_choice(layers) if isinstance(layers, str) else LayerList(tuple(sorted(set(layers))))


def template_of(template: str | Path) -> PromptTemplate:
    """The template of that name, or in that file."""
    return load_template("file", template) if isinstance(template, Path) else load_template(template)
