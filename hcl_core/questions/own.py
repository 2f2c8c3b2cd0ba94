"""Questions made from a text and its accepted ideas, and ideas as people type them."""

import hashlib
from collections.abc import Iterable, Sequence

from hcl_core.errors import SettingsError
from hcl_core.records import Question
from hcl_core.text import one_line


def read_idea(text: str) -> str | tuple[str, ...]:
    """An accepted idea as a person types it: names are separated by ``|``, as in ``United States | USA``."""
    names = tuple(name.strip() for name in text.split("|") if name.strip())
    return names if len(names) > 1 else next(iter(names), text.strip())


def write_idea(names: Sequence[str]) -> str:
    """The text that ``read_idea`` reads back to ``names``, on one line."""
    return " | ".join(map(one_line, names))


def make_question(
    text: str,
    answers: Iterable[str | tuple[str, ...]],
    question_id: str | None = None,
    topic: str | None = None,
    difficulty: str | None = None,
) -> Question:
    """A question; without an id, it gets one made from its text, so that the same question has the same id.

    Args:
        text: The question.
        answers: The accepted ideas, see ``Question.answers``; what is repeated counts once.
        question_id: Unique within its set.
        topic: Optional group.
        difficulty: Optional grade.

    Raises:
        SettingsError: A text is empty or has a NUL character, or a name stands in two ideas.
    """
    # Two questions that are the same on one line are the same question.
    derived = "q-" + hashlib.blake2b(one_line(text).encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()
    ideas = (idea if isinstance(idea, str) else tuple(dict.fromkeys(idea)) for idea in answers)
    question = Question(question_id or derived, text, tuple(dict.fromkeys(ideas)), topic, difficulty)
    if any("\0" in each for each in (question.id, text, *question.accepted_answers, topic or "", difficulty or "")):
        raise SettingsError(f"a question must have no NUL character; got {ascii(text)[:80]}")
    return question
