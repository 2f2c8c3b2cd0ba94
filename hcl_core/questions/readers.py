"""What a row says of a question: a function for each layout of ``layouts``.

The sets that list names of one right answer give a question with one accepted idea. Our own layout can have more.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hcl_core.errors import SettingsError
from hcl_core.questions.cells import (
    Answers,
    divided,
    ideas_of,
    is_empty,
    literal,
    names_of,
    one_idea,
    text_of,
    unquoted,
)
from hcl_core.questions.choices import right_choice
from hcl_core.questions.columns import answer_number
from hcl_core.questions.own import make_question
from hcl_core.questions.report import Note, Reason
from hcl_core.questions.rows import RowError
from hcl_core.records import Question

# Values by ``column_name``.
Values = Mapping[str, Any]

# Columns that could be the question, the surest first.
QUESTIONS = ("question", "question_text", "question_stem", "query", "problem", "prompt", "input", "inputs")
# Beside these, a question without answers is none that the passage answers, as in SQuAD 2; it is not an open one.
_WITH_PASSAGE = frozenset({"is_impossible", "context", "passage"})


@dataclass(frozen=True, slots=True)
class Draft:
    """What a row says of a question.

    Attributes:
        text: The question.
        answers: Its accepted ideas; none for an open question.
    """

    text: str
    answers: Answers


def _question(row: Values) -> str:
    """The text of the question column; EVOUNA and TriviaQA have texts with a CSV writer's quotes around them."""
    name = next(name for name in QUESTIONS if name in row)
    value = literal(row[name])
    if isinstance(value, Mapping):  # NarrativeQA has "text", ARC "stem"
        value = next((value[key] for key in ("text", "stem") if key in value), None)
    return unquoted(text_of(value, Reason.QUESTION))


def _needed(answers: Answers) -> Answers:
    if not answers.names:
        raise RowError(Reason.ANSWER, "it has no accepted answer")
    return answers


def own(row: Values) -> Draft:
    """This program's own layout; an empty list of answers makes an open question."""
    value = literal(row["answers"])
    if is_empty(value):
        raise RowError(Reason.ANSWER, "its answers are empty; [] says that there are none, as for an open question")
    answers = ideas_of(value)
    return Draft(_question(row), answers if _is_open(value, row) else _needed(answers))


def own_answer(*aliases: str) -> Callable[[Values], Draft]:
    """``one_answer`` of the column ``answer``, in which an empty list makes an open question too."""
    read = one_answer("answer", *aliases)

    def read_or_open(row: Values) -> Draft:
        return Draft(_question(row), Answers(())) if _is_open(literal(row["answer"]), row) else read(row)

    return read_or_open


def _is_open(value: Any, row: Values) -> bool:
    return value == [] and not _WITH_PASSAGE & row.keys()


def one_answer(column: str, *aliases: str) -> Callable[[Values], Draft]:
    """A layout whose ``column`` names one right answer, with further names in ``aliases``."""

    def read(row: Values) -> Draft:
        value = literal(row[column])
        answers = divided(value) if isinstance(value, str) else one_idea(value)
        extra = [name for alias in aliases for name in names_of(_parts(row.get(alias)))]
        if extra and answers.ideas:
            answers = Answers((tuple(dict.fromkeys((*answers.names, *extra))),))
        return Draft(_question(row), _needed(answers))

    return read


def whole_answer(row: Values) -> Draft:
    """Sets with exactly one answer a question, such as SimpleQA: a semicolon is part of it."""
    return Draft(_question(row), _needed(one_idea(row["answer"])))


def short_names(row: Values) -> Draft:
    """Columns ``q`` and ``a``."""
    return one_answer("answer")({"question": row["q"], "answer": row["a"]})


def _parts(value: Any) -> Any:
    """The parts of a cell with several names."""
    value = literal(value)
    return divided(value).names if isinstance(value, str) else value


def numbered(row: Values) -> Draft:
    """An accepted idea a column: ``answer1``, ``answer2``."""
    columns = [name for name in row if answer_number(name) is not None or name in ("answer", "answers")]
    ideas = tuple(names for names in (names_of(row[name]) for name in columns) if names)
    return Draft(_question(row), _needed(Answers(ideas)))


def multiple_choice(row: Values) -> Draft:
    """The text of the right choice is the accepted answer."""
    inner = literal(row.get("question"))
    if isinstance(inner, Mapping) and "choices" in inner:  # ARC and CommonsenseQA as first published
        row = {**row, "choices": inner["choices"]}
    return Draft(_question(row), Answers((right_choice(row),), Note.CHOICES))


def gsm8k(row: Values) -> Draft:
    """The answer stands after the last ``####`` of the working-out."""
    return Draft(_question(row), _needed(one_idea(row["answer"].rpartition("####")[2])))


def has_working(row: Values) -> bool:
    """Whether the answer is a working-out as in GSM8K."""
    return isinstance(row["answer"], str) and "####" in row["answer"]


def evouna(row: Values) -> Draft:
    """The accepted names are joined by slashes."""
    parts = (part.strip() for part in text_of(row["golden_answer"], Reason.ANSWER).split("/"))
    return Draft(_question(row), _needed(Answers((tuple(part for part in parts if part),))))


def popqa(row: Values) -> Draft:
    """The names are a list written as JSON."""
    answers = literal(row["possible_answers"])
    if isinstance(answers, str):
        raise RowError(Reason.VALUE, f"possible_answers must be a list written as JSON; got {answers[:60]!r}")
    return Draft(_question(row), _needed(one_idea(answers)))


def truthful_qa(row: Values) -> Draft:
    """Right answers are sentences, divided by semicolons in the file of the authors."""
    value = literal(row["correct_answers"])
    names = names_of([part.strip() for part in value.split(";")] if isinstance(value, str) else value)
    return Draft(_question(row), _needed(one_idea([*names_of(row.get("best_answer")), *names])))


def foundry(row: Values) -> Draft:
    """LLM Foundry's TriviaQA: the question is inside a prompt."""
    prompt = text_of(row["context"], Reason.QUESTION).strip()
    if not prompt.startswith("Question:"):
        raise RowError(Reason.QUESTION, "its context is no prompt that begins with Question:")
    text = prompt.removeprefix("Question:").removesuffix("Answer:").strip()
    names = (*names_of(row["answer"]), *names_of(row["aliases"]))
    return Draft(unquoted(text), _needed(one_idea(names)))


def chat(row: Values) -> Draft:
    """OpenAI's evals: the question is the last message of the user, or a text."""
    messages = literal(row["input"])
    if isinstance(messages, list):
        said = [each.get("content") for each in messages if isinstance(each, Mapping) and each.get("role") == "user"]
        row = {**row, "input": said[-1] if said else None}
    return one_answer("ideal")(row)


def big_bench(row: Values) -> Draft:
    """The right answers are those of the highest score."""
    scores = literal(row["target_scores"])
    if not isinstance(scores, Mapping) or not scores:
        raise RowError(Reason.VALUE, "target_scores must be a record of answers and scores")
    best = max(scores.values())
    return Draft(_question(row), Answers((tuple(text for text, score in scores.items() if score == best),)))


def kilt(row: Values) -> Draft:
    """``output`` is a list of records, each with an answer or a source."""
    return Draft(_question(row), _needed(one_idea(row["output"])))


def is_list_of_records(row: Values) -> bool:
    """Whether ``output`` is KILT's."""
    value = literal(row["output"])
    return isinstance(value, list) and all(isinstance(each, Mapping) for each in value)


def is_record(row: Values) -> bool:
    """Whether the answer is TriviaQA's record."""
    return isinstance(literal(row["answer"]), Mapping)


def is_marked_text(row: Values) -> bool:
    """Whether the answers are texts that people marked in a passage."""
    value = literal(row["answers"])
    return isinstance(value, Mapping) or (
        isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) and "text" in each for each in value)
    )


def evouna_question(entry: Mapping[str, Any]) -> Question:
    """The question of an entry of EVOUNA, whose accepted answers are joined by slashes.

    Raises:
        KeyError: A column is missing.
        SettingsError: A value is empty, or no text.
    """
    try:
        draft = evouna({"question": entry["question"], "golden_answer": entry["golden_answer"]})
    except RowError as error:
        raise SettingsError(str(error)) from None
    return make_question(draft.text, draft.answers.ideas)
