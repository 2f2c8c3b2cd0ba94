"""Samples in, judged and clustered outcomes out: live, wave by wave, or from a run folder without a model."""

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

_MOST_VECTORS = 20_000


class Embeddings:
    """Embeds each distinct text once, and loads the embedder only when the first one comes.

    Args:
        load: Makes the embedder.
    """

    def __init__(self, load: Callable[[], Embedder]) -> None:
        self._load = load
        self._lock = threading.Lock()  # a page measures texts while a run goes on
        self._vectors: dict[str, np.ndarray] = {}

    @cached_property
    def _embedder(self) -> Embedder:
        return self._load()

    def of(self, texts: Sequence[str]) -> np.ndarray:
        """``[n, width]`` unit vectors."""
        with self._lock:
            new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
            if new:
                if len(self._vectors) > _MOST_VECTORS:  # a page runs for months
                    self._vectors = {text: self._vectors[text] for text in texts if text in self._vectors}
                self._vectors |= dict(zip(new, self._embedder.embed(new), strict=True))
            return np.stack([self._vectors[text] for text in texts])


class Scorer:
    """Keeps the outcome table of a run up to date as samples arrive.

    Attributes:
        table: Outcomes so far.
        samples: By question, as they came.
        verdicts: By sample.
        clusters: Meaning cluster by correct sample.

    Args:
        questions: Of the run, in order.
        exit_layers: Of the run, ascending.
        num_samples: A question and layer.
        judge: Decides what is right.
        embeddings: Decide what means the same.
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
        self._questions = {question.id: (place, question) for place, question in enumerate(questions)}
        self._layer_places = {exit_layer: place for place, exit_layer in enumerate(exit_layers)}
        self._judged: dict[str, dict[str, Judgement]] = {question.id: {} for question in questions}
        self.table = OutcomeTable.empty(len(questions), exit_layers, num_samples)
        self.samples: dict[str, list[Sample]] = {question.id: [] for question in questions}
        self.verdicts: dict[SampleKey, Verdict] = {}
        self.clusters: dict[SampleKey, int] = {}
        self._correct: dict[tuple[str, int], list[tuple[int, str]]] = {}

    def add(self, samples: Sequence[Sample]) -> None:
        """Judge new samples of one or more questions and cluster the correct ones anew."""
        touched = set()
        by_question: dict[str, list[Sample]] = {}
        for sample in samples:
            by_question.setdefault(sample.question_id, []).append(sample)
        for question_id, mine in by_question.items():
            place, question = self._questions[question_id]
            judged = self._judged[question_id]
            new = list(dict.fromkeys(sample.answer for sample in mine if sample.answer not in judged))
            judged |= dict(zip(new, self._judge.judge(question, new), strict=True))
            for sample in mine:
                judgement = judged[sample.answer]
                self.verdicts[sample.key] = Verdict(sample.key, judgement.outcome, judgement.reason)
                cell = (place, self._layer_places[sample.exit_layer], sample.sample_idx)
                self.table.confidences[cell] = sample.confidence
                self.table.outcomes[cell] = NOT_ATTEMPTED if judgement.outcome == "not_attempted" else INCORRECT
                if judgement.outcome == "correct":
                    group = (question_id, sample.exit_layer)
                    self._correct.setdefault(group, []).append((sample.sample_idx, sample.answer))
                    touched.add(group)
        for group in touched:
            self._cluster(*group)
        for question_id, mine in by_question.items():  # last: whoever looks meanwhile finds a verdict of each
            self.samples[question_id] += mine

    def _cluster(self, question_id: str, exit_layer: int) -> None:
        members = sorted(self._correct[question_id, exit_layer])  # in sample order
        # Equal texts have equal vectors: clustering each text once, where it first comes, gives the same clusters.
        texts = list(dict.fromkeys(answer for _, answer in members))
        by_text = dict(zip(texts, leader_clusters(self._embeddings.of(texts)), strict=True))
        row = self.table.outcomes[self._questions[question_id][0], self._layer_places[exit_layer]]
        for sample_idx, answer in members:
            row[sample_idx] = by_text[answer]
            self.clusters[SampleKey(question_id, exit_layer, sample_idx)] = by_text[answer]

    def store(self, folder: RunFolder) -> None:
        """Write verdicts, clusters and the scores at equal weights to the run folder."""
        stamps = stamps_of(self._judge.stamp, folder.manifest())
        folder.write_verdicts(list(self.verdicts.values()), stamps[0])
        members = [ClusterMember(key, cluster_id) for key, cluster_id in self.clusters.items()]
        folder.write_clusters(members, stamps[1])
        folder.write_layer_scores(score_layers(self.table, Weights()))


def stamps_of(judge_stamp: str, manifest: Manifest) -> tuple[str, str]:
    """What verdicts and clusters bear: everything that made them, and the run whose samples they are of."""
    made_of = f"{judge_stamp}; run {manifest.run_id}"
    return made_of, f"{made_of}; {manifest.embedder} at {COSINE_THRESHOLD}"
