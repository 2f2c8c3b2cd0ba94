"""One question of a run, stored or under way: everything that the page shows of it. Needs no model."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock

from cachetools import LRUCache, cached

from app import library
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
from hcl_core.records import Sample, SampleKey, StoredQuestion, Verdict
from hcl_core.runs.answers import LayerAnswers, count_answers, read_verdicts
from hcl_core.runs.manifest import Manifest


@dataclass(frozen=True, slots=True)
class QuestionView:
    """One question of a run, and all that came of it.

    Attributes:
        manifest: Of the run.
        stored: The question and the prompt sent.
        outcomes: Of this question.
        layers: Answers by layer, counted.
        samples: Of all layers.
        verdicts: By sample.
        token_texts: The text of each token id; empty where the run has not stored them.
        is_complete: Whether all answers are in.
        num_bad_parts: Damaged parts of the run's samples, which are left out.
        ideas: Of each sample that is one, by sample.
        own: The visitor's verdicts on the question.
        version: Of the files that a stored question was read from; ``None`` for one under way.
    """

    manifest: Manifest
    stored: StoredQuestion
    outcomes: ScoredOutcomes
    layers: tuple[LayerAnswers, ...]
    samples: tuple[Sample, ...]
    verdicts: Mapping[SampleKey, Verdict]
    token_texts: dict[int, str]
    is_complete: bool
    num_bad_parts: int = 0
    ideas: Mapping[SampleKey, int] = field(default_factory=dict)
    own: OwnVerdicts = OwnVerdicts()
    version: Hashable = None

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
        return _load(run, question_id)

    @classmethod
    def from_live(
        cls, manifest: Manifest, stored: StoredQuestion, scored: ScoredQuestion, token_texts: dict[int, str]
    ) -> "QuestionView":
        """A question of a run under way, with the answers that have come so far."""
        num_expected = len(manifest.settings.exit_layers) * manifest.settings.num_samples
        listed = listed_ideas(manifest.ideas, stored.question)
        return cls(
            manifest,
            stored,
            ScoredOutcomes.of(scored.table, manifest.strategy),
            tuple(count_answers(list(scored.samples), scored.verdicts, scored.clusters, listed)),
            scored.samples,
            scored.verdicts,
            token_texts,
            len(scored.samples) == num_expected,
            ideas=scored.clusters,
        )

    def overruled(self, given: Sequence[PersonVerdict], embed: Embed) -> "QuestionView":
        """With a visitor's verdicts in the place of the judge's; see ``pipeline.overrule``."""
        judged = JudgedQuestion(self.stored.question, self.samples, self.verdicts, self.ideas)
        judged = overrule(judged, given, self.manifest.ideas, embed)
        listed = listed_ideas(self.manifest.ideas, judged.question)
        return replace(
            self,
            outcomes=ScoredOutcomes.of(judged.outcomes(self.manifest), self.manifest.strategy),
            layers=tuple(count_answers(self.samples, judged.verdicts, judged.ideas, listed)),
            verdicts=judged.verdicts,
            ideas=judged.ideas,
            own=OwnVerdicts.on(judged, given, listed),
        )


@cached(LRUCache(maxsize=32), key=library.by_answers, lock=Lock())
def _load(run: StoredRun, question_id: str) -> QuestionView:
    stored = next((each for each in library.questions_of(run) if each.question.id == question_id), None)
    if stored is None:
        raise RunFolderError("that run does not have this question: choose another")
    folder, manifest = run.folder, run.manifest
    if not is_judged_now(folder, manifest):
        raise library.not_judged(run)
    samples, num_bad_parts = library.samples_of(run, question_id), len(folder.bad_parts())
    verdicts, clusters = read_verdicts(folder, question_id, samples)
    try:
        table = JudgedQuestion(stored.question, samples, verdicts, clusters).outcomes(manifest)
    except (KeyError, IndexError):
        raise RunFolderError(
            f"{manifest.id} has a sample of no layer of the run, or a right one of no cluster"
        ) from None
    if table.is_open and (plausibilities := read_plausibility(folder, question_id)) is not None:
        table.plausibilities[:] = plausibilities
    return QuestionView(
        manifest,
        stored,
        ScoredOutcomes.of(table, manifest.strategy),
        tuple(count_answers(samples, verdicts, clusters, listed_ideas(manifest.ideas, stored.question))),
        tuple(samples),
        verdicts,
        library.token_texts_of(run),
        manifest.finished_at is not None and not num_bad_parts,
        num_bad_parts,
        clusters,
        version=library.by_answers(run),
    )
