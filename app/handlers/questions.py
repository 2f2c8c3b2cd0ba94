"""Finding a question: search in a set, load a further set, take a question over into the form."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.visit import Visit
from hcl_core.records import Question

_MOST_HITS = 20


@dataclass(frozen=True, slots=True)
class Hits:
    """What a search found.

    Attributes:
        questions: The best ones first.
        is_search: Whether words were searched for; without any, the first questions of the set are listed.
        num_questions: Of the whole set.
    """

    questions: Sequence[Question]
    is_search: bool
    num_questions: int


def search(visit: Visit, set_name: str | None, text: str) -> Hits:
    """The best hits of ``text`` in a set; raises ``SettingsError`` if the visitor does not have the set."""
    loaded = visit.service.sets.get(visit.visitor, set_name)
    return Hits(loaded.index.search(text[:500], _MOST_HITS), bool(text.strip()), len(loaded.questions))


def find(visit: Visit, set_name: str | None, question_id: str | None) -> Question | None:
    """A question of a set; raises ``SettingsError`` if the visitor does not have the set."""
    return visit.service.sets.get(visit.visitor, set_name).find(question_id)


def load_file(visit: Visit, file: str) -> str:
    """Load an uploaded set; its name. Raises ``HclError`` if it cannot be read."""
    return visit.service.sets.load_file(visit.visitor, Path(file))


def load_named(visit: Visit, name: str) -> str:
    """Load a path or a set of the Hub; its name. Raises ``HclError`` if it cannot be read."""
    return visit.service.sets.load_named(visit.visitor, name)
