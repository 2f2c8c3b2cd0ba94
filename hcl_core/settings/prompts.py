"""From a question to the exact text sent to the model."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hcl_core.answer_rules import FIRST_LINE, AnswerRule, chat_rule
from hcl_core.errors import SettingsError, cause_of
from hcl_core.text import one_line
from hcl_core.user_files import MAX_TEMPLATE_BYTES, read_text_limited

PLACEHOLDER = "{question}"
NO_CHAT_TEMPLATE = "this model's tokenizer has no chat template: use few_shot or instruction"
TEMPLATE_NAMES = ("few_shot", "instruction", "chat")

_INSTRUCTION = "Give the answer alone, in a few words."

_BUILT_IN = {
    # Two examples show a base model that an answer is a few words on one line. One is an open question, so that
    # the examples do not suggest that every question has a single right answer.
    "few_shot": (
        "Question: What do bees make?\nAnswer: Honey\n\n"
        "Question: Name a season of the year.\nAnswer: Autumn\n\n"
        f"Question: {PLACEHOLDER}\nAnswer:"
    ),
    "instruction": f"{_INSTRUCTION}\nQuestion: {PLACEHOLDER}\nAnswer:",
    # The user's message; the tokenizer's own chat template goes around it.
    "chat": f"{_INSTRUCTION} {PLACEHOLDER}",
}


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """The text around a question.

    Attributes:
        name: ``"few_shot"``, ``"instruction"``, ``"chat"`` or ``"file"``.
        text: The template, with ``{question}`` where the question goes.
    """

    name: str
    text: str

    def __post_init__(self) -> None:
        if PLACEHOLDER not in self.text:
            raise SettingsError(f"the {self.name} template must contain {PLACEHOLDER}; got {self.text[:80]!r}")

    @property
    def is_chat(self) -> bool:
        """Whether the text is a user's message that the tokenizer's chat template must wrap."""
        return self.name == "chat"

    def answer_rule(self, prompt: str) -> AnswerRule:
        """How the answers to ``prompt``, as ``render`` makes it, end, and where they stand."""
        return chat_rule(prompt) if self.is_chat else FIRST_LINE

    def render(self, question_text: str, wrap_chat: Callable[[str], str] | None = None) -> str:
        """The exact text sent to the model.

        Args:
            question_text: The question; each run of white space becomes one space, so that it is one line.
            wrap_chat: Puts a user's message into the model's chat format; needed for the chat template only.

        Raises:
            SettingsError: This is the chat template, and ``wrap_chat`` is missing.
        """
        # str.replace, not str.format: a question may contain braces.
        rendered = self.text.replace(PLACEHOLDER, one_line(question_text))
        if not self.is_chat:
            return rendered
        if wrap_chat is None:
            raise SettingsError(NO_CHAT_TEMPLATE)
        return wrap_chat(rendered)


def load_template(name: str = "few_shot", file: Path | None = None) -> PromptTemplate:
    """The built-in template ``name``, or the user's template in ``file``.

    Raises:
        SettingsError: The name is unknown, or the file is unreadable or lacks ``{question}``.
    """
    if file is not None:
        try:
            return PromptTemplate("file", read_text_limited(file, MAX_TEMPLATE_BYTES))
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"cannot read the template file {file}: {cause_of(error)}") from None
    if name not in _BUILT_IN:
        raise SettingsError(f"template must be one of {', '.join(TEMPLATE_NAMES)}; got {name!r}")
    return PromptTemplate(name, _BUILT_IN[name])
