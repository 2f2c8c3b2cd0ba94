"""The format of a lesson, version 1, which ``docs/class.md`` describes: what is not in it is a mistake."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from app.lessons.sources import check_question, check_run
from hcl_core.errors import HclError
from hcl_core.pipeline.request import RunRequest
from hcl_core.questions.own import make_question, read_idea
from hcl_core.records import SamplingSettings, Scaling
from hcl_core.settings.layers import LayerRange
from hcl_core.settings.prompts import load_template

Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
Text = Annotated[str, Field(min_length=1, max_length=2_000, pattern=r"\S")]
Layer = Annotated[int, Field(ge=1, le=1_000)]
Kind = Literal["best_layer", "most_right", "first_right", "first_mostly_right", "answer_at", "opinion"]
# Their predictions are layers; the others' are one of the lesson's options.
LAYER_KINDS: tuple[Kind, ...] = ("best_layer", "most_right", "first_right", "first_mostly_right")
Part = Literal["right", "creativity", "balance", "answers", "explore"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Presets(_Strict):
    """How scores are weighed in the lesson.

    Attributes:
        balance: Share of creativity in the balance, in percent.
        scaling: Of creativity.
    """

    balance: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 50
    scaling: Scaling = "possible"


class Ask(_Strict):
    """A question that is asked live, once for the whole class, when the teacher says so.

    Attributes:
        question: Its text.
        accept: Its right answers; the names of one are divided by ``|``.
        model: A model that is on the machine.
        samples: Answers a layer.
        temperature: Of sampling.
        first_layer: First exit layer.
        last_layer: Last one; none: the model's last.
        every: Distance between two.
        tokens: Of the longest answer.
        seed: Of all chance.
    """

    question: Line
    accept: Annotated[list[Line], Field(min_length=1, max_length=100)]
    model: Line = "smollm2-135m"
    samples: Annotated[int, Field(ge=1, le=100)] = 10
    temperature: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.6
    first_layer: Layer = 1
    last_layer: Layer | None = None
    every: Annotated[int, Field(ge=1, le=100)] = 1
    tokens: Annotated[int, Field(ge=1, le=100)] = 20
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        try:
            self.request()
        except HclError as error:
            raise _mistake(str(error)) from None
        return self

    def request(self) -> RunRequest:
        """The run; raises ``HclError`` for what no run takes."""
        return RunRequest(
            model=self.model,
            questions=(make_question(self.question, map(read_idea, self.accept)),),
            question_set="page",
            layers=LayerRange(self.first_layer, self.last_layer, self.every),
            num_samples=self.samples,
            sampling=SamplingSettings(temperature=self.temperature, max_new_tokens=self.tokens, seed=self.seed),
            template=load_template(),
        )


class Prediction(_Strict):
    """What the class predicts.

    Attributes:
        kind: What is asked; the right answer comes from the run, but for an ``opinion``, which has none.
        text: Of the question; left out: the usual one of its kind.
        options: To choose from, for ``answer_at`` and ``opinion``.
        spans: Of layers, first and last, to choose from in the place of a single layer.
        layer: Whose most common answer is asked for, in ``answer_at``.
    """

    kind: Kind
    text: Line | None = None
    options: Annotated[list[Line], Field(min_length=2, max_length=8)] | None = None
    spans: (
        Annotated[list[Annotated[list[Layer], Field(min_length=2, max_length=2)]], Field(min_length=2, max_length=8)]
        | None
    ) = None
    layer: Layer | None = None

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        wanted = {"answer_at": {"options", "layer"}, "opinion": {"options", "text"}}.get(self.kind, set())
        allowed = wanted | {"text"} | ({"spans"} if self.kind in LAYER_KINDS else set())
        given = {name for name in ("text", "options", "spans", "layer") if getattr(self, name) is not None}
        if missing := sorted(wanted - given):
            raise _mistake(f"{self.kind} needs {' and '.join(missing)}")
        if extra := sorted(given - allowed):
            raise _mistake(f"{self.kind} takes no {' and no '.join(extra)}")
        if self.options and len({option.strip().casefold() for option in self.options}) < len(self.options):
            raise _mistake("two options are the same")
        ends = [end for span in self.spans or [] for end in span]
        if ends != sorted(ends) or any(start <= end for start, end in zip(ends[2::2], ends[1::2], strict=False)):
            raise _mistake("spans of layers must ascend and not overlap, such as [[1, 10], [11, 20]]")
        return self

    @property
    def num_options(self) -> int | None:
        """Of a multiple choice; ``None`` where a layer is asked for by its number."""
        chosen = self.options or self.spans
        return len(chosen) if chosen else None


class Step(_Strict):
    """A question to the model, what the class predicts of it, and what it then sees.

    Attributes:
        title: Of the step.
        text: Before the predictions.
        run: Id of a stored run, with ``question``; or else ``ask``.
        question: Id of one of its questions.
        ask: A question that is asked live.
        predict: The prediction questions.
        explain: After the reveal.
        show: Parts of the reveal; left out: the lesson's.
        presets: Left out: the lesson's.
    """

    title: Line
    text: Text | None = None
    run: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | None = None
    question: Line | None = None
    ask: Ask | None = None
    predict: Annotated[list[Prediction], Field(min_length=1, max_length=4)]
    explain: Text | None = None
    show: Annotated[list[Part], Field(max_length=5)] | None = None
    presets: Presets | None = None

    @field_validator("run")
    @classmethod
    def _run_is_here(cls, run: str | None) -> str | None:
        if run is not None and (mistake := check_run(run)):
            raise _mistake(mistake)
        return run

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.ask is None) == (self.run is None) or (self.run is None) != (self.question is None):
            raise _mistake("a step needs either run and question, or ask")
        if self.run is not None and self.question is not None and (mistake := check_question(self.run, self.question)):
            raise _mistake(mistake)
        return self


class Lesson(_Strict):
    """A lesson.

    Attributes:
        version: Of the format.
        title: Of the lesson.
        language: Of its texts, and of the pages around them.
        about: While the class comes in.
        show: Parts of every reveal: curves (``right``, ``creativity``, ``balance``), the table of ``answers``, and a
            link that opens the question in the whole page (``explore``).
        presets: How scores are weighed.
        steps: In order.
    """

    version: Literal[1]
    title: Line
    language: Literal["en", "de", "zh"] = "en"
    about: Text | None = None
    show: Annotated[list[Part], Field(max_length=5)] = ["right", "answers"]
    presets: Presets = Presets()
    steps: Annotated[list[Step], Field(min_length=1, max_length=30)]

    def shown_in(self, step: Step) -> list[Part]:
        """Parts of the reveal of a step."""
        return self.show if step.show is None else step.show

    def presets_of(self, step: Step) -> Presets:
        """How the scores of a step are weighed."""
        return step.presets or self.presets


def _mistake(text: str) -> PydanticCustomError:
    # Its text is a format: what a file holds must not be read as one.
    return PydanticCustomError("lesson", "{mistake}", {"mistake": text})
