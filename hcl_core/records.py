"""The records that flow from question to score: frozen, and checked on construction.

``Question`` -> decode -> ``Sample`` -> judge -> ``Verdict`` -> find ideas, score -> ``LayerScore``
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from hcl_core.answer_rules import AnswerRule
from hcl_core.errors import SettingsError
from hcl_core.text import id_of, one_line

Outcome = Literal["correct", "incorrect", "not_attempted", "unjudged"]
# Answers that have an idea: the correct ones, and every attempt at an open question.
OUTCOMES_WITH_IDEA: tuple[Outcome, ...] = ("correct", "unjudged")
FinishReason = Literal["stop", "length"]
Scaling = Literal["possible", "min_max", "absolute"]
SCALINGS: tuple[Scaling, ...] = ("possible", "min_max", "absolute")
DEFAULT_SCALING: Scaling = "possible"


def check_scaling(text: str) -> Scaling:
    """``text`` as a scaling; raises ``SettingsError`` if it is none."""
    if text not in SCALINGS:
        raise SettingsError(f"scaling must be one of {', '.join(SCALINGS)}; got {text!r}")
    return text


class SampleKey(NamedTuple):
    """What identifies one sampled answer within a run."""

    question_id: str
    exit_layer: int
    sample_idx: int


@dataclass(frozen=True, slots=True)
class Question:
    """A question and every answer that counts as correct; one without accepted answers is *open*.

    Attributes:
        id: Unique within its set.
        text: The question as a person would ask it.
        answers: The accepted ideas; empty for an open question. Several names of one idea are a tuple, such as
            ``("United States", "USA")``; a plain string is an idea with one name.
        topic: Optional group, such as ``"astronomy"``.
        difficulty: Optional grade, such as ``"easy"``.
    """

    id: str
    text: str
    answers: tuple[str | tuple[str, ...], ...]
    topic: str | None = None
    difficulty: str | None = None

    def __post_init__(self) -> None:
        if wrong := [idea for idea in self.answers if not isinstance(idea, str | tuple)]:
            raise SettingsError(f"an accepted answer must be a text or a tuple of texts; got {ascii(wrong[0])[:80]}")
        # An idea with one name has one form, so that equal questions compare equal.
        plain = tuple(idea[0] if isinstance(idea, tuple) and len(idea) == 1 else idea for idea in self.answers)
        object.__setattr__(self, "answers", plain)
        texts = [("id", self.id), ("text", self.text)]
        texts += [("accepted answer", name) for name in self.accepted_answers]
        optional = (("topic", self.topic), ("difficulty", self.difficulty))
        for name, text in (*texts, *((name, text) for name, text in optional if text is not None)):
            # No UTF-8 file can hold a lone surrogate.
            if not isinstance(text, str) or any("\ud800" <= letter <= "\udfff" for letter in text):
                raise SettingsError(f"a question's {name} must be Unicode text; got {ascii(text)[:80]}")
        if not self.id.strip():
            raise SettingsError("a question needs a non-empty id")
        if not self.text.strip():
            raise SettingsError("a question needs a text; got an empty one")
        if not all(names and all(name.strip() for name in names) for names in self.ideas):
            raise SettingsError(
                f"a question needs accepted answers, none of them empty, or no list of them at all; got "
                f"{list(self.answers)}"
            )
        if len(set(self.accepted_answers)) < len(self.accepted_answers):
            repeated = next(name for name, count in Counter(self.accepted_answers).items() if count > 1)
            raise SettingsError(
                f"the accepted answer {repeated[:80]!r} is named more than once: names of one idea stand together, as "
                "in United States|USA"
            )

    @property
    def label(self) -> str:
        """What messages call it: its id, or the beginning of its text where nobody gave it an id."""
        return self.id if self.id != id_of(self.text) else one_line(self.text)[:60]

    @property
    def is_open(self) -> bool:
        """Whether no accepted answers are known, so that no answer is right or wrong."""
        return not self.answers

    @property
    def ideas(self) -> tuple[tuple[str, ...], ...]:
        """The names of each accepted idea; the first name of an idea is the one that people are shown."""
        return tuple((idea,) if isinstance(idea, str) else idea for idea in self.answers)

    @property
    def accepted_answers(self) -> tuple[str, ...]:
        """All names of all ideas, in order."""
        return tuple(name for names in self.ideas for name in names)


def are_open(questions: Iterable[Question]) -> bool:
    """Whether ``questions`` are open; raises ``SettingsError`` for a mixture, whose scores have no common scale."""
    kinds = {question.is_open for question in questions}
    if len(kinds) > 1:
        raise SettingsError(
            "either all questions of a run have accepted answers or none has; got both: ask them in two runs"
        )
    return True in kinds


def has_idea(outcome: Outcome) -> bool:
    """Whether an answer with this outcome is an idea: a correct one, or any attempt at an open question."""
    return outcome in OUTCOMES_WITH_IDEA


def is_overruled(outcome: Outcome, judge_outcome: Outcome | None) -> bool:
    """Whether a person calls right what the judge does not, or the other way round.

    Args:
        outcome: By the person.
        judge_outcome: ``None`` where no person has said anything.
    """
    return judge_outcome is not None and (judge_outcome == "correct") != (outcome == "correct")


@dataclass(frozen=True, slots=True)
class StoredQuestion:
    """A question of a run and the exact prompt sent for it."""

    question: Question
    prompt: str


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """How an answer is drawn from the model's next-token distributions.

    Attributes:
        temperature: Divisor of the logits, in [0, 10]; 0 is greedy.
        top_p: Probability mass of the nucleus, in (0, 1]; 1 is the whole vocabulary.
        top_k: Most probable tokens taken before ``top_p``, from 0; 0 is the whole vocabulary.
        max_new_tokens: Tokens of the longest answer, from 1 to 4096.
        seed: Seed of each sample's noise, in [0, 2**63).
    """

    temperature: float = 0.6
    top_p: float = 0.9
    top_k: int = 0
    max_new_tokens: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        # 1 and 1.0 must give the same run id.
        object.__setattr__(self, "temperature", float(self.temperature))
        object.__setattr__(self, "top_p", float(self.top_p))
        _require(0 <= self.temperature <= 10, "temperature", "between 0 (greedy) and 10", self.temperature)
        _require(0 < self.top_p <= 1, "top_p", "above 0 and at most 1", self.top_p)
        _require(self.top_k >= 0, "top_k", "0 (off) or more", self.top_k)
        _require(1 <= self.max_new_tokens <= 4096, "max_new_tokens", "between 1 and 4096", self.max_new_tokens)
        _require(0 <= self.seed < 2**63, "seed", "between 0 and 2**63 - 1", self.seed)

    @property
    def is_greedy(self) -> bool:
        """Whether the most probable token is always taken, so that all answers of a layer are the same."""
        return self.temperature == 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One sampled answer.

    Attributes:
        question_id: Id of its question.
        exit_layer: Decoder blocks run for each token, from 1.
        sample_idx: Index of the sample at this question and exit layer, from 0.
        answer: The line of ``completion_text`` that is judged, by the run's ``AnswerRule``; may be empty.
        completion_text: Text of the emitted tokens, without special tokens.
        completion_token_ids: All emitted tokens, the stopping one included; at least one.
        token_logprobs: Natural logarithm of each token's probability (temperature 1, no truncation).
        finish_reason: ``"stop"`` where the answer ended by the run's ``AnswerRule``, ``"length"`` at the limit.
    """

    question_id: str
    exit_layer: int
    sample_idx: int
    answer: str
    completion_text: str
    completion_token_ids: tuple[int, ...]
    token_logprobs: tuple[float, ...]
    finish_reason: FinishReason

    @classmethod
    def of_completion(
        cls,
        key: "SampleKey",
        text: str,
        token_ids: tuple[int, ...],
        logprobs: Sequence[float],
        *,
        rule: AnswerRule,
        is_final: bool,
    ) -> "Sample":
        """The sample with the completion ``text``; ``is_final`` if it ended before the limit of new tokens."""
        return cls(*key, rule.answer_in(text), text, token_ids, tuple(logprobs), "stop" if is_final else "length")

    @property
    def key(self) -> SampleKey:
        """The sample's key."""
        return SampleKey(self.question_id, self.exit_layer, self.sample_idx)

    @property
    def confidence(self) -> float:
        """Geometric mean of the emitted tokens' probabilities, in (0, 1] (DESIGN section 2)."""
        return math.exp(sum(self.token_logprobs) / len(self.token_logprobs))


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's verdict on one sample.

    Attributes:
        key: Key of the sample.
        outcome: ``"correct"``, ``"incorrect"`` or ``"not_attempted"`` (empty, or a refusal); ``"unjudged"`` for an
            attempt at an open question.
        reason: The rule that decided, as a short text for people.
        matched: The accepted answer that a correct sample was taken for; ``None`` where the judge names none.
        judge_outcome: What the judge had said, where a person gave the verdict; the reason is still the judge's.
    """

    key: SampleKey
    outcome: Outcome
    reason: str
    matched: str | None = None
    judge_outcome: Outcome | None = None

    @property
    def is_overruled(self) -> bool:
        """See ``is_overruled``."""
        return is_overruled(self.outcome, self.judge_outcome)


@dataclass(frozen=True, slots=True)
class LayerScore:
    """The scores of one exit layer over all questions of a run (DESIGN section 2).

    Attributes:
        exit_layer: Decoder blocks run, from 1.
        hallucination_rate: Share of answers not judged correct, mean over questions, in [0, 1]; NaN of open questions.
        creativity_raw: Different ideas among the correct answers (of open questions: the expected number of plausible
            ideas, see ``metrics.plausible_ideas``), mean over the questions that have creativity (those with one
            accepted idea have none), from 0; NaN where no question has it.
        creativity: The same scaled to [0, 1]: over those ``possible`` (as many as answers or as accepted ideas,
            whichever are fewer), ``min_max`` over the layers of the run, or ``absolute``, over answers.
        hcb_score: ``w_c * creativity + w_h * (1 - hallucination_rate)``, in [0, 1]; NaN where creativity is.
            Of open questions ``token_plausibility`` stands in place of ``1 - hallucination_rate``.
        confidence: Mean over answers of their geometric-mean token probability, in (0, 1].
        num_correct: Answers judged correct, over all questions.
        num_not_attempted: Answers that were empty or a refusal, over all questions.
        num_samples: Answers judged, over all questions.
        token_plausibility: Of open questions: geometric mean of the probabilities that the *whole* model gives an
            answer's tokens, 0 for an answer that was not attempted, mean over answers and questions, in [0, 1]. Else,
            and where it is not known, NaN.
    """

    exit_layer: int
    hallucination_rate: float
    creativity_raw: float
    creativity: float
    hcb_score: float
    confidence: float
    num_correct: int
    num_not_attempted: int
    num_samples: int
    token_plausibility: float = math.nan

    @property
    def num_attempted(self) -> int:
        """Answers that were neither empty nor a refusal, over all questions."""
        return self.num_samples - self.num_not_attempted


_OF_OPEN = frozenset({"token_plausibility", "plausibility_ci"})
_OF_JUDGED = frozenset({"hallucination_rate", "hallucination_ci", "num_correct"})


def of_kind(row: dict[str, Any], is_open: bool) -> dict[str, Any]:
    """``row``, the fields of a layer's scores or of their intervals, without those that such questions do not have."""
    left_out = _OF_JUDGED if is_open else _OF_OPEN
    return {name: value for name, value in row.items() if name not in left_out}


@dataclass(frozen=True, slots=True)
class Weights:
    """The two weights of the HCB score; they sum to 1 (paper: 0.5 and 0.5)."""

    creativity: float = 0.5
    accuracy: float = 0.5

    def __post_init__(self) -> None:
        in_range = 0 <= self.creativity <= 1 and 0 <= self.accuracy <= 1
        if not in_range or abs(self.creativity + self.accuracy - 1) > 1e-9:
            raise SettingsError(
                "weights must be two numbers from 0 to 1 that sum to 1 (creativity,accuracy), "
                f"such as 0.5,0.5; got {self.creativity},{self.accuracy}"
            )


def _require(holds: bool, name: str, allowed: str, value: object) -> None:
    if not holds:
        raise SettingsError(f"{name} must be {allowed}; got {value}")
