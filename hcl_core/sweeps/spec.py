"""The format of a sweep's file, version 1, which ``docs/sweep.md`` describes: what is not in it is a mistake."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from hcl_core.errors import HclError, SweepError
from hcl_core.ideas.names import check_idea_finder
from hcl_core.judges.names import check_judge
from hcl_core.models.footprint import WEIGHT_FORMATS
from hcl_core.models.head_records import check_exit_head
from hcl_core.questions.selection import Selection
from hcl_core.records import SamplingSettings
from hcl_core.runs.manifest import check_num_samples
from hcl_core.settings.layers import parse_layer_choice
from hcl_core.settings.prompts import PromptTemplate, load_template
from hcl_core.settings.strategies import Strategy

# Type of the mistakes that are told by our own errors.
OWN_MISTAKE = "sweep"
_DTYPES = ("auto", "fastest", *WEIGHT_FORMATS)

T = TypeVar("T")


def _checked(check: Callable[[T], object]) -> AfterValidator:
    """A validator that leaves the value as it is; what ``check`` raises is the mistake."""

    def validate(value: T) -> T:
        try:
            check(value)
        except HclError as error:
            raise _own(error) from None
        return value

    return AfterValidator(validate)


def _own(error: HclError) -> PydanticCustomError:
    return PydanticCustomError(OWN_MISTAKE, "{text}", {"text": str(error)})


def _check_different(values: list[Any]) -> None:
    """Raise for two values of an axis that are the same, however they are written."""
    seen: set[str] = set()
    for value in values:
        if str(value) in seen:
            raise SweepError(f"{str(value)[:80]!r} stands there twice")
        seen.add(str(value))


def _as_text(value: object) -> object:
    """Layers as text: YAML takes 2:30 for a number of base 60."""
    if isinstance(value, list) and all(type(layer) is int for layer in value):
        return ",".join(map(str, value))
    if not isinstance(value, str):
        raise _own(
            SweepError("layers are a text in quotation marks, such as '2:30:2' or 'all', or a list, such as [24, 28]")
        )
    return value


def _as_choice(value: object) -> object:
    return {"set": value} if isinstance(value, str) else value


def _sampling(name: str) -> AfterValidator:
    def check(value: Any) -> None:
        SamplingSettings(**{name: value})

    return _checked(check)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class QuestionChoice(_Strict):
    """Questions of a set.

    Attributes:
        set: ``starter``, a set known by name, or a file or folder.
        split: Of a data set.
        limit: The most questions.
        shuffle_seed: Of a shuffle before the limit.
        min_answers: Accepted ideas of each question.
    """

    set: Annotated[str, Field(min_length=1)]
    split: str | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    shuffle_seed: Annotated[int, Field(ge=0)] | None = None
    min_answers: Annotated[int, Field(ge=1)] = 1

    @property
    def selection(self) -> Selection:
        """Which questions of the set."""
        return Selection(self.limit, self.shuffle_seed, self.min_answers)


Model = Annotated[str, Field(min_length=1)]
Layers = Annotated[str, BeforeValidator(_as_text), _checked(parse_layer_choice)]
Question = Annotated[QuestionChoice, BeforeValidator(_as_choice)]
Temperature = Annotated[float, _sampling("temperature")]
ExitHead = Annotated[str, _checked(check_exit_head)]
Seed = Annotated[int, _sampling("seed")]
StrategyText = Annotated[str, _checked(Strategy.parse), AfterValidator(lambda text: str(Strategy.parse(text)))]


Axis = Annotated[list[T], Field(min_length=1, max_length=1_000), _checked(_check_different)]


class SweepSpec(_Strict):
    """What a sweep's file says: the axes of the grid, and what all its runs have in common.

    Attributes:
        models: Catalogue names, Hub ids or local folders.
        questions: Sets of questions; each is a run's own.
        exit_heads: Names of exit heads, or their files.
        temperatures: Of sampling; 0 is greedy.
        seeds: Of the noise.
        strategies: How the exit layers are used.
        layers: Exit layers, as ``run --layers`` takes them.
        samples: Answers a question and layer.
        top_p: Probability mass of the nucleus.
        top_k: Most probable tokens to draw from; 0 is all.
        max_new_tokens: Longest answer.
        template: Name of the prompt template.
        template_file: Or the user's own.
        judge: Name of the judge.
        ideas: Name of the idea finder.
        dtype: Number format of the weights.
    """

    models: Axis[Model]
    questions: Axis[Question]
    exit_heads: Axis[ExitHead] = ["auto"]
    temperatures: Axis[Temperature] = [SamplingSettings().temperature]
    seeds: Axis[Seed] = [0]
    strategies: Axis[StrategyText] = ["early_exit"]
    layers: Layers = "all"
    samples: Annotated[int, _checked(check_num_samples)] = 50
    top_p: Annotated[float, _sampling("top_p")] = SamplingSettings().top_p
    top_k: Annotated[int, _sampling("top_k")] = SamplingSettings().top_k
    max_new_tokens: Annotated[int, _sampling("max_new_tokens")] = SamplingSettings().max_new_tokens
    template: Annotated[str, _checked(load_template)] = "few_shot"
    template_file: Annotated[str, _checked(lambda name: load_template(file=Path(name)))] | None = None
    judge: Annotated[str, _checked(check_judge)] = "alias"
    ideas: Annotated[str, _checked(check_idea_finder)] = "accepted"
    dtype: Annotated[str, Field(pattern=f"^({'|'.join(_DTYPES)})$")] = "auto"

    @property
    def prompt_template(self) -> PromptTemplate:
        """How a question becomes a prompt."""
        return load_template(self.template, Path(self.template_file) if self.template_file is not None else None)
