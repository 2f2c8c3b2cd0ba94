"""A person's verdicts on answers of a run: a view of the judge's, which stay as they are."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hcl_core.atomic import atomic_file, disk_errors, lock_for
from hcl_core.errors import RunFolderError, SettingsError, cause_of
from hcl_core.ideas.keys import word_key
from hcl_core.records import Question, Sample
from hcl_core.strict_json import read_record, record_text
from hcl_core.user_files import MAX_JSON_BYTES, read_bytes_limited

# Of one run: verdicts, and letters of all their texts.
MOST_VERDICTS, MOST_LETTERS = 2_000, 300_000
# Question id and answer; of a verdict on a text, its exit layer and the text too.
Target = tuple[str, str, int | None, str | None]


@dataclass(frozen=True, slots=True)
class PersonVerdict:
    """What a person says of an answer, wherever the question got it, or of one text at one exit layer.

    Attributes:
        question_id: Id of the question.
        answer: The judged line, as the model wrote it.
        is_right: Whether the person calls it right.
        given_on: What the answers were called that the verdict was given on together; only for people to read.
        idea: A name of the idea that a right answer is: an accepted one, or else a new one of that name. ``None``: as
            the judge found it.
        exit_layer: Of the text; ``None`` where the verdict is on the answer.
        completion: The whole text that the answer is a line of; ``None`` likewise.
    """

    question_id: str
    answer: str
    is_right: bool
    given_on: str
    idea: str | None = None
    exit_layer: int | None = None
    completion: str | None = None

    def __post_init__(self) -> None:
        if not self.answer.strip():
            raise SettingsError("an empty answer is neither right nor wrong")
        if (self.exit_layer is None) != (self.completion is None):
            raise SettingsError("a verdict on a text needs its exit layer, and the other way round")
        if self.idea is not None and not (self.is_right and self.idea.strip()):
            raise SettingsError("only a right answer is an idea, and an idea has a name")

    @property
    def num_letters(self) -> int:
        """Of all its texts."""
        texts = (self.question_id, self.answer, self.given_on, self.idea, self.completion)
        return sum(len(text) for text in texts if text)

    @property
    def target(self) -> Target:
        """What the verdict is on: a later verdict on the same replaces it."""
        return self.question_id, self.answer, self.exit_layer, self.completion


@dataclass(frozen=True, slots=True)
class PersonVerdicts:
    """All verdicts of a person on answers of one run, the oldest first; no two on the same."""

    verdicts: tuple[PersonVerdict, ...] = ()

    def __post_init__(self) -> None:
        latest = {verdict.target: verdict for verdict in self.verdicts}
        num_letters = sum(each.num_letters for each in latest.values())
        for what, number, most in (("verdicts", len(latest), MOST_VERDICTS), ("letters", num_letters, MOST_LETTERS)):
            if number > most:
                raise SettingsError(f"a person's verdicts on a run have at most {most:,} {what}; got {number:,}")
        object.__setattr__(self, "verdicts", tuple(latest.values()))

    def given(self, new: Iterable[PersonVerdict]) -> "PersonVerdicts":
        """With ``new`` ones at the end, in the place of earlier ones on the same."""
        new = tuple(new)
        return PersonVerdicts((*self.without(new).verdicts, *new))

    def without(self, undone: Iterable[PersonVerdict]) -> "PersonVerdicts":
        """Without those on the same as one of ``undone``."""
        targets = {verdict.target for verdict in undone}
        return PersonVerdicts(tuple(each for each in self.verdicts if each.target not in targets))

    def on(self, question_id: str) -> tuple[PersonVerdict, ...]:
        """Those on answers to one question."""
        return tuple(verdict for verdict in self.verdicts if verdict.question_id == question_id)


def verdict_on(sample: Sample, by_target: Mapping[Target, PersonVerdict]) -> PersonVerdict | None:
    """The verdict that holds for a sample: the one on its text, else the one on its answer.

    Args:
        sample: The sample.
        by_target: Verdicts by what they are on.
    """
    on_text = (sample.question_id, sample.answer, sample.exit_layer, sample.completion_text)
    return by_target.get(on_text) or by_target.get((sample.question_id, sample.answer, None, None))


def idea_of(question: Question, verdicts: Sequence[PersonVerdict], answer: str) -> str:
    """The name of the idea that ``answer`` is, if a person calls it right and says no more.

    Where one idea is accepted, all right answers are that one. Else it is the idea that has the same words in a name,
    accepted or added by another of ``verdicts``; and without any, a new idea.
    """
    if len(question.ideas) == 1:
        return question.ideas[0][0]
    added = [verdict.idea for verdict in verdicts if verdict.idea is not None]
    key = word_key(answer)
    return next((name for name in (*question.accepted_answers, *added) if word_key(name) == key), answer)


def with_added_ideas(question: Question, verdicts: Sequence[PersonVerdict]) -> Question:
    """``question`` with the ideas that right answers of ``verdicts`` are and that it does not accept yet."""
    accepted = question.accepted_answers
    added = dict.fromkeys(each.idea for each in verdicts if each.idea is not None and each.idea not in accepted)
    if not added:
        return question
    answers = (*question.answers, *added)
    return Question(question.id, question.text, answers, question.topic, question.difficulty)


# On disk.


@dataclass(frozen=True, slots=True)
class _File:
    """The JSON of a file of verdicts: of which run, and what."""

    run_id: str
    verdicts: list[PersonVerdict] = field(default_factory=list)


def read_person_verdicts(path: Path, run_id: str) -> PersonVerdicts:
    """The verdicts in a file, which may come from someone else.

    Raises:
        RunFolderError: It cannot be read, or is of another run.
    """
    try:
        file = read_record(_File, read_bytes_limited(path, MAX_JSON_BYTES))
        if file.run_id != run_id:
            raise ValueError(f"they are of run {file.run_id[:40]!r}")
        return PersonVerdicts(tuple(file.verdicts))
    except (OSError, ValueError, SettingsError) as error:
        raise RunFolderError(f"{path.name}: no verdicts of run {run_id}: {cause_of(error)}") from None


def person_verdicts_json(run_id: str, verdicts: PersonVerdicts) -> str:
    """The content of a file of verdicts on answers of a run."""
    return record_text(_File(run_id, list(verdicts.verdicts)))


def write_person_verdicts(path: Path, run_id: str, verdicts: PersonVerdicts) -> None:
    """Write a file of verdicts in one step; raises ``DiskError`` if the disk is full, read-only or failing."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with lock_for(path), atomic_file(path) as temporary:
        temporary.write_text(person_verdicts_json(run_id, verdicts), encoding="utf-8")
