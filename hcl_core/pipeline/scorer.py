"""Outcomes of samples, judged and clustered: of a run while it goes on, or of a stored run."""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hcl_core.ideas.names import ideas_stamp, num_accepted_ideas
from hcl_core.pipeline.storing import rows_of_cells, store_layer_scores
from hcl_core.ports import AnswerLikelihood, Embedder, IdeaFinder, Judge, Judgement, RightAnswer
from hcl_core.records import (
    Question,
    Sample,
    SampleKey,
    StoredQuestion,
    Verdict,
    are_open,
    has_idea,
)
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest
from hcl_core.runs.tables import CLUSTER_SCHEMA, VERDICT_SCHEMA
from hcl_core.scores.metrics import INCORRECT, MISSING, NOT_ATTEMPTED, OutcomeTable

_MAX_VECTORS = 20_000


class Embeddings:
    """Embeds each distinct text once; the embedder is loaded for the first text.

    Args:
        load: Makes the embedder.
    """

    def __init__(self, load: Callable[[], Embedder]) -> None:
        self._load = load
        self._lock = threading.Lock()  # the page measures texts while a run goes on
        self._vectors: dict[str, np.ndarray] = {}

    @cached_property
    def _embedder(self) -> Embedder:
        return self._load()

    def of(self, texts: Sequence[str]) -> np.ndarray:
        """``[n, width]`` unit vectors, one a text."""
        with self._lock:
            new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
            if new:
                if len(self._vectors) > _MAX_VECTORS:  # bounds the memory of a page that runs for months
                    self._vectors = {text: self._vectors[text] for text in texts if text in self._vectors}
                self._vectors |= dict(zip(new, self._embedder.embed(new), strict=True))
            return np.stack([self._vectors[text] for text in texts])


@dataclass(slots=True)
class _QuestionUnderWay:
    """What is in memory of the question whose samples arrive.

    Attributes:
        question_id: Its id; empty before the first question.
        samples: In the order of their arrival.
        judgements: By distinct answer.
        with_idea: Answers that have an idea, by exit layer and sample index.
    """

    question_id: str = ""
    samples: list[Sample] = field(default_factory=list)
    judgements: dict[str, Judgement] = field(default_factory=dict)
    with_idea: dict[int, dict[int, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScoredQuestion:
    """One question of a run under way, as it was at one moment.

    Attributes:
        table: Outcomes of this question alone.
        samples: In the order of their arrival.
        verdicts: By sample.
        clusters: Idea of each correct sample, or attempt at an open question.
    """

    table: OutcomeTable
    samples: tuple[Sample, ...]
    verdicts: dict[SampleKey, Verdict]
    clusters: dict[SampleKey, int]


class Scorer:
    """Judges samples as they arrive, and finds the ideas of the correct ones.

    A run may have millions of samples. Of each, memory holds its cells in arrays, 14 bytes; texts are held of the
    question under way alone, those of earlier questions are in the run folder.

    Attributes:
        table: Outcomes so far. A wave changes it in one step, after all of its samples are judged and grouped.

    Args:
        questions: Of the run, in order.
        exit_layers: Of the run, ascending.
        num_samples: A question and layer.
        judge: Decides which answers are correct.
        idea_finder: Decides which correct answers are one idea.
        is_greedy: Whether answers are taken at temperature 0.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        exit_layers: tuple[int, ...],
        num_samples: int,
        judge: Judge,
        idea_finder: IdeaFinder,
        is_greedy: bool = False,
    ) -> None:
        self._judge, self._idea_finder = judge, idea_finder
        self._questions = {question.id: (index, question) for index, question in enumerate(questions)}
        self._layer_indices = {exit_layer: index for index, exit_layer in enumerate(exit_layers)}
        num_accepted = num_accepted_ideas(idea_finder.name, questions)
        self.table = OutcomeTable.empty(
            len(questions), exit_layers, num_samples, num_accepted, is_greedy, are_open(questions)
        )
        # Judgements of many samples are equal: each cell has the number of its own. The lock guards both and the table.
        self._lock = threading.Lock()
        self._numbers: dict[Judgement, int] = {}
        self._judgement_numbers: NDArray[np.int32] = np.full(self.table.outcomes.shape, -1, np.int32)
        self._under_way = _QuestionUnderWay()

    def add(self, samples: Sequence[Sample]) -> None:
        """Judge ``samples``, of one or more questions, and find the ideas of their layers' correct answers anew.

        A question that was left for another is gone on with by ``resume``.

        Raises:
            KeyError: A sample belongs to no question or exit layer of the run.
            IndexError: A sample's index is not below ``num_samples``.
        """
        by_question: dict[str, list[Sample]] = {}
        for sample in samples:
            by_question.setdefault(sample.question_id, []).append(sample)
        for question_id, new in by_question.items():
            if question_id != self._under_way.question_id:
                self._under_way = _QuestionUnderWay(question_id)
            under_way = self._under_way
            self._judge_samples(under_way, new)
            ideas = self._find_ideas(under_way, {sample.exit_layer for sample in new})
            # All slow work is done: a reader in another thread never sees half a wave.
            with self._lock:
                self._write(under_way, new, ideas)

    def resume(self, question_id: str, folder: RunFolder) -> None:
        """Hold the samples of a question again, before more of them are added.

        Args:
            question_id: The question.
            folder: Has its earlier samples.
        """
        if question_id != self._under_way.question_id and self.has_come(question_id).any():
            self.add(folder.samples(question_id))

    @property
    def samples(self) -> Sequence[Sample]:
        """Of the question under way, in the order of their arrival."""
        return self._under_way.samples

    def has_plausibility(self, question_id: str) -> bool:
        """Whether the plausibility of all answers to a question is in the table."""
        row = self._questions[question_id][0]
        return not np.isnan(self.table.plausibilities[row][self.has_come(question_id)]).any()

    def has_come(self, question_id: str) -> NDArray[np.bool_]:
        """``[E, num_samples]`` whether each sample of a question is in the table."""
        has_come: NDArray[np.bool_] = self.table.outcomes[self._questions[question_id][0]] != MISSING
        return has_come

    def _judge_samples(self, under_way: _QuestionUnderWay, samples: Sequence[Sample]) -> None:
        """Judge samples of the question under way, equal answers once."""
        _, question = self._questions[under_way.question_id]
        judgements = under_way.judgements
        new = list(dict.fromkeys(sample.answer for sample in samples if sample.answer not in judgements))
        judgements |= dict(zip(new, self._judge.judge(question, new), strict=True))
        for sample in samples:
            if has_idea(judgements[sample.answer].outcome):
                under_way.with_idea.setdefault(sample.exit_layer, {})[sample.sample_idx] = sample.answer

    def _find_ideas(self, under_way: _QuestionUnderWay, exit_layers: Collection[int]) -> dict[SampleKey, int]:
        """The idea of each sample of ``exit_layers`` that has one, those of earlier waves too."""
        question_id, judgements = under_way.question_id, under_way.judgements
        chosen = {layer: answers for layer, answers in under_way.with_idea.items() if layer in exit_layers}
        # Equal texts are one idea: each is looked at once, in the place of its first sample.
        distinct = [list(dict.fromkeys(answers[idx] for idx in sorted(answers))) for answers in chosen.values()]
        right = [[RightAnswer(text, judgements[text].matched) for text in texts] for texts in distinct]
        ideas: dict[SampleKey, int] = {}
        for (exit_layer, answers), texts, numbers in zip(
            chosen.items(), distinct, self._idea_finder.find(self._questions[question_id][1], right), strict=True
        ):
            by_text = dict(zip(texts, numbers, strict=True))
            ideas |= {SampleKey(question_id, exit_layer, idx): by_text[answer] for idx, answer in answers.items()}
        return ideas

    def _write(self, under_way: _QuestionUnderWay, samples: Sequence[Sample], ideas: Mapping[SampleKey, int]) -> None:
        for sample in samples:
            judgement, cell = under_way.judgements[sample.answer], self._cell(sample.key)
            self._judgement_numbers[cell] = self._numbers.setdefault(judgement, len(self._numbers))
            self.table.confidences[cell] = sample.confidence
            if not has_idea(judgement.outcome):
                code = NOT_ATTEMPTED if judgement.outcome == "not_attempted" else INCORRECT
                self.table.outcomes[cell] = code
        for key, idea in ideas.items():
            self.table.outcomes[self._cell(key)] = idea
        under_way.samples += samples

    def snapshot(self) -> OutcomeTable:
        """A copy of the table, for another thread."""
        with self._lock:
            return self.table.snapshot()

    def question(self, question_id: str, folder: RunFolder) -> ScoredQuestion:
        """What has come of one question; ``folder`` has the samples of those that are not under way."""
        row = self._questions[question_id][0]
        with self._lock:
            table = self.table.part(slice(row, row + 1)).snapshot()
            numbers, judgements = self._judgement_numbers[row].copy(), list(self._numbers)
            is_under_way = question_id == self._under_way.question_id
            samples = tuple(self._under_way.samples) if is_under_way else ()
        if not is_under_way and (numbers >= 0).any():
            samples = tuple(folder.samples(question_id))
        verdicts: dict[SampleKey, Verdict] = {}
        clusters: dict[SampleKey, int] = {}
        for layer, idx in np.argwhere(numbers >= 0).tolist():
            key, judgement = SampleKey(question_id, table.exit_layers[layer], idx), judgements[numbers[layer, idx]]
            verdicts[key] = Verdict(key, judgement.outcome, judgement.reason, judgement.matched)
            if (idea := int(table.outcomes[0, layer, idx])) >= 0:
                clusters[key] = idea
        # A wave may be in the folder and not scored yet.
        return ScoredQuestion(table, tuple(each for each in samples if each.key in verdicts), verdicts, clusters)

    def measure_plausibility(self, stored: StoredQuestion, model: AnswerLikelihood, samples: Sequence[Sample]) -> None:
        """Write the plausibility of ``samples``, answers to the question ``stored``, to the table where it lacks it."""
        samples = [each for each in samples if np.isnan(self.table.plausibilities[self._cell(each.key)])]
        if not samples:
            return
        measured = model.mean_logprobs(stored, [sample.completion_token_ids for sample in samples])
        for sample, value in zip(samples, measured, strict=True):
            self.table.plausibilities[self._cell(sample.key)] = value

    def _cell(self, key: SampleKey) -> tuple[int, int, int]:
        """Index of a sample in the outcome table."""
        return self._questions[key.question_id][0], self._layer_indices[key.exit_layer], key.sample_idx

    def store(self, folder: RunFolder) -> None:
        """Write verdicts, clusters and the scores at equal weights to the run folder."""
        verdict_stamp, cluster_stamp = stamps_of(self._judge.stamp, folder.manifest())
        numbers, ids, layers = self._judgement_numbers, list(self._questions), self.table.exit_layers
        texts = [
            pa.array([getattr(judgement, name) for judgement in self._numbers], pa.string())
            for name in ("outcome", "reason", "matched")
        ]
        verdicts = rows_of_cells(
            numbers >= 0,
            ids,
            layers,
            VERDICT_SCHEMA,
            lambda cells: [text.take(pa.array(numbers[cells])) for text in texts],
        )
        folder.write_by_sample("verdicts", verdicts, verdict_stamp)
        ideas = self.table.outcomes
        clusters = rows_of_cells(ideas >= 0, ids, layers, CLUSTER_SCHEMA, lambda cells: [pa.array(ideas[cells])])
        folder.write_by_sample("clusters", clusters, cluster_stamp)
        store_layer_scores(folder, self.table)


def stamps_of(judge_stamp: str, manifest: Manifest) -> tuple[str, str]:
    """The stamps of verdicts and of clusters: what made them, and the run that their samples belong to."""
    verdict_stamp = f"{judge_stamp}; run {manifest.run_id}"
    return verdict_stamp, f"{verdict_stamp}; {manifest.embedder}; {ideas_stamp(manifest.ideas)}"
