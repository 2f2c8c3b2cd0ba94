"""From a sweep's file to the cells of its grid: every mistake is named at once, before anything runs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from hcl_core import registry
from hcl_core.errors import HclError, SweepError
from hcl_core.models.catalogue import find_model
from hcl_core.models.footprint import footprint
from hcl_core.models.shapes import ModelShape
from hcl_core.pipeline.request import RunRequest
from hcl_core.questions.report import OnReport
from hcl_core.records import Question, SamplingSettings
from hcl_core.settings.layers import parse_layer_choice
from hcl_core.settings.strategies import Strategy
from hcl_core.strict_yaml import as_lines, mistakes_in, parse_mapping, read_content
from hcl_core.sweeps.cells import Cell, Plan
from hcl_core.sweeps.foreseen import Asked, foreseen_mistakes
from hcl_core.sweeps.spec import OWN_MISTAKE, QuestionChoice, SweepSpec
from hcl_core.sweeps.spec import Question as QuestionField
from hcl_core.text import printable

_MOST_BYTES = 200_000
# Of a grid: far more than anybody waits for, and a table of them can still be read.
_MOST_CELLS = 10_000
_ADVICE = "docs/sweep.md describes the format"
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What the machine has of what the file names."""

    shapes: dict[str, ModelShape]
    sets: dict[QuestionChoice, tuple[str, tuple[Question, ...]]]
    numbers: dict[QuestionChoice, int]


def read_plan(
    path: Path,
    device: str | None = "auto",
    download: bool = False,
    on_report: OnReport | None = None,
) -> Plan:
    """The plan of the sweep in a file.

    Args:
        path: The file, in YAML.
        device: As ``load_replicas`` takes it; ``None``: others compute, whose memory and weights are not known here.
        download: Whether a model of the catalogue may be fetched when its turn comes.
        on_report: Told what loading a question set did.

    Raises:
        SweepError: With a line for every mistake.
    """
    content = read_content(path, "sweep", _MOST_BYTES, SweepError)
    try:
        values = parse_mapping(content, _MOST_BYTES, "models", SweepError)
        return _make_plan(values, device, download, on_report)
    except SweepError as error:
        raise SweepError(f"the sweep {printable(str(path))} has mistakes ({_ADVICE}):\n{error}") from None


def make_plan(
    values: Mapping[str, Any], device: str | None = "auto", download: bool = False, on_report: OnReport | None = None
) -> Plan:
    """The plan of a sweep whose keys and values are those of a file; see ``read_plan``."""
    try:
        return _make_plan(dict(values), device, download, on_report)
    except SweepError as error:
        raise SweepError(f"the sweep has mistakes ({_ADVICE}):\n{error}") from None


def _make_plan(values: dict[Any, Any], device: str | None, download: bool, on_report: OnReport | None) -> Plan:
    spec, mistakes = None, []
    try:
        spec = SweepSpec.model_validate(values)
    except (ValidationError, RecursionError) as error:
        mistakes += mistakes_in(error, OWN_MISTAKE, "sweep")
    loaded = _Loaded({}, {}, {})
    mistakes += _mistakes_of_models(values, device, download, loaded)
    mistakes += _mistakes_of_sets(values, loaded, on_report)
    asked = Asked.of(
        values,
        [each for each in _texts(values, "models") if each[1] in loaded.shapes],
        _texts(values, "exit_heads"),
        {loaded.numbers[choice]: questions for choice, (_, questions) in loaded.sets.items()},
    )
    mistakes += (f"{place}: {error}" for place, error in foreseen_mistakes(asked, device, download))
    if mistakes or spec is None:
        raise SweepError(as_lines(mistakes))
    cells, mistakes = _cells(spec, loaded)
    if mistakes:
        raise SweepError(as_lines(mistakes))
    return Plan(cells)


def _texts(values: dict[Any, Any], key: str) -> list[tuple[int, str]]:
    """The texts of a list in the file, as far as it can be read, with their places counted from 1."""
    found = values.get(key)
    items = found if isinstance(found, list) else []
    return [(number, item) for number, item in enumerate(items, 1) if isinstance(item, str) and item]


def _mistakes_of_models(values: dict[Any, Any], device: str | None, download: bool, loaded: _Loaded) -> Iterator[str]:
    """What this machine lacks of the models, and what the models lack of the layers and for the strategies."""
    for number, name in _texts(values, "models"):
        place, known = f"models {number}", find_model(name)
        try:
            shape = registry.model_shape(name)
        except HclError as error:
            yield f"{place}: {error}"
            continue
        loaded.shapes[name] = shape
        if device is not None and not download and known is not None and not registry.is_available(known):
            missing = SweepError(f"the weights of {name} are not on this machine; --download fetches them")
            yield f"{place}: {missing}"
        yield from (f"{place}: {text}" for text in _mistakes_of_shape(name, shape, values, device))


def _mistakes_of_shape(name: str, shape: ModelShape, values: dict[Any, Any], device: str | None) -> Iterator[str]:
    layers = values.get("layers", "all")
    text = ",".join(map(str, layers)) if isinstance(layers, list) else layers
    try:
        choice = parse_layer_choice(text) if isinstance(text, str) else None
    except HclError:
        choice = None  # said with the format
    try:
        if choice is not None:
            choice.resolve(shape.num_hidden_layers)
    except HclError as error:
        yield f"{name}: {error}"
    for number, text in _texts(values, "strategies"):
        try:
            rule = Strategy.parse(text).rule
        except HclError:
            continue
        if rule is not None and rule.name == "agreement" and rule.threshold > shape.num_hidden_layers:
            short = SweepError(f"{text} asks for more layers than the {shape.num_hidden_layers} of {name}")
            yield f"strategies {number}: {short}"
    dtype = values.get("dtype", "auto")
    if device is None:
        return
    try:
        free, on_cpu = registry.free_memory(device)
        weights = registry.weight_format(dtype if isinstance(dtype, str) else "auto", device)
        needs = footprint(shape, weights, on_cpu=on_cpu).minimum
        if needs > free:
            raise SweepError(f"needs {needs / _GIB:.1f} GiB in {weights.name}, and {free / _GIB:.1f} GiB are free")
    except HclError as error:
        yield f"{name}: {error}"


def _mistakes_of_sets(values: dict[Any, Any], loaded: _Loaded, on_report: OnReport | None) -> Iterator[str]:
    found = values.get("questions")
    for number, item in enumerate(found if isinstance(found, list) else [], 1):
        try:
            choice = TypeAdapter(QuestionField).validate_python(item)
        except ValidationError:
            continue  # said with the format
        try:
            source = registry.load_questions(choice.set, choice.split, on_report=on_report)
            questions = tuple(choice.selection.of(source))
        except HclError as error:
            yield f"questions {number}: {error}"
            continue
        loaded.sets[choice], loaded.numbers[choice] = (choice.selection.describe(source.name), questions), number


def _cells(spec: SweepSpec, loaded: _Loaded) -> tuple[tuple[Cell, ...], list[str]]:
    """The cells, the model changing slowest; and what no run takes, each mistake once."""
    choice, template = parse_layer_choice(spec.layers), spec.prompt_template
    cells: list[Cell] = []
    mistakes: dict[str, None] = {}
    axes = (spec.models, spec.questions, spec.exit_heads, spec.strategies, spec.temperatures, spec.seeds)
    num_cells = 1
    for axis in axes:
        num_cells *= len(axis)
    if num_cells > _MOST_CELLS:
        error = SweepError(f"the grid has {num_cells:,} cells, and a sweep takes {_MOST_CELLS:,}: divide it")
        return (), [str(error)]
    for model, asked, head, strategy, temperature, seed in product(*axes):
        if temperature == 0 and seed != spec.seeds[0]:
            continue  # greedy answers are the same with every seed
        name, questions = loaded.sets[asked]
        try:
            sampling = SamplingSettings(temperature, spec.top_p, spec.top_k, spec.max_new_tokens, seed)
            request = RunRequest(
                model=model,
                questions=questions,
                question_set=name,
                layers=choice,
                num_samples=spec.samples,
                sampling=sampling,
                template=template,
                exit_head=head,
                judge=spec.judge,
                strategy=Strategy.parse(strategy),
                ideas=spec.ideas,
            )
        except HclError as error:
            mistakes[f"questions {spec.questions.index(asked) + 1}: {error}"] = None
            continue
        exit_layers = choice.resolve(loaded.shapes[model].num_hidden_layers)
        cells.append(Cell(request, spec.dtype, exit_layers))
    return tuple(cells), list(mistakes)
