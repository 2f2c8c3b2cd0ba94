"""A run, from a question or a set of them to its scores."""

import logging
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from rich.console import Console

from hcl_core import registry
from hcl_core.api.arguments import (
    as_flag,
    as_ideas,
    as_layers,
    as_name,
    as_number,
    as_path,
    as_questions,
    as_text,
    as_whole,
)
from hcl_core.api.judging import Judged
from hcl_core.api.models import Model, loaded
from hcl_core.api.progress import follow_run, progress_bars
from hcl_core.api.runs import Run
from hcl_core.api.states import store_states
from hcl_core.errors import SettingsError
from hcl_core.pipeline.request import RunRequest
from hcl_core.pipeline.starting import start
from hcl_core.questions.report import LoadReport
from hcl_core.questions.selection import Selection
from hcl_core.records import Question, SamplingSettings
from hcl_core.runs.states import OWN_EXIT
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
    model: Model | str | Path,
    question: str | Question | Iterable[str | Question] | None = None,
    *,
    accept: str | float | Iterable[str | float | Sequence[str]] = (),
    questions: str | Path | Iterable[str | Question] | None = None,
    split: str | None = None,
    limit: int | None = None,
    shuffle_seed: int | None = None,
    min_answers: int = 1,
    preset: str | None = None,
    layers: str | int | Iterable[int] | None = None,
    samples: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    max_new_tokens: int | None = None,
    seed: int = _DEFAULTS.seed,
    exit_head: str | Path = "auto",
    strategy: str = "early_exit",
    template: str | Path | None = None,
    judge: str | None = None,
    ideas: str | None = None,
    save_states: str | int | Iterable[int] | None = None,
    folder: str | Path | None = None,
    progress: bool = True,
) -> Run:
    """Sample answers at every exit layer, judge and score them.

    The run is stored while it is made. Interrupted, it keeps the answers that it has, and the same call goes on; a run
    that is finished is opened. Its defaults are those of ``python -m hcl_core run``.

    Args:
        model: From ``load_model``, or a name of it.
        question: A question of your own; without ``accept`` it is open, and its answers are not judged right or wrong.
            Several texts are several open questions.
        accept: Accepted ideas; one that has several names is a tuple of them, or text such as ``"United States|USA"``.
        questions: In place of ``question``: ``"starter"``, another set that is known by name, or a file or folder of
            questions; or the questions themselves, as texts or ``Question`` records.
        split: Of a data set; by default the one that has answers.
        limit: The most questions that are asked.
        shuffle_seed: Shuffle the questions first.
        min_answers: Ask only questions with so many accepted ideas.
        preset: ``"paper"``: the layers, samples, sampling, template, judge, ideas and scaling of the paper's protocol,
            but by true early exit; an argument that is given replaces the preset's. ``None``: the defaults below.
        layers: ``"all"``, the default, ``"2:30:2"`` (the stop is included), ``"24,28,30"``, or the layers' numbers,
            from 1: one, or several in a list, a range or an array.
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
    selection = Selection(
        None if limit is None else as_whole("limit", limit, least=1),
        None if shuffle_seed is None else as_whole("shuffle_seed", shuffle_seed),
        as_whole("min_answers", min_answers, least=1),
    )
    chosen, question_set = _questions(question, accept, questions, split, selection)
    options, protocol = _with_preset(
        None if preset is None else as_text("preset", preset),
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
        model=model.name if isinstance(model, Model) else as_name("model", model),
        questions=tuple(chosen),
        question_set=question_set,
        layers=as_layers("layers", options["layers"]),
        num_samples=as_whole("samples", options["samples"]),
        sampling=SamplingSettings(
            temperature=as_number("temperature", options["temperature"]),
            top_p=as_number("top_p", options["top_p"]),
            top_k=as_whole("top_k", options["top_k"]),
            max_new_tokens=as_whole("max_new_tokens", options["max_new_tokens"]),
            seed=as_whole("seed", seed),
        ),
        template=template_of(options["template"]),
        exit_head=as_name("exit_head", exit_head),
        judge=as_text("judge", options["judge"]),
        preset=protocol,
        strategy=Strategy.parse(as_text("strategy", strategy)),
        ideas=as_text("ideas", options["ideas"]),
    )
    own_exit = save_states is None or (isinstance(save_states, str) and save_states == OWN_EXIT)
    states_of = None if own_exit else as_layers("save_states", save_states)
    out, shows = None if folder is None else as_path("folder", folder), as_flag("progress", progress)
    ready = loaded(model)
    state_layers = None if states_of is None else states_of.resolve(ready.num_layers)
    place, events = start(request, ready.lm, ready.checkpoint, out, others=ready.others)
    finished = follow_run(events, progress_bars(Console(stderr=True), shows))
    if save_states is not None:
        store_states(place, ready.lm, state_layers, progress_bars(Console(stderr=True), shows))
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
    question: Any, accept: Any, questions: Any, split: str | None, selection: Selection
) -> tuple[Sequence[Question], str]:
    """The questions to ask, and the name of their set."""
    if (question is None) == (questions is None):
        raise SettingsError("give either a question, with accept=[...] where answers can be right, or questions=...")
    if isinstance(questions, str | PathLike):
        if as_ideas(accept):
            raise SettingsError("accept goes with a question of your own; a set brings its own accepted answers")
        part = None if split is None else as_text("split", split)
        source = registry.load_questions(as_name("questions", questions), part, on_report=_log_report)
        return selection.of(source), selection.describe(source.name)
    if split is not None or selection != Selection():
        raise SettingsError("split, limit, shuffle_seed and min_answers go with a set of questions, by name or file")
    return as_questions(accept, question, questions), "own"


def _log_report(report: LoadReport) -> None:
    _log.log(logging.WARNING if report.num_skipped else logging.INFO, "%s", report.describe())


def template_of(template: Any) -> PromptTemplate:
    """The template of that name, or in that file."""
    if isinstance(template, PathLike):
        return load_template("file", as_path("template", template))
    return load_template(as_text("template", template))
