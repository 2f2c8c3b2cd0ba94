"""Questions made from a text and its accepted ideas, and ideas as people type them."""

from collections import Counter
from collections.abc import Iterable, Sequence

from hcl_core.errors import SettingsError
from hcl_core.records import Question
from hcl_core.text import id_of, one_line


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
        answers: The accepted ideas, see ``Question.answers``; ideas whose names differ in nothing but case are one.
        question_id: Unique within its set.
        topic: Optional group.
        difficulty: Optional grade.

    Raises:
        SettingsError: A text is empty or has a NUL character, or a name, in whatever case, stands in two ideas.
    """
    ideas: dict[frozenset[str], tuple[str, ...]] = {}
    for idea in answers:
        names = (idea,) if isinstance(idea, str) else tuple(idea)
        folded = frozenset(_folded(name) for name in names)
        ideas[folded] = tuple(dict.fromkeys((*ideas.get(folded, ()), *names)))
    counts = Counter(name for folded in ideas for name in folded)
    question = Question(question_id or id_of(text), text, tuple(ideas.values()), topic, difficulty)
    if repeated := [name for name in question.accepted_answers if counts[_folded(name)] > 1]:
        raise SettingsError(
            f"the accepted answer {repeated[0][:80]!r} is named more than once: names of one idea stand together, as "
            "in United States|USA"
        )
    if any("\0" in each for each in (question.id, text, *question.accepted_answers, topic or "", difficulty or "")):
        raise SettingsError(f"a question must have no NUL character; got {ascii(text)[:80]}")
    return question


def _folded(name: str) -> str:
    """``name`` without case; what is no text is left to ``Question``, which refuses it."""
    return name.casefold() if isinstance(name, str) else name
