"""The answers of a run by exit layer, each distinct text once with its count, the most frequent first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from hcl_core.errors import RunFolderError
from hcl_core.ideas.names import listed_ideas
from hcl_core.readable import is_readable
from hcl_core.records import Outcome, Sample, SampleKey, Verdict, is_overruled
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.tables import KEY


@dataclass(frozen=True, slots=True)
class CountedAnswer:
    """An answer text and the number of samples of a layer that have it, and one verdict.

    Attributes:
        text: As the model wrote it.
        outcome: Outcome of the judge's verdict.
        reason: Reason of the judge's verdict.
        count: Samples with this text.
        cluster_id: Number of the idea; ``None`` unless the answer has one.
        confidence: Mean over the samples with this text, in (0, 1].
        idea: What the idea is called, where it is one of the question's accepted ideas.
        matched: The accepted answer that the text was taken for; ``None`` where the judge names none.
        judge_outcome: What the judge had said, where a person gave the verdict.
    """

    text: str
    outcome: Outcome
    reason: str
    count: int
    cluster_id: int | None
    confidence: float
    idea: str | None = None
    matched: str | None = None
    judge_outcome: Outcome | None = None

    @property
    def is_overruled(self) -> bool:
        """See ``records.is_overruled``."""
        return is_overruled(self.outcome, self.judge_outcome)


@dataclass(frozen=True, slots=True)
class LayerAnswers:
    """The answers of one exit layer to one question, the most frequent first."""

    exit_layer: int
    answers: tuple[CountedAnswer, ...]

    @property
    def num_samples(self) -> int:
        """Samples of the layer."""
        return sum(answer.count for answer in self.answers)

    @property
    def is_open(self) -> bool:
        """Whether the question is open: its answers are attempts, not judged."""
        return any(answer.outcome == "unjudged" for answer in self.answers)

    @property
    def num_correct(self) -> int:
        """Samples judged correct."""
        return sum(answer.count for answer in self.answers if answer.outcome == "correct")

    @property
    def num_attempted(self) -> int:
        """Samples that are neither empty nor a refusal."""
        return sum(answer.count for answer in self.answers if answer.outcome != "not_attempted")

    @property
    def num_clusters(self) -> int:
        """Different ideas among the samples that have one."""
        return len({answer.cluster_id for answer in self.answers if answer.cluster_id is not None})


def count_answers(
    samples: Sequence[Sample],
    verdicts: Mapping[SampleKey, Verdict],
    clusters: Mapping[SampleKey, int],
    listed: Sequence[str] = (),
) -> list[LayerAnswers]:
    """Group the samples of one question by layer and text; a person may judge samples of equal texts differently.

    Args:
        samples: Of the question.
        verdicts: Of each sample.
        clusters: Ideas of those that have one.
        listed: Names of the ideas 0, 1, ..., see ``ideas.names.listed_ideas``.
    """
    by_layer: dict[int, dict[tuple[object, ...], list[Sample]]] = {}
    for sample in samples:
        key = sample.key
        verdict = verdicts[key]
        alike = (sample.answer, verdict.outcome, verdict.judge_outcome, clusters.get(key))
        by_layer.setdefault(sample.exit_layer, {}).setdefault(alike, []).append(sample)
    return [
        LayerAnswers(
            exit_layer,
            tuple(
                sorted(
                    (_counted(equal, verdicts, clusters, listed) for equal in alike.values()),
                    key=lambda answer: (-answer.count, answer.text),
                )
            ),
        )
        for exit_layer, alike in sorted(by_layer.items())
    ]


def num_unreadable(layers: Sequence[LayerAnswers]) -> int:
    """Answers whose ideas were told apart by meaning, in a script that the sentence embedder does not know."""
    return sum(
        answer.count
        for layer in layers
        for answer in layer.answers
        if answer.cluster_id is not None and answer.idea is None and not is_readable(answer.text)
    )


def group_answers(folder: RunFolder, question_id: str) -> list[LayerAnswers]:
    """The answers to one question of a scored run folder."""
    samples = folder.samples(question_id)
    question = next(stored.question for stored in folder.questions() if stored.question.id == question_id)
    listed = listed_ideas(folder.manifest().ideas, question)
    return count_answers(samples, *read_verdicts(folder, question_id, samples), listed)


def read_verdicts(
    folder: RunFolder, question_id: str, samples: list[Sample]
) -> tuple[dict[SampleKey, Verdict], dict[SampleKey, int]]:
    """The stored verdicts of one question, and the ideas of its samples.

    Raises:
        RunFolderError: One of ``samples`` has no verdict.
    """
    verdicts, clusters = verdicts_in(folder.verdict_table(question_id), folder.cluster_table(question_id))
    check_judged(samples, verdicts, folder)
    return verdicts, clusters


def verdicts_in(
    verdict_table: pa.Table | None, cluster_table: pa.Table | None
) -> tuple[dict[SampleKey, Verdict], dict[SampleKey, int]]:
    """The rows of a run's verdicts and of its clusters, by sample; none of a table that is not there."""
    verdicts, clusters = {}, {}
    if verdict_table is not None:
        further = (verdict_table[name].to_pylist() for name in ("outcome", "reason", "matched"))
        verdicts = {key: Verdict(key, *row) for key, *row in zip(_keys(verdict_table), *further, strict=True)}
    if cluster_table is not None:
        clusters = dict(zip(_keys(cluster_table), cluster_table["cluster_id"].to_pylist(), strict=True))
    return verdicts, clusters


def check_judged(samples: Sequence[Sample], verdicts: Mapping[SampleKey, Verdict], folder: RunFolder) -> None:
    """Raise ``RunFolderError`` if one of ``samples`` has no verdict."""
    if any(sample.key not in verdicts for sample in samples):
        raise RunFolderError(
            f"{folder.path} has no verdicts of these answers: `score` makes them where the folder can be written to"
        )


def _keys(table: pa.Table) -> Iterator[SampleKey]:
    return map(SampleKey, *(table[name].to_pylist() for name in KEY))


def _counted(
    equal: list[Sample],
    verdicts: Mapping[SampleKey, Verdict],
    clusters: Mapping[SampleKey, int],
    listed: Sequence[str],
) -> CountedAnswer:
    verdict = verdicts[equal[0].key]
    idea = clusters.get(equal[0].key)
    return CountedAnswer(
        text=equal[0].answer,
        outcome=verdict.outcome,
        reason=verdict.reason,
        count=len(equal),
        cluster_id=idea,
        confidence=sum(sample.confidence for sample in equal) / len(equal),
        idea=listed[idea] if idea is not None and idea < len(listed) else None,
        matched=verdict.matched,
        judge_outcome=verdict.judge_outcome,
    )
