"""One question of a run, stored or under way: everything that the page shows of it. Needs no model."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Lock
from typing import Any

from cachetools import LRUCache, cached

from app import library
from app.judged_late import judged_question, may_be_judged, no_answers, not_judged
from app.library import StoredRun
from app.outcomes import ScoredOutcomes
from app.own_verdicts import OwnVerdicts
from hcl_core.errors import RunFolderError
from hcl_core.ideas.names import listed_ideas
from hcl_core.judges.person import PersonVerdict
from hcl_core.pipeline.overrule import JudgedQuestion, overrule
from hcl_core.pipeline.plausibility import read_plausibility
from hcl_core.pipeline.scorer import ScoredQuestion
from hcl_core.pipeline.stored import is_judged_now
from hcl_core.ports import Embed
from hcl_core.records import Question, Sample, SampleKey, StoredQuestion, Verdict
from hcl_core.runs.answers import LayerAnswers, check_judged, count_answers
from hcl_core.runs.manifest import Manifest
from hcl_core.runs.meanings import Meaning, follow_meanings

# Answers of one question take about 2 MB in memory.
_MOST_READ = 64
# Questions of stored runs that have been read without an error, by their files.
_read_before: LRUCache[Hashable, None] = LRUCache(10_000)
_read_lock = Lock()


@dataclass(frozen=True)
class QuestionAnswers:
    """The answers to one question, and what was made of them.

    Attributes:
        outcomes: Of this question.
        layers: Answers by layer, counted.
        samples: Of all layers.
        verdicts: By sample.
        token_texts: The text of each token id; empty where the run has not stored them.
        is_complete: Whether all answers are in.
        num_bad_parts: Damaged parts of the run's samples, which are left out.
        ideas: Of each sample that is one, by sample.
    """

    outcomes: ScoredOutcomes
    layers: tuple[LayerAnswers, ...]
    samples: tuple[Sample, ...]
    verdicts: Mapping[SampleKey, Verdict]
    token_texts: dict[int, str]
    is_complete: bool
    num_bad_parts: int = 0
    ideas: Mapping[SampleKey, int] = field(default_factory=dict)

    @cached_property
    def meanings(self) -> list[Meaning]:
        """The answers that mean the same, linked over the layers."""
        return follow_meanings(self.layers)


@dataclass(frozen=True)
class QuestionView:
    """One question of a run, and all that came of it, which is read when it is first looked at.

    Attributes:
        manifest: Of the run.
        stored: The question and the prompt sent.
        read: Reads the answers.
        own: The visitor's verdicts on the question.
        version: Of the files that a stored question was read from; ``None`` for one under way.
    """

    manifest: Manifest
    stored: StoredQuestion
    read: Callable[[], QuestionAnswers]
    own: OwnVerdicts = OwnVerdicts()
    version: Hashable = None

    @cached_property
    def answers(self) -> QuestionAnswers:
        """The answers, read once."""
        return self.read()

    @property
    def outcomes(self) -> ScoredOutcomes:
        """See ``QuestionAnswers``, as for the others."""
        return self.answers.outcomes

    @property
    def layers(self) -> tuple[LayerAnswers, ...]:
        """Answers by layer, counted."""
        return self.answers.layers

    @property
    def meanings(self) -> list[Meaning]:
        """The answers that mean the same, linked over the layers."""
        return self.answers.meanings

    @property
    def samples(self) -> tuple[Sample, ...]:
        """Of all layers."""
        return self.answers.samples

    @property
    def verdicts(self) -> Mapping[SampleKey, Verdict]:
        """By sample."""
        return self.answers.verdicts

    @property
    def ideas(self) -> Mapping[SampleKey, int]:
        """Of each sample that is one, by sample."""
        return self.answers.ideas

    @property
    def token_texts(self) -> dict[int, str]:
        """The text of each token id."""
        return self.answers.token_texts

    @property
    def is_complete(self) -> bool:
        """Whether all answers are in."""
        return self.answers.is_complete

    @property
    def num_bad_parts(self) -> int:
        """Damaged parts of the run's samples, which are left out."""
        return self.answers.num_bad_parts

    @property
    def is_open(self) -> bool:
        """Whether the question has no accepted answers."""
        return self.stored.question.is_open

    @classmethod
    def load(cls, run: StoredRun, question_id: str) -> "QuestionView":
        """A question of a stored run.

        Raises:
            RunFolderError: The run lacks the question, or has not been judged.
        """
        stored = next((each for each in library.questions_of(run) if each.question.id == question_id), None)
        if stored is None:
            raise RunFolderError("that run does not have this question: choose another")
        version = library.by_answers(run)
        view = cls(run.manifest, stored, lambda: _read(run, stored), version=version)
        with _read_lock:
            is_known = (version, question_id) in _read_before
        if not is_known:  # what is wrong with it is said here
            _ = view.answers
            with _read_lock:
                _read_before[version, question_id] = None
        return view

    @staticmethod
    def read_elsewhere(run: StoredRun, question_id: str) -> None:
        """Take note that another process has read the question without an error, as its files are now."""
        with _read_lock:
            _read_before[library.by_answers(run), question_id] = None

    @classmethod
    def from_live(
        cls, manifest: Manifest, stored: StoredQuestion, scored: ScoredQuestion, token_texts: dict[int, str]
    ) -> "QuestionView":
        """A question of a run under way, with the answers that have come so far."""
        num_expected = len(manifest.settings.exit_layers) * manifest.settings.num_samples
        listed = listed_ideas(manifest.ideas, stored.question)
        answers = QuestionAnswers(
            ScoredOutcomes.of(scored.table, manifest.strategy),
            tuple(count_answers(list(scored.samples), scored.verdicts, scored.clusters, listed)),
            scored.samples,
            scored.verdicts,
            token_texts,
            len(scored.samples) == num_expected,
            ideas=scored.clusters,
        )
        return cls(manifest, stored, lambda: answers)

    def changed(self, **answers: Any) -> "QuestionView":
        """With other values for some attributes of its answers."""
        other = replace(self.answers, **answers)
        return replace(self, read=lambda: other)

    def overruled(self, given: Sequence[PersonVerdict], embed: Embed) -> "QuestionView":
        """With a visitor's verdicts in the place of the judge's; see ``pipeline.overrule``."""
        judged = JudgedQuestion(self.stored.question, self.samples, self.verdicts, self.ideas)
        judged = overrule(judged, given, self.manifest.ideas, embed)
        listed = listed_ideas(self.manifest.ideas, judged.question)
        changed = self.changed(
            outcomes=ScoredOutcomes.of(judged.outcomes(self.manifest), self.manifest.strategy),
            layers=tuple(count_answers(self.samples, judged.verdicts, judged.ideas, listed)),
            verdicts=judged.verdicts,
            ideas=judged.ideas,
        )
        return replace(changed, own=OwnVerdicts.on(judged, given, listed))


def _by_answers(run: StoredRun, stored: StoredQuestion) -> Hashable:
    return library.by_answers(run, stored.question.id)


def _verdicts(
    run: StoredRun, question: Question, samples: Sequence[Sample]
) -> tuple[Mapping[SampleKey, Verdict], Mapping[SampleKey, int]]:
    """Verdicts and ideas of ``samples``: the stored ones; those that an unfinished run lacks are made here."""
    is_late = may_be_judged(run.manifest)
    if is_late and not samples:
        raise no_answers(run.folder)
    if is_judged_now(run.folder, run.manifest):
        verdicts, clusters = library.verdicts_of(run, question.id)
        if not is_late or all(sample.key in verdicts for sample in samples):
            check_judged(samples, verdicts, run.folder)
            return verdicts, clusters
    if not is_late:
        raise not_judged(run.folder)
    judged = judged_question(run.folder, question, samples)
    return judged.verdicts, judged.clusters


@cached(LRUCache(_MOST_READ), key=_by_answers, lock=Lock())
def _read(run: StoredRun, stored: StoredQuestion) -> QuestionAnswers:
    folder, manifest, question = run.folder, run.manifest, stored.question
    samples, num_bad_parts = library.samples_of(run, question.id), len(folder.bad_parts())
    verdicts, clusters = _verdicts(run, question, samples)
    try:
        table = JudgedQuestion(question, samples, verdicts, clusters).outcomes(manifest)
    except (KeyError, IndexError):
        raise RunFolderError(
            f"{manifest.id} has a sample of no layer of the run, or a right one of no cluster"
        ) from None
    if table.is_open and (plausibilities := read_plausibility(folder, question.id)) is not None:
        table.plausibilities[:] = plausibilities
    return QuestionAnswers(
        ScoredOutcomes.of(table, manifest.strategy),
        tuple(count_answers(samples, verdicts, clusters, listed_ideas(manifest.ideas, question))),
        tuple(samples),
        verdicts,
        library.token_texts_of(run),
        manifest.finished_at is not None and not num_bad_parts,
        num_bad_parts,
        clusters,
    )
