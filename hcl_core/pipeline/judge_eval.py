"""A judge against people: how often it says what they said (the schema of EVOUNA, Wang et al., arXiv 2305.12421).

The file is a JSON array. An entry has ``question``, ``golden_answer`` (accepted answers joined by ``/``), and for
each answering model ``answer_<model>`` and ``judge_<model>``, which is true where a person called the answer right.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hcl_core.errors import QuestionFileError, SettingsError, cause_of
from hcl_core.ports import Judge
from hcl_core.questions.readers import evouna_question
from hcl_core.records import Question
from hcl_core.user_files import MAX_TEXT_BYTES, read_text_limited

HALVES = ("all", "tuned", "held-out")


@dataclass(frozen=True, slots=True)
class LabelledQuestion:
    """A question, and what people said of several models' answers to it.

    Attributes:
        question: With its accepted answers.
        answers: By answering model.
        is_right: By answering model.
        is_tuned_on: Whether rules were tuned on this question.
    """

    question: Question
    answers: dict[str, str]
    is_right: dict[str, bool]
    is_tuned_on: bool


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a judge's verdicts on one model's answers stand to people's.

    Attributes:
        n: Answers.
        agreement: Share judged alike, in [0, 1].
        false_positives: Called right by the judge alone.
        false_negatives: Called right by people alone.
        kappa: Cohen's: agreement beyond chance, in [-1, 1]; NaN where both call everything the same.
    """

    n: int
    agreement: float
    false_positives: int
    false_negatives: int
    kappa: float


@dataclass(frozen=True, slots=True)
class JudgeReport:
    """``judge-eval``'s result.

    Attributes:
        judge: Name of the judge.
        models: By answering model.
        seconds: Spent judging.
    """

    judge: str
    models: dict[str, Agreement]
    seconds: float

    @property
    def mean_agreement(self) -> float:
        """Over the answering models."""
        return sum(each.agreement for each in self.models.values()) / len(self.models)

    @property
    def num_judgements(self) -> int:
        """Over all models."""
        return sum(each.n for each in self.models.values())

    @property
    def judgements_per_second(self) -> float:
        """The reading of accepted answers included."""
        return self.num_judgements / max(self.seconds, 1e-9)


def read_labelled(file: Path, half: str = "all") -> tuple[list[LabelledQuestion], int]:
    """The labelled questions of ``file``, and how many were left out: improper and incomplete ones.

    An entry is incomplete where an answer is null or a label is missing; the published files have such entries.

    Raises:
        QuestionFileError: The file cannot be read or has another schema; the message names the entry.
        SettingsError: ``half`` is unknown, or leaves nothing.
    """
    check_half(half)
    try:
        entries = json.loads(read_text_limited(file, MAX_TEXT_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise QuestionFileError(f"cannot read {file} as JSON: {cause_of(error)}") from None
    if not isinstance(entries, list) or not entries:
        came = "an empty one" if entries == [] else type(entries).__name__
        raise QuestionFileError(f"{file}: an array of labelled questions was wanted; got {came}")
    labelled, num_left_out = [], 0
    for number, entry in enumerate(entries, 1):
        try:
            parsed = _parse(entry)
        except (KeyError, TypeError, AttributeError, SettingsError) as error:
            raise QuestionFileError(
                f"{file}, entry {number}: question, golden_answer, answer_<model>, judge_<model> are wanted: {error}"
            ) from None
        if parsed is None:
            num_left_out += 1
        elif half == "all" or parsed.is_tuned_on == (half == "tuned"):
            labelled.append(parsed)
    if not labelled:
        raise SettingsError(f"{file} has no labelled question in this half")
    return labelled, num_left_out


def check_half(half: str) -> None:
    """Raise ``SettingsError`` unless ``half`` is one of ``HALVES``."""
    if half not in HALVES:
        raise SettingsError(f"half must be one of {', '.join(HALVES)}; got {half!r}")


def is_tuning_half(text: str) -> bool:
    """Whether the rules were tuned on this question's half of a set. Split by a hash of the published question text."""
    return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=1).digest()[0] % 2 == 0


def evaluate(
    judge: Judge,
    labelled: Sequence[LabelledQuestion],
    on_progress: Callable[[int], None] = lambda _: None,
    clock: Callable[[], float] = time.perf_counter,
) -> JudgeReport:
    """Judge every answer and compare.

    Args:
        judge: To be measured.
        labelled: From ``read_labelled``.
        on_progress: Told the number of questions judged.
        clock: Seconds.
    """
    pairs: dict[str, list[tuple[bool, bool]]] = {}
    started = clock()
    for number, each in enumerate(labelled, 1):
        judgements = judge.judge(each.question, list(each.answers.values()))
        for model, judgement in zip(each.answers, judgements, strict=True):
            pairs.setdefault(model, []).append((judgement.outcome == "correct", each.is_right[model]))
        on_progress(number)
    return JudgeReport(
        judge.name, {model: _agreement(of_model) for model, of_model in pairs.items()}, clock() - started
    )


def _agreement(pairs: list[tuple[bool, bool]]) -> Agreement:
    # Imported here: scikit-learn takes a second, and other commands read this module.
    from sklearn.metrics import cohen_kappa_score, confusion_matrix

    judged, labels = zip(*pairs, strict=True)
    classes = [False, True]
    (both_wrong, false_positives), (false_negatives, both_right) = confusion_matrix(labels, judged, labels=classes)
    kappa = cohen_kappa_score(labels, judged, labels=classes) if len({*labels, *judged}) == 2 else math.nan
    agreement = float(both_wrong + both_right) / len(pairs)
    return Agreement(len(pairs), agreement, int(false_positives), int(false_negatives), float(kappa))


def _parse(entry: dict[str, Any]) -> LabelledQuestion | None:
    models = list(_models(entry))
    if not models:
        raise KeyError("no answer_<model> in it")
    question_texts = [entry["question"], entry["golden_answer"]]
    answers = {model: entry[f"answer_{model}"] for model in models}
    # Where people gave no label, the published file has the text "nan".
    given = {model: entry.get(f"judge_{model}") for model in models}
    labels = {model: label for model, label in given.items() if isinstance(label, bool)}
    if entry.get("improper") is True or labels.keys() != given.keys() or None in (*question_texts, *answers.values()):
        return None
    question = evouna_question(entry)
    if not all(isinstance(answer, str) for answer in answers.values()):
        raise TypeError("an answer is no text")
    if any("\ud800" <= letter <= "\udfff" for text in (*answers, *answers.values()) for letter in text):
        raise TypeError("an answer is no Unicode text")
    return LabelledQuestion(question, answers, labels, is_tuning_half(entry["question"]))


def _models(entry: dict[str, Any]) -> Iterator[str]:
    return (key.removeprefix("answer_") for key in entry if key.startswith("answer_"))
