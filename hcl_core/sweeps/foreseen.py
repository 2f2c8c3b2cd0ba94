"""What would stop a cell of a sweep when its turn comes, told from files before any model is loaded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hcl_core import registry
from hcl_core.errors import HclError, SweepError
from hcl_core.records import Question, SamplingSettings, are_open
from hcl_core.settings.prompts import PromptTemplate, load_template

# An item of a list in the file, and its place there from 1.
Numbered = tuple[int, str]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a sweep's file asks for, as far as it can be read.

    Attributes:
        models: Names of those whose sizes are known.
        exit_heads: Names or files.
        sets: The questions of each set, by its place in the file from 1.
        template: How a question becomes a prompt; ``None`` where that cannot be read.
        max_new_tokens: Longest answer.
        dtype: Number format of the weights.
        judge: Name of the judge.
        ideas: Name of the idea finder.
    """

    models: Sequence[Numbered]
    exit_heads: Sequence[Numbered]
    sets: Mapping[int, Sequence[Question]]
    template: PromptTemplate | None
    max_new_tokens: int
    dtype: str
    judge: str
    ideas: str

    @classmethod
    def of(
        cls,
        values: Mapping[Any, Any],
        models: Sequence[Numbered],
        exit_heads: Sequence[Numbered],
        sets: Mapping[int, Sequence[Question]],
    ) -> "Asked":
        """Read the rest from the file's ``values``; what cannot be read is said with the format, and left out here."""

        def read(key: str, default: T) -> T:
            value = values.get(key, default)
            return value if type(value) is type(default) else default

        file = values.get("template_file")
        try:
            template = load_template(read("template", "few_shot"), Path(file) if isinstance(file, str) else None)
        except HclError:
            template = None
        return cls(
            models,
            exit_heads,
            sets,
            template,
            max_new_tokens=read("max_new_tokens", SamplingSettings().max_new_tokens),
            dtype=read("dtype", "auto"),
            judge=read("judge", "alias"),
            ideas=read("ideas", "accepted"),
        )


def foreseen_mistakes(asked: Asked, device: str | None, download: bool) -> Iterator[tuple[str, HclError]]:
    """The mistakes with their places; of a model whose weights are not here, none can be told.

    Args:
        asked: What the file asks for.
        device: As ``load_replicas`` takes it; ``None``: others compute, whose weights are not known here.
        download: Whether weights may be fetched.
    """
    needs_embedder = asked.judge == "semantic" or asked.ideas != "accepted"
    for number, questions in asked.sets.items():
        try:
            needs_embedder |= are_open(questions)
        except HclError as error:
            yield f"questions {number}", error
    if needs_embedder and not download and not registry.is_embedder_here():
        place = "judge" if asked.judge == "semantic" else "ideas"
        yield place, SweepError("the embedder's weights are not on this machine; --download fetches them")
    if device is None:
        return
    for number, name in asked.models:
        for place, mistake in _of_model(name, asked, device):
            yield ", ".join(filter(None, (f"models {number}", place))), mistake


def _of_model(name: str, asked: Asked, device: str) -> Iterator[tuple[str, HclError]]:
    try:
        model = registry.find_unloaded(name)
    except HclError as error:
        yield "", error
        return
    if model is None:
        return
    try:
        model.check_format(asked.dtype, device)
    except HclError as error:
        yield "dtype", error
    for number, head in asked.exit_heads:
        try:
            model.check_exit_head(head)
        except HclError as error:
            yield f"exit_heads {number}", error
    if asked.template is None:
        return
    for number, questions in asked.sets.items():
        try:
            model.check_prompts(asked.template, questions, asked.max_new_tokens)
        except HclError as error:
            yield f"questions {number}", error
