"""The ways of telling ideas apart, by name."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hcl_core.errors import SettingsError
from hcl_core.ideas.accepted import AcceptedIdeas
from hcl_core.ideas.embedding import EmbeddingIdeas
from hcl_core.ideas.meaning import MeaningIdeas
from hcl_core.ports import Embed, IdeaFinder
from hcl_core.records import Question

_FINDERS = {finder.name: finder for finder in (AcceptedIdeas, MeaningIdeas, EmbeddingIdeas)}
IDEA_FINDER_NAMES = tuple(_FINDERS)


def check_idea_finder(name: str) -> None:
    """Raise ``SettingsError`` unless ``name`` is one of ``IDEA_FINDER_NAMES``."""
    if name not in _FINDERS:
        raise SettingsError(f"ideas must be one of {', '.join(IDEA_FINDER_NAMES)}; got {name[:80]!r}")


def make_idea_finder(name: str, embed: Embed) -> IdeaFinder:
    """The idea finder called ``name``.

    Args:
        name: One of ``IDEA_FINDER_NAMES``.
        embed: Unit vectors of texts.

    Raises:
        SettingsError: There is none of that name.
    """
    check_idea_finder(name)
    return _FINDERS[name](embed)


def ideas_stamp(name: str) -> str:
    """The stamp of the idea finder called ``name``; needs no embedder."""
    check_idea_finder(name)
    return _FINDERS[name].stamp


def listed_ideas(name: str, question: Question) -> tuple[str, ...]:
    """What people call the ideas 0, 1, ... of ``question``; empty where numbers mean nothing beyond a layer."""
    return tuple(names[0] for names in question.ideas) if name == AcceptedIdeas.name else ()


def num_accepted_ideas(name: str, questions: Sequence[Question]) -> NDArray[np.int32]:
    """``[num_questions]`` ideas of each question that are listed, for ``OutcomeTable.num_accepted_ideas``."""
    return np.array([len(listed_ideas(name, question)) for question in questions], np.int32)
