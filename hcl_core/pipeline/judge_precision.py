"""A judge on the noise of early layers: how many of the answers that it calls right are hit by chance.

The file is JSON lines, one an answer to a question of the starter set: ``question_id``, ``answer``, ``temperature``,
``layers`` (the exit layer of each sample that gave it), ``label`` (``"right"`` or ``"wrong"``) and an optional
``note``.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hcl_core.errors import QuestionFileError, SettingsError, cause_of
from hcl_core.pipeline.judge_eval import check_half, is_tuning_half
from hcl_core.ports import Judge
from hcl_core.questions.files import starter_questions
from hcl_core.records import Question
from hcl_core.user_files import MAX_TEXT_BYTES, read_text_limited


@dataclass(frozen=True, slots=True)
class LabelledAnswer:
    """An answer of early layers, and what a reader said of it.

    Attributes:
        question: With its accepted answers.
        answer: As the model gave it.
        temperature: At which it was sampled.
        num_samples: Samples of early layers that gave it.
        is_right: What the reader said.
    """

    question: Question
    answer: str
    temperature: float
    num_samples: int
    is_right: bool


@dataclass(frozen=True, slots=True)
class Precision:
    """A judge's verdicts on the labelled samples of one temperature.

    Attributes:
        temperature: At which they were sampled.
        num_right: Samples that the reader called right.
        num_called_right: Samples that the judge calls right.
        num_chance_hits: Those of them that the reader called wrong.
        num_missed: Samples that the reader alone called right.
    """

    temperature: float
    num_right: int
    num_called_right: int
    num_chance_hits: int
    num_missed: int

    @property
    def chance_hits(self) -> float:
        """Share of the samples called right that are hit by chance, in [0, 1]; 0 where none is called right."""
        return self.num_chance_hits / self.num_called_right if self.num_called_right else 0.0


def read_labelled_answers(file: Path, half: str = "all") -> list[LabelledAnswer]:
    """The labelled answers of ``file`` to the questions of ``half``.

    Raises:
        QuestionFileError: The file cannot be read or has another schema; the message names the line.
        SettingsError: ``half`` is unknown, or leaves nothing.
    """
    check_half(half)
    questions = {question.id: question for question in starter_questions().load()}
    try:
        lines = read_text_limited(file, MAX_TEXT_BYTES).splitlines()
    except (OSError, ValueError) as error:
        raise QuestionFileError(f"cannot read {file}: {cause_of(error)}") from None
    answers = []
    for number, line in enumerate(lines, 1):
        try:
            labelled = _parse(line, questions)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise QuestionFileError(
                f"{file}, line {number}: question_id, answer, temperature, layers and label are wanted: {error}"
            ) from None
        if half == "all" or is_tuning_half(labelled.question.text) == (half == "tuned"):
            answers.append(labelled)
    if not answers:
        raise SettingsError(f"{file} has no labelled answer in this half")
    return answers


def measure_precision(
    judge: Judge, answers: Sequence[LabelledAnswer], on_progress: Callable[[int], None] = lambda _: None
) -> list[Precision]:
    """Judge every answer; one result a temperature, the lowest first.

    Args:
        judge: To be measured.
        answers: From ``read_labelled_answers``.
        on_progress: Told the number of answers judged.
    """
    by_question: dict[Question, list[LabelledAnswer]] = {}
    for each in answers:
        by_question.setdefault(each.question, []).append(each)
    judged: list[tuple[LabelledAnswer, bool]] = []
    for question, asked in by_question.items():
        judgements = judge.judge(question, [each.answer for each in asked])
        judged += [(each, said.outcome == "correct") for each, said in zip(asked, judgements, strict=True)]
        on_progress(len(judged))
    temperatures = sorted({each.temperature for each in answers})
    return [_precision(temperature, judged) for temperature in temperatures]


def _precision(temperature: float, judged: Sequence[tuple[LabelledAnswer, bool]]) -> Precision:
    here = [(each, is_called) for each, is_called in judged if each.temperature == temperature]

    def count(is_right: set[bool], is_called: set[bool]) -> int:
        return sum(each.num_samples for each, called in here if each.is_right in is_right and called in is_called)

    either = {False, True}
    return Precision(
        temperature, count({True}, either), count(either, {True}), count({False}, {True}), count({True}, {False})
    )


def _parse(line: str, questions: dict[str, Question]) -> LabelledAnswer:
    entry = json.loads(line)
    if not isinstance(entry["answer"], str) or not isinstance(entry["layers"], list) or not entry["layers"]:
        raise TypeError("answer must be a text, and layers a list with at least one layer")
    if entry["label"] not in ("right", "wrong"):
        raise ValueError(f"label must be right or wrong; got {entry['label']!r}")
    return LabelledAnswer(
        questions[entry["question_id"]],
        entry["answer"],
        float(entry["temperature"]),
        len(entry["layers"]),
        entry["label"] == "right",
    )
