"""The ports of the pipeline: what a decoder, a judge, an embedder and a question source must offer."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hcl_core.models.cost import ModelCost
from hcl_core.models.head_records import HeadTrial
from hcl_core.records import Outcome, Question, Sample, SamplingSettings, StoredQuestion


@dataclass(frozen=True, slots=True)
class DecodeProgress:
    """The result of one decode step.

    Attributes:
        finished: Samples that ended in this step.
        num_running: Samples of the wave that still run.
        num_nodes: Distinct token prefixes in the trie of this step, the prompt included.
        wave_done: Whether this step ended the wave.
    """

    finished: tuple[Sample, ...]
    num_running: int
    num_nodes: int
    wave_done: bool


@dataclass(frozen=True, slots=True, eq=False)
class DecodeRequest:
    """A question to answer; equal to itself alone.

    Attributes:
        stored: What to answer.
        settings: How tokens are drawn.
        waves: Each a list of ``(exit_layer, sample_idx)``; taken one at a time, as needed.
    """

    stored: StoredQuestion
    settings: SamplingSettings
    waves: Iterable[Sequence[tuple[int, int]]]


class NamedExitHead(Protocol):
    """What a run stores of an exit head.

    Attributes:
        name: ``"shared"`` or ``"linear"``.
        fingerprint: Decides, with the model, what the head answers; part of the run id.
        reason: Why it was taken, as ``models.head_records.HeadChoice`` has it.
        trial: What was measured for that, as there.
    """

    name: str
    fingerprint: str
    reason: str
    trial: HeadTrial | None


class Answerer(Protocol):
    """What a run under way needs of a decoder."""

    def token_text(self, token_id: int) -> str:
        """One token as people should see it: its text, or its name where it is special."""
        ...

    def decode_many(
        self, requests: Iterable[DecodeRequest], at_once: int | None = None
    ) -> Iterator[tuple[DecodeRequest, DecodeProgress]]:
        """Answer several questions beside each other; the answers are those of ``decode``.

        Args:
            requests: Taken one at a time, as places get free.
            at_once: The most questions under way; ``None``: as many as make the model fast and fit its memory.

        Yields:
            A request and its progress. Progress of different requests alternates; that of one comes in order.

        Raises:
            HclError: As ``decode``, of any of the requests.
        """
        ...


class Decoder(Answerer, Protocol):
    """A model that answers prompts from chosen exit layers.

    A prompt is rendered once, by ``prompt_for``. Everything after that takes the question together with its prompt, so
    the prompt that a run stores is the prompt that was sent.
    """

    @property
    def num_hidden_layers(self) -> int:
        """Deepest exit layer."""
        ...

    @property
    def exit_head(self) -> NamedExitHead:
        """How early layers are read."""
        ...

    def prompt_for(self, question: Question) -> str:
        """The exact text to send for ``question``.

        Raises:
            SettingsError: The template needs a chat format that the tokenizer lacks.
        """
        ...

    def tokenize_checked(self, stored: StoredQuestion, settings: SamplingSettings) -> list[int]:
        """Token ids of the prompt.

        Raises:
            ContextTooLongError: Prompt and longest answer exceed what the model can attend over.
        """
        ...

    def cost(self) -> ModelCost:
        """What a token costs at each exit layer."""
        ...

    def decode(
        self, stored: StoredQuestion, settings: SamplingSettings, waves: Iterable[Sequence[tuple[int, int]]]
    ) -> Iterator[DecodeProgress]:
        """Sample answers, wave by wave; what one wave computed serves the next.

        Args:
            stored: What to answer.
            settings: How tokens are drawn.
            waves: Each a list of ``(exit_layer, sample_idx)``; taken one at a time, as needed.

        Raises:
            ContextTooLongError: As ``tokenize_checked``; before anything is computed.
            SettingsError: A wave has a layer that the model lacks.
            NotEnoughMemoryError: Memory ran out.
            NotFiniteError: A layer computes infinite or undefined numbers; no sample of them is reported.
        """
        ...


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judge's decision on one answer.

    Attributes:
        outcome: Right, wrong, or not attempted.
        reason: The rule that decided, for people to read.
        matched: The accepted answer that a right answer matched, spelled as in the question; the longest if it matched
            several. ``None`` if no single accepted answer decided.
    """

    outcome: Outcome
    reason: str
    matched: str | None = None


@dataclass(frozen=True, slots=True)
class RightAnswer:
    """An answer that a judge called correct, and the accepted answer that it matched; see ``Judgement.matched``."""

    text: str
    matched: str | None


class Judge(Protocol):
    """Decides whether answers are right.

    Attributes:
        name: As chosen by the user; stored with the run.
        stamp: A short text that differs if judgements could; stored with the verdicts, which are made again when it
            changes.
    """

    name: str
    stamp: str

    def judge(self, question: Question, answers: Sequence[str]) -> list[Judgement]:
        """One judgement for each answer, in order."""
        ...


class IdeaFinder(Protocol):
    """Says which idea each right answer is.

    Attributes:
        name: As chosen by the user; stored with the run.
        stamp: Everything that decides its ideas, in a few words; stored with them.
    """

    name: str
    stamp: str

    def find(self, question: Question, layers: Sequence[Sequence[RightAnswer]]) -> list[list[int]]:
        """The idea of each right answer of some layers.

        Args:
            question: The question that was asked.
            layers: For each layer its distinct texts, in the order of their first samples.

        Returns:
            The number of each answer's idea, in the same order. An accepted idea has its index in ``question.ideas``,
            and so the same number at every layer. Other ideas have the numbers above, in the order of their first
            answers; such a number means something within its layer only.
        """
        ...


class Embedder(Protocol):
    """Maps texts to vectors whose cosine similarity measures similarity of meaning.

    Attributes:
        name: As chosen by the user; stored with the clusters.
    """

    name: str

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``[n, width]`` unit vectors, one for each text."""
        ...


# Texts to ``[n, width]`` unit vectors: an embedder's ``embed``, or a function that caches its results.
Embed = Callable[[Sequence[str]], NDArray[np.float32]]


class AnswerLikelihood(Protocol):
    """Says how probable a language model finds given answers."""

    def mean_logprobs(self, stored: StoredQuestion, completions: Sequence[tuple[int, ...]]) -> NDArray[np.float64]:
        """Mean log-probability of the tokens of each answer, in nats: ``[n]``.

        Args:
            stored: The question and the prompt that comes before each answer.
            completions: Token ids of the answers, at least one token each.

        Raises:
            HclError: The model cannot read such an answer.
        """
        ...


class QuestionSource(Protocol):
    """A set of questions."""

    @property
    def name(self) -> str:
        """Stored with the run."""
        ...

    def load(self, limit: int | None = None) -> list[Question]:
        """The first ``limit`` questions, or all."""
        ...
