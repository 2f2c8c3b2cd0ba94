"""Outcomes of samples, judged and clustered: wave by wave while a run goes on, or of a stored run at once."""

import threading
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from hcl_core.ports import Embedder, Judge, Judgement
from hcl_core.records import ClusterMember, Question, Sample, SampleKey, Verdict, Weights
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest
from hcl_core.scores.clustering import COSINE_THRESHOLD, leader_clusters
from hcl_core.scores.metrics import INCORRECT, NOT_ATTEMPTED, OutcomeTable, score_layers

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
        table: Outcomes so far.
        samples: By question id, in the order of their arrival.
        verdicts: By sample.
        clusters: Meaning cluster of each correct sample.

    Args:
        questions: Of the run, in order.
        exit_layers: Of the run, ascending.
        num_samples: A question and layer.
        judge: Decides which answers are correct.
        embeddings: Decide which correct answers mean the same.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        exit_layers: tuple[int, ...],
        num_samples: int,
        judge: Judge,
        embeddings: Embeddings,
    ) -> None:
        self._judge, self._embeddings = judge, embeddings
        self._questions = {question.id: (index, question) for index, question in enumerate(questions)}
        self._layer_indices = {exit_layer: index for index, exit_layer in enumerate(exit_layers)}
        self._judgements: dict[str, dict[str, Judgement]] = {question.id: {} for question in questions}
        # Correct answers by question id, exit layer and sample index.
        self._correct: dict[str, dict[int, dict[int, str]]] = {question.id: {} for question in questions}
        self.table = OutcomeTable.empty(len(questions), exit_layers, num_samples)
        self.samples: dict[str, list[Sample]] = {question.id: [] for question in questions}
        self.verdicts: dict[SampleKey, Verdict] = {}
        self.clusters: dict[SampleKey, int] = {}

    def add(self, samples: Sequence[Sample]) -> None:
        """Judge ``samples``, of one or more questions, and cluster the correct answers of their layers anew.

        Raises:
            KeyError: A sample belongs to no question or exit layer of the run.
            IndexError: A sample's index is not below ``num_samples``.
        """
        by_question: dict[str, list[Sample]] = {}
        for sample in samples:
            by_question.setdefault(sample.question_id, []).append(sample)
        for question_id, new in by_question.items():
            self._cluster(question_id, self._judge_samples(question_id, new))
            self.samples[question_id] += new  # last, so that a reader in another thread finds a verdict of each

    def _judge_samples(self, question_id: str, samples: Sequence[Sample]) -> set[int]:
        """Judge samples of one question; returns the exit layers that have a new correct answer."""
        index, question = self._questions[question_id]
        judgements = self._judgements[question_id]
        new = list(dict.fromkeys(sample.answer for sample in samples if sample.answer not in judgements))
        judgements |= dict(zip(new, self._judge.judge(question, new), strict=True))
        for sample in samples:
            judgement = judgements[sample.answer]
            self.verdicts[sample.key] = Verdict(sample.key, judgement.outcome, judgement.reason)
            cell = (index, self._layer_indices[sample.exit_layer], sample.sample_idx)
            self.table.confidences[cell] = sample.confidence
            self.table.outcomes[cell] = NOT_ATTEMPTED if judgement.outcome == "not_attempted" else INCORRECT
            if judgement.outcome == "correct":
                self._correct[question_id].setdefault(sample.exit_layer, {})[sample.sample_idx] = sample.answer
        return {sample.exit_layer for sample in samples if judgements[sample.answer].outcome == "correct"}

    def _cluster(self, question_id: str, exit_layers: set[int]) -> None:
        """Cluster the correct answers of each of ``exit_layers`` in sample order."""
        if not exit_layers:
            return
        correct = {exit_layer: self._correct[question_id][exit_layer] for exit_layer in exit_layers}
        texts = list(dict.fromkeys(answer for answers in correct.values() for answer in answers.values()))
        vectors = dict(zip(texts, self._embeddings.of(texts), strict=True))  # one batch for all layers
        for exit_layer, answers in correct.items():
            row = self.table.outcomes[self._questions[question_id][0], self._layer_indices[exit_layer]]
            # Equal texts have equal vectors: clustering each text once, where it comes first, gives the same clusters.
            distinct = list(dict.fromkeys(answers[sample_idx] for sample_idx in sorted(answers)))
            cluster_ids = leader_clusters(np.stack([vectors[answer] for answer in distinct]))
            by_text = dict(zip(distinct, cluster_ids, strict=True))
            for sample_idx, answer in answers.items():
                row[sample_idx] = by_text[answer]
                self.clusters[SampleKey(question_id, exit_layer, sample_idx)] = by_text[answer]

    def store(self, folder: RunFolder) -> None:
        """Write verdicts, clusters and the scores at equal weights to the run folder."""
        verdict_stamp, cluster_stamp = stamps_of(self._judge.stamp, folder.manifest())
        folder.write_verdicts(list(self.verdicts.values()), verdict_stamp)
        members = [ClusterMember(key, cluster_id) for key, cluster_id in self.clusters.items()]
        folder.write_clusters(members, cluster_stamp)
        folder.write_layer_scores(score_layers(self.table, Weights()))


def stamps_of(judge_stamp: str, manifest: Manifest) -> tuple[str, str]:
    """The stamps of verdicts and of clusters: what made them, and the run that their samples belong to."""
    verdict_stamp = f"{judge_stamp}; run {manifest.run_id}"
    return verdict_stamp, f"{verdict_stamp}; {manifest.embedder} at {COSINE_THRESHOLD}"
