"""A run, from a question or a set of them to its scores."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console

from hcl_core import registry
from hcl_core.api.judging import Judged
from hcl_core.api.models import Model, loaded
from hcl_core.api.progress import follow_run, progress_bars
from hcl_core.api.runs import Run
from hcl_core.errors import SettingsError
from hcl_core.pipeline.request import RunRequest
from hcl_core.pipeline.starting import start
from hcl_core.questions.own import make_question, read_idea
from hcl_core.questions.report import LoadReport
from hcl_core.questions.selection import Selection
from hcl_core.records import Question, SamplingSettings
from hcl_core.settings.layers import LayerChoice, LayerList, parse_layer_choice
from hcl_core.settings.prompts import PromptTemplate, load_template
from hcl_core.settings.strategies import Strategy

_DEFAULTS = SamplingSettings()
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
    layers: str | Iterable[int] = "all",
    samples: int = 50,
    temperature: float = _DEFAULTS.temperature,
    top_p: float = _DEFAULTS.top_p,
    top_k: int = _DEFAULTS.top_k,
    max_new_tokens: int = _DEFAULTS.max_new_tokens,
    seed: int = _DEFAULTS.seed,
    exit_head: str = "auto",
    strategy: str = "early_exit",
    template: str | Path = "few_shot",
    judge: str = "alias",
    ideas: str = "accepted",
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
        layers: ``"all"``, ``"2:30:2"`` (the stop is included), ``"24,28,30"``, or the layers' numbers, from 1.
        samples: Answers a question and layer.
        temperature: 0 is greedy.
        top_p: Probability mass of the nucleus.
        top_k: Most probable tokens to draw from; 0 is all.
        max_new_tokens: Longest answer.
        seed: Of the noise: the same one gives the same answers.
        exit_head: ``"auto"``, ``"shared"``, ``"linear"``, or a file of `fit-head`.
        strategy: ``"early_exit"``, ``"self_speculative"`` or ``"dynamic"``, with their options as in the terminal.
        template: Name of a prompt template, or the ``Path`` of a file with one.
        judge: ``"alias"``, ``"semantic"``, ``"paper"`` or ``"llm:MODEL"``.
        ideas: ``"accepted"``, or ``"embedding"`` for clusters of meaning.
        folder: The run's folder; by default one among your runs, named by the run's id.
        progress: Whether a bar is shown, in a terminal or a notebook.

    Raises:
        SettingsError: A value is outside its range, or some do not go together.
        HclError: The questions cannot be read, the model lacks a layer, or the folder holds something else.
    """
    selection = Selection(limit, shuffle_seed, min_answers)
    chosen, question_set = _questions(question, accept, questions, split, selection)
    request = RunRequest(
        model=model if isinstance(model, str) else model.name,
        questions=tuple(chosen),
        question_set=question_set,
        layers=_layers(layers),
        num_samples=samples,
        sampling=SamplingSettings(temperature, top_p, top_k, max_new_tokens, seed),
        template=template_of(template),
        exit_head=exit_head,
        judge=judge,
        strategy=Strategy.parse(strategy),
        ideas=ideas,
    )
    ready = loaded(model)
    place, events = start(request, ready.lm, ready.checkpoint, None if folder is None else Path(folder).expanduser())
    finished = follow_run(events, progress_bars(Console(stderr=True), progress))
    return Run.of(Judged(place, finished.manifest, finished.table))


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
