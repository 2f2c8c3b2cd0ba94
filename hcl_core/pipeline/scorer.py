"""Outcomes of samples, judged and clustered: wave by wave while a run goes on, or of a stored run at once."""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property

import numpy as np

from hcl_core.ideas.names import ideas_stamp, num_accepted_ideas
from hcl_core.pipeline.storing import store_layer_scores
from hcl_core.ports import AnswerLikelihood, Embedder, IdeaFinder, Judge, Judgement, RightAnswer
from hcl_core.records import (
    ClusterMember,
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
from hcl_core.scores.metrics import INCORRECT, NOT_ATTEMPTED, OutcomeTable

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


class Scorer:
    """Judges and clusters samples as they arrive.

    Attributes:
        table: Outcomes so far. A wave changes it in one step, after all of its samples are judged and grouped.
        samples: By question id, in the order of their arrival.
        verdicts: By sample.
        clusters: Idea of each correct sample, or attempt at an open question.

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
        self._judgements: dict[str, dict[str, Judgement]] = {question.id: {} for question in questions}
        # Answers that have an idea by question id, exit layer and sample index.
        self._with_idea: dict[str, dict[int, dict[int, str]]] = {question.id: {} for question in questions}
        num_accepted = num_accepted_ideas(idea_finder.name, questions)
        self.table = OutcomeTable.empty(
            len(questions), exit_layers, num_samples, num_accepted, is_greedy, are_open(questions)
        )
        self.samples: dict[str, list[Sample]] = {question.id: [] for question in questions}
        self.verdicts: dict[SampleKey, Verdict] = {}
        self.clusters: dict[SampleKey, int] = {}

    def add(self, samples: Sequence[Sample]) -> None:
        """Judge ``samples``, of one or more questions, and find the ideas of their layers' correct answers anew.

        Raises:
            KeyError: A sample belongs to no question or exit layer of the run.
            IndexError: A sample's index is not below ``num_samples``.
        """
        by_question: dict[str, list[Sample]] = {}
        for sample in samples:
            by_question.setdefault(sample.question_id, []).append(sample)
        for question_id, new in by_question.items():
            judgements = self._judge_samples(question_id, new)
            ideas = self._find_ideas(question_id, {key.exit_layer for key in judgements})
            # All slow work is done: a reader in another thread never sees half a wave.
            self._write(new, judgements, ideas)
            self.samples[question_id] += new

    def _judge_samples(self, question_id: str, samples: Sequence[Sample]) -> dict[SampleKey, Judgement]:
        """Judge samples of one question, equal answers once."""
        _, question = self._questions[question_id]
        judgements = self._judgements[question_id]
        new = list(dict.fromkeys(sample.answer for sample in samples if sample.answer not in judgements))
        judgements |= dict(zip(new, self._judge.judge(question, new), strict=True))
        for sample in samples:
            if has_idea(judgements[sample.answer].outcome):
                self._with_idea[question_id].setdefault(sample.exit_layer, {})[sample.sample_idx] = sample.answer
        return {sample.key: judgements[sample.answer] for sample in samples}

    def _find_ideas(self, question_id: str, exit_layers: Collection[int]) -> dict[SampleKey, int]:
        """The idea of each sample of ``exit_layers`` that has one, those of earlier waves too."""
        _, question = self._questions[question_id]
        by_layer = self._with_idea[question_id]
        chosen = {layer: answers for layer, answers in by_layer.items() if layer in exit_layers}
        # Equal texts are one idea: each is looked at once, in the place of its first sample.
        distinct = [list(dict.fromkeys(answers[idx] for idx in sorted(answers))) for answers in chosen.values()]
        judgements = self._judgements[question_id]
        right = [[RightAnswer(text, judgements[text].matched) for text in texts] for texts in distinct]
        ideas: dict[SampleKey, int] = {}
        for (exit_layer, answers), texts, numbers in zip(
            chosen.items(), distinct, self._idea_finder.find(question, right), strict=True
        ):
            by_text = dict(zip(texts, numbers, strict=True))
            ideas |= {SampleKey(question_id, exit_layer, idx): by_text[answer] for idx, answer in answers.items()}
        return ideas

    def _write(
        self, samples: Sequence[Sample], judgements: Mapping[SampleKey, Judgement], ideas: Mapping[SampleKey, int]
    ) -> None:
        for sample in samples:
            judgement = judgements[sample.key]
            self.verdicts[sample.key] = Verdict(sample.key, judgement.outcome, judgement.reason, judgement.matched)
            self.table.confidences[self._cell(sample.key)] = sample.confidence
            if not has_idea(judgement.outcome):
                code = NOT_ATTEMPTED if judgement.outcome == "not_attempted" else INCORRECT
                self.table.outcomes[self._cell(sample.key)] = code
        for key, idea in ideas.items():
            self.table.outcomes[self._cell(key)] = idea
        self.clusters |= ideas

    def measure_plausibility(self, stored: StoredQuestion, model: AnswerLikelihood) -> dict[SampleKey, float]:
        """Write the plausibility of all answers to a question so far to the table, and return it by sample."""
        samples = self.samples[stored.question.id]
        measured = model.mean_logprobs(stored, [sample.completion_token_ids for sample in samples])
        logprobs = {sample.key: float(value) for sample, value in zip(samples, measured, strict=True)}
        for key, value in logprobs.items():
            self.table.plausibilities[self._cell(key)] = value
        return logprobs

    def _cell(self, key: SampleKey) -> tuple[int, int, int]:
        """Index of a sample in the outcome table."""
        return self._questions[key.question_id][0], self._layer_indices[key.exit_layer], key.sample_idx

    def store(self, folder: RunFolder) -> None:
        """Write verdicts, clusters and the scores at equal weights to the run folder."""
        verdict_stamp, cluster_stamp = stamps_of(self._judge.stamp, folder.manifest())
        folder.write_verdicts(list(self.verdicts.values()), verdict_stamp)
        members = [ClusterMember(key, cluster_id) for key, cluster_id in self.clusters.items()]
        folder.write_clusters(members, cluster_stamp)
        store_layer_scores(folder, self.table)


def stamps_of(judge_stamp: str, manifest: Manifest) -> tuple[str, str]:
    """The stamps of verdicts and of clusters: what made them, and the run that their samples belong to."""
    verdict_stamp = f"{judge_stamp}; run {manifest.run_id}"
    return verdict_stamp, f"{verdict_stamp}; {manifest.embedder}; {ideas_stamp(manifest.ideas)}"
