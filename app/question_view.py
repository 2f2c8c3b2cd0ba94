"""One question of a run, stored or under way: everything that the page shows of it. Needs no model."""

from dataclasses import dataclass
from threading import Lock

from cachetools import LRUCache, cached

from app import library
from app.library import StoredRun
from app.outcomes import ScoredOutcomes
from hcl_core.errors import RunFolderError
from hcl_core.ideas.names import listed_ideas, num_accepted_ideas
from hcl_core.pipeline.plausibility import read_plausibility
from hcl_core.pipeline.scorer import ScoredQuestion
from hcl_core.pipeline.stored import is_judged_now
from hcl_core.records import Question, Sample, SampleKey, StoredQuestion, Verdict
from hcl_core.runs.answers import LayerAnswers, count_answers, read_verdicts
from hcl_core.runs.manifest import Manifest
from hcl_core.scores.metrics import INCORRECT, NOT_ATTEMPTED, OutcomeTable


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
    """

    manifest: Manifest
    stored: StoredQuestion
    outcomes: ScoredOutcomes
    layers: tuple[LayerAnswers, ...]
    samples: tuple[Sample, ...]
    verdicts: dict[SampleKey, Verdict]
    token_texts: dict[int, str]
    is_complete: bool
    num_bad_parts: int = 0

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
        )


@cached(LRUCache(maxsize=32), key=library.by_answers, lock=Lock())
def _load(run: StoredRun, question_id: str) -> QuestionView:
    stored = next((each for each in library.questions_of(run) if each.question.id == question_id), None)
    if stored is None:
        raise RunFolderError("that run does not have this question: choose another")
    folder, manifest = run.folder, run.manifest
    if not is_judged_now(folder, manifest):
        raise library.not_judged(run)
    samples, num_bad_parts = folder.samples(question_id), len(folder.bad_parts())
    verdicts, clusters = read_verdicts(folder, question_id, samples)
    try:
        table = _table_of_question(manifest, stored.question, samples, verdicts, clusters)
    except (KeyError, IndexError):
        raise RunFolderError(
            f"{manifest.run_id} has a sample of no layer of the run, or a right one of no cluster"
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
        folder.token_texts(),
        manifest.finished_at is not None and not num_bad_parts,
        num_bad_parts,
    )


def _table_of_question(
    manifest: Manifest,
    question: Question,
    samples: list[Sample],
    verdicts: dict[SampleKey, Verdict],
    clusters: dict[SampleKey, int],
) -> OutcomeTable:
    """One row of what ``read_outcomes`` returns, made without reading the other questions."""
    columns = {layer: column for column, layer in enumerate(manifest.settings.exit_layers)}
    num_accepted = num_accepted_ideas(manifest.ideas, [question])
    settings = manifest.settings
    is_greedy, is_open = settings.sampling.is_greedy, question.is_open
    table = OutcomeTable.empty(1, settings.exit_layers, settings.num_samples, num_accepted, is_greedy, is_open)
    for sample in samples:
        cell = (0, columns[sample.exit_layer], sample.sample_idx)
        outcome = verdicts[sample.key].outcome
        without_idea = NOT_ATTEMPTED if outcome == "not_attempted" else INCORRECT
        table.outcomes[cell] = clusters[sample.key] if outcome in ("correct", "unjudged") else without_idea
        table.confidences[cell] = sample.confidence
    return table
