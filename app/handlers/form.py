"""The form of the page: its controls' values by name, checked, and as a request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from app.handlers.controls import NumberBox, read_text
from app.language import Translator
from hcl_core.errors import SettingsError
from hcl_core.pipeline.request import RunRequest
from hcl_core.questions.own import make_question, read_idea
from hcl_core.records import Question, SamplingSettings
from hcl_core.settings.layers import LayerRange
from hcl_core.settings.prompts import load_template
from hcl_core.settings.strategies import Strategy

# Judges that the page offers: those that ask no endpoint.
JUDGES = ("alias", "semantic", "paper")
# By the names of their controls. A layer's upper bound is the model's depth.
NUMBERS: Mapping[str, NumberBox] = {
    "first_layer": NumberBox("first_layer", 1),
    "last_layer": NumberBox("last_layer", 1),
    "every": NumberBox("every", 1),
    "num_samples": NumberBox("num_samples", 1, 1000),
    "temperature": NumberBox("temperature", 0, 10, is_whole=False),
    "top_p": NumberBox("top_p", 0.01, 1, is_whole=False),
    "top_k": NumberBox("top_k", 0),
    "max_new_tokens": NumberBox("max_new_tokens", 1, 512),
    "seed": NumberBox("seed", 0),
}
LAYER_NUMBERS = ("first_layer", "last_layer", "every")


@dataclass(frozen=True, slots=True)
class Form:
    """What the form says. Its fields are the controls' names, in the order in which Gradio sends the values.

    Attributes:
        model: Catalogue name, Hub id or local folder.
        question: A question of the visitor's own.
        accepted: Its accepted ideas, each as its names; without any the question is open.
        first_layer: First exit layer.
        last_layer: Last exit layer.
        every: Distance between two exit layers.
        num_samples: Answers an exit layer.
        temperature: See ``SamplingSettings``, as for the next four.
        top_p: See there.
        top_k: See there.
        max_new_tokens: See there.
        seed: See there.
        template: Name of a prompt template.
        exit_head: Name of an exit head.
        judge: Name of a judge.
        strategy: Name of a strategy.
    """

    model: str
    question: str
    accepted: tuple[tuple[str, ...], ...]
    first_layer: int
    last_layer: int
    every: int
    num_samples: int
    temperature: float
    top_p: float
    top_k: int
    max_new_tokens: int
    seed: int
    template: str
    exit_head: str
    judge: str
    strategy: str

    @classmethod
    def from_controls(cls, values: Mapping[str, object]) -> "Form":
        """Read the values of the controls.

        Args:
            values: By the names of ``CONTROLS``.

        Raises:
            SettingsError: A value is missing, is no text where one is needed, or no number that its control takes.
        """
        numbers: dict[str, Any] = {
            name: box.read_whole(values[name]) if box.is_whole else box.read(values[name])
            for name, box in NUMBERS.items()
        }
        return cls(
            model=read_text("Model", values["model"]),
            question=read_text("Question", values["question"]),
            accepted=ideas_of(read_text("Accepted answers", values["accepted"])),
            template=read_text("Prompt", values["template"]),
            exit_head=read_text("Exit head", values["exit_head"]),
            judge=read_text("Judge", values["judge"]),
            strategy=read_text("Strategy", values["strategy"]),
            **numbers,
        )

    def check(self, words: Translator) -> None:
        """Raise ``SettingsError`` in the visitor's language for what is most often wrong with a question."""
        if not self.question:
            raise SettingsError(words("question_empty"))
        names = [name for idea in dict.fromkeys(self.accepted) for name in dict.fromkeys(idea)]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise SettingsError(words("idea_twice", idea=twice[:80]))

    def check_layers(self, num_hidden_layers: int | None) -> None:
        """Raise ``SettingsError`` for layers that a model so deep does not have; ``None``: its depth is not known."""
        for name in LAYER_NUMBERS:
            replace(NUMBERS[name], high=num_hidden_layers).read(getattr(self, name))
        # Not turned round: who types the last layer first would see a run of layers that nobody asked for.
        if self.first_layer > self.last_layer:
            raise SettingsError(
                f"First layer must not be above Last layer; got {self.first_layer} and {self.last_layer}"
            )

    def request(self) -> RunRequest:
        """A run of the form's own question; raises ``HclError`` if a value is out of range."""
        return self.request_of((make_question(self.question, self.accepted),), "page")

    def request_of(self, questions: tuple[Question, ...], question_set: str) -> RunRequest:
        """A run of other questions with the form's settings; raises ``HclError`` if a value is out of range."""
        self.check_layers(None)
        return RunRequest(
            model=self.model,
            questions=questions,
            question_set=question_set,
            layers=LayerRange(self.first_layer, self.last_layer, self.every),
            num_samples=self.num_samples,
            sampling=SamplingSettings(
                temperature=self.temperature,
                top_p=self.top_p,
                top_k=self.top_k,
                max_new_tokens=self.max_new_tokens,
                seed=self.seed,
            ),
            template=load_template(self.template),
            exit_head=self.exit_head,
            judge=self.judge,
            strategy=Strategy.parse(self.strategy),
        )


def ideas_of(text: str) -> tuple[tuple[str, ...], ...]:
    """The accepted ideas in a text, one a line, each as its names; a line without letters is none."""
    ideas = (read_idea(line) for line in text.split("\n") if line.strip(" |\t\r"))
    return tuple((idea,) if isinstance(idea, str) else idea for idea in ideas)


# Names of the controls, in the order of the page.
CONTROLS = tuple(field.name for field in fields(Form))


def by_name(values: Sequence[object]) -> dict[str, object]:
    """Values of the controls in the order of the page, by their names."""
    return dict(zip(CONTROLS, values, strict=True))


def default_layers(num_hidden_layers: int | None) -> dict[str, int]:
    """The layers that the form begins with for a model so deep: the later half; none where that is not known."""
    if num_hidden_layers is None:
        return {}
    return {"first_layer": num_hidden_layers // 2 + 1, "last_layer": num_hidden_layers}
