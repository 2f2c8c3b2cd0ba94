"""The layouts of published question sets, recognised by all columns of a row: a table, and a function for each.

The sets that list names of one right answer give a question with one accepted idea. Our own layout can have more.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
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
from hcl_core.questions.choices import KEYS, LISTS, has_choices, is_single, right_choice
from hcl_core.questions.columns import LayoutError, answer_number, column_name
from hcl_core.questions.own import make_question
from hcl_core.questions.report import Note, Reason
from hcl_core.questions.rows import RowError
from hcl_core.records import Question

# Values by ``column_name``.
Values = Mapping[str, Any]

_IDS = ("id", "question_id", "questionid", "qid", "unique_id", "uid")
_TOPICS, _DIFFICULTIES = ("topic", "subject", "category", "prop"), ("difficulty", "level")
_COMMON = frozenset({*_IDS, *_TOPICS, *_DIFFICULTIES})
# Columns that could be the question; ``question`` wins over a prompt that was made of it.
_QUESTIONS = ("question", "question_text", "question_stem", "query", "problem", "prompt", "input", "inputs")
_RENDERED = frozenset({"prompt", "inputs"})
# Columns that could have the accepted answers.
_ANSWERS = ("answers", "answer", "possible_answers", "golden_answer", "golden_answers", "correct_answers",
            "correct_answer", "best_answer", "expected_answer", "expected_answers", "expected", "expected_output",
            "reference_answer", "reference", "references", "gold", "gold_answer", "ground_truth", "target", "targets",
            "ideal")  # fmt: skip
# Columns that say whether the row's answer is right, as in WikiQA: an answer of label 0 is a wrong one.
_MARKS = ("label", "is_correct", "correct")


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


@dataclass(frozen=True, slots=True)
class Layout:
    """A layout.

    Attributes:
        name: As people know it.
        required: Columns that a row of it has.
        read: Question and answers of such a row; raises ``RowError``.
        also: Further columns that are read, or that have the same meaning as a required one.
        holds: What the row's values must be; ``None`` for any.
    """

    name: str
    required: frozenset[str]
    read: Callable[[Values], Draft]
    also: frozenset[str] = frozenset()
    holds: Callable[[Values], bool] | None = None


def _question(row: Values) -> str:
    """The text of the question column; EVOUNA and TriviaQA have texts with a CSV writer's quotes around them."""
    name = next(name for name in _QUESTIONS if name in row)
    value = literal(row[name])
    if isinstance(value, Mapping):  # NarrativeQA has "text", ARC "stem"
        value = next((value[key] for key in ("text", "stem") if key in value), None)
    return unquoted(text_of(value, Reason.QUESTION))


def _needed(answers: Answers) -> Answers:
    if not answers.names:
        raise RowError(Reason.ANSWER, "it has no answers, as in TriviaQA's test split: use the validation split")
    return answers


def _own(row: Values) -> Draft:
    value = literal(row["answers"])
    if is_empty(value):
        raise RowError(Reason.ANSWER, "its answers are empty; [] says that there are none, as for an open question")
    answers = ideas_of(value)
    is_open = value == [] and not _WITH_PASSAGE & row.keys()
    return Draft(_question(row), answers if is_open else _needed(answers))


def _one_answer(column: str, *aliases: str) -> Callable[[Values], Draft]:
    """A layout whose ``column`` names one right answer, with further names in ``aliases``."""

    def read(row: Values) -> Draft:
        value = literal(row[column])
        answers = divided(value) if isinstance(value, str) else one_idea(value)
        extra = [name for alias in aliases for name in names_of(_parts(row.get(alias)))]
        if extra and answers.ideas:
            answers = Answers((tuple(dict.fromkeys((*answers.names, *extra))),))
        return Draft(_question(row), _needed(answers))

    return read


def _parts(value: Any) -> Any:
    """The parts of a cell with several names."""
    value = literal(value)
    return divided(value).names if isinstance(value, str) else value


def _numbered(row: Values) -> Draft:
    """An accepted idea a column: ``answer1``, ``answer2``."""
    columns = [name for name in row if answer_number(name) is not None or name in ("answer", "answers")]
    ideas = tuple(names for names in (names_of(row[name]) for name in columns) if names)
    return Draft(_question(row), _needed(Answers(ideas)))


def _multiple_choice(row: Values) -> Draft:
    inner = literal(row.get("question"))
    if isinstance(inner, Mapping) and "choices" in inner:  # ARC and CommonsenseQA as first published
        row = {**row, "choices": inner["choices"]}
    return Draft(_question(row), Answers((right_choice(row),), Note.CHOICES))


def _gsm8k(row: Values) -> Draft:
    """The answer stands after the last ``####`` of the working-out."""
    return Draft(_question(row), _needed(one_idea(row["answer"].rpartition("####")[2])))


def _has_working(row: Values) -> bool:
    return isinstance(row["answer"], str) and "####" in row["answer"]


def _evouna(row: Values) -> Draft:
    """The accepted names are joined by slashes."""
    parts = (part.strip() for part in text_of(row["golden_answer"], Reason.ANSWER).split("/"))
    return Draft(_question(row), _needed(Answers((tuple(part for part in parts if part),))))


def _popqa(row: Values) -> Draft:
    answers = literal(row["possible_answers"])
    if isinstance(answers, str):
        raise RowError(Reason.VALUE, f"possible_answers must be a list written as JSON; got {answers[:60]!r}")
    return Draft(_question(row), _needed(one_idea(answers)))


def _truthful_qa(row: Values) -> Draft:
    """Right answers are sentences, divided by semicolons in the file of the authors."""
    value = literal(row["correct_answers"])
    names = names_of([part.strip() for part in value.split(";")] if isinstance(value, str) else value)
    return Draft(_question(row), _needed(one_idea([*names_of(row.get("best_answer")), *names])))


def _foundry(row: Values) -> Draft:
    """LLM Foundry's TriviaQA: the question is inside a prompt."""
    prompt = text_of(row["context"], Reason.QUESTION).strip()
    if not prompt.startswith("Question:"):
        raise RowError(Reason.QUESTION, "its context is no prompt that begins with Question:")
    text = prompt.removeprefix("Question:").removesuffix("Answer:").strip()
    names = (*names_of(row["answer"]), *names_of(row["aliases"]))
    return Draft(unquoted(text), _needed(one_idea(names)))


def _chat(row: Values) -> Draft:
    """OpenAI's evals: the question is the last message of the user, or a text."""
    messages = literal(row["input"])
    if isinstance(messages, list):
        said = [each.get("content") for each in messages if isinstance(each, Mapping) and each.get("role") == "user"]
        row = {**row, "input": said[-1] if said else None}
    return _one_answer("ideal")(row)


def _big_bench(row: Values) -> Draft:
    """The right answers are those of the highest score."""
    scores = literal(row["target_scores"])
    if not isinstance(scores, Mapping) or not scores:
        raise RowError(Reason.VALUE, "target_scores must be a record of answers and scores")
    best = max(scores.values())
    return Draft(_question(row), Answers((tuple(text for text, score in scores.items() if score == best),)))


def _kilt(row: Values) -> Draft:
    """``output`` is a list of records, each with an answer or a source."""
    return Draft(_question(row), _needed(one_idea(row["output"])))


def _is_list_of_records(row: Values) -> bool:
    value = literal(row["output"])
    return isinstance(value, list) and all(isinstance(each, Mapping) for each in value)


def _is_record(row: Values) -> bool:
    return isinstance(literal(row["answer"]), Mapping)


def _is_marked_text(row: Values) -> bool:
    value = literal(row["answers"])
    return isinstance(value, Mapping) or (
        isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) and "text" in each for each in value)
    )


def _layouts() -> Iterable[Layout]:
    question = frozenset({"question"})
    yield Layout("PopQA", question | {"possible_answers"}, _popqa)
    yield Layout("EVOUNA", question | {"golden_answer"}, _evouna)
    yield Layout("TruthfulQA", question | {"correct_answers"}, _truthful_qa, frozenset({"best_answer"}))
    yield Layout("TriviaQA", question | {"answer"}, _one_answer("answer"), holds=_is_record)
    yield Layout("GSM8K", question | {"answer"}, _gsm8k, holds=_has_working)
    yield Layout("SQuAD", question | {"answers"}, _own, frozenset({"is_impossible"}), _is_marked_text)
    yield Layout("question, answers", question | {"answers"}, _own, _RENDERED)
    aliases = ("aliases", "answer_aliases", "alias")
    yield Layout("question, answer", question | {"answer"}, _one_answer("answer", *aliases), frozenset(aliases))
    yield Layout("DROP", question | {"answers_spans"}, _one_answer("answers_spans"))
    yield Layout("SimpleQA (problem, answer)", frozenset({"problem", "answer"}), _one_answer("answer"))
    yield Layout("LLM Foundry", frozenset({"context", "answer", "aliases"}), _foundry)
    yield Layout("BIG-bench", frozenset({"input", "target_scores"}), _big_bench, frozenset({"target"}))
    yield Layout("OpenAI evals", frozenset({"input", "ideal"}), _chat)
    yield Layout("KILT", frozenset({"input", "output"}), _kilt, holds=_is_list_of_records)
    for asked in _QUESTIONS:
        for accepted in _ANSWERS:
            yield Layout(f"{asked}, {accepted}", frozenset({asked, accepted}), _one_answer(accepted))


LAYOUTS = tuple(_layouts())
_MULTIPLE_CHOICE = Layout("multiple choice", frozenset(), _multiple_choice)
_NUMBERED = Layout("question, answer1, answer2", frozenset(), _numbered)
_READ = (
    frozenset(_QUESTIONS)
    | frozenset(_ANSWERS)
    | frozenset({*LISTS, *KEYS, *_COMMON}).union(*(layout.required | layout.also for layout in LAYOUTS))
)


def is_read(column: str) -> bool:
    """Whether some layout reads a column; the others (search results, evidence) can be large."""
    name = column_name(column).partition(".")[0]
    return name in _READ or answer_number(name) is not None or is_single(name)


def has_layout(columns: Iterable[str]) -> bool:
    """Whether rows with these columns have a known layout, or several."""
    return bool(_candidates(frozenset(column_name(str(name)).partition(".")[0] for name in columns)))


def layout_of(row: Values) -> Layout:
    """The layout of a row.

    Raises:
        LayoutError: Its columns have several meanings.
        RowError: It has no known layout.
    """
    candidates = _candidates(frozenset(row))
    for layout in candidates:
        if layout.holds is None or layout.holds(row):
            _check_one_meaning(layout, row)
            return layout
    lacking = {"question": [{"answers"}, {"answer"}], "answers": [{"question"}], "answer": [{"question"}]}
    for name, others in lacking.items():
        if name in row and not any(other <= row.keys() for other in others):
            raise RowError(Reason.COLUMNS, f"{next(iter(others[0]))} missing; {_WANTED.format(_listed(row))}")
    raise RowError(Reason.COLUMNS, _WANTED.format(_listed(row)))


_WANTED = "question with answers, or the columns of a published set (TriviaQA, NQ-Open, SQuAD, ...) are wanted; got {}"


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(sorted(map(str, columns)))[:200]


@lru_cache(maxsize=1_000)
def _candidates(names: frozenset[str]) -> tuple[Layout, ...]:
    """Layouts whose columns are all there, the most special first."""
    asked = bool(names & set(_QUESTIONS))
    if asked and (has_choices(names) or names >= {"question", "answerkey"}):
        return (_MULTIPLE_CHOICE,)
    if asked and any(answer_number(name) is not None for name in names):
        return (_NUMBERED,)
    return tuple(layout for layout in LAYOUTS if layout.required <= names)


def _check_one_meaning(layout: Layout, row: Values) -> None:
    """Raise ``LayoutError`` if another column could be the question, or could have the answers."""
    if layout in (_MULTIPLE_CHOICE, _NUMBERED):
        return
    used = layout.required | layout.also
    asked = [name for name in _QUESTIONS if name in row]
    accepted = [name for name in _ANSWERS if name in row]
    if "question" in asked:
        asked = [name for name in asked if name not in _RENDERED]
    for what, found in (("the question", asked), ("the answers", accepted)):
        if len(found) > 1 and not used >= set(found):
            read = next(name for name in (*layout.required, *found) if name in found)
            raise LayoutError(
                f"the columns {' and '.join(found)} could all be {what}; {read} would be read (layout {layout.name}): "
                f"remove or rename the others"
            )
    if marks := [name for name in _MARKS if name in row and accepted]:
        raise LayoutError(
            f"the column {marks[0]} may say which answers are right; {accepted[0]} would be read as right in every row "
            f"(layout {layout.name}): keep the right answers and remove {marks[0]}"
        )


def headerless(cells: list[str]) -> list[str] | None:
    """The columns of a published file without a header, by its first row: DPR's of NQ and TriviaQA, and MMLU's."""
    if len(cells) == 2 and cells[1].strip()[:1] == "[" and isinstance(literal_or_none(cells[1]), list):
        return ["question", "answer"]
    if len(cells) == 6 and cells[5].strip() in tuple("ABCD"):
        return ["question", "a", "b", "c", "d", "answer"]
    return None


def literal_or_none(text: str) -> Any:
    """``literal``; ``None`` for a damaged list."""
    try:
        return literal(text)
    except RowError:
        return None


def read_question(row: Values, layout: Layout) -> tuple[Question, Note | None]:
    """The question of a row, and what should be known of its answers.

    Raises:
        RowError: It lacks a text or an answer.
        SettingsError: A text is no Unicode text, or an id is blank.
    """
    draft = layout.read(row)
    topic, difficulty = (_optional(row, names) for names in (_TOPICS, _DIFFICULTIES))
    question = make_question(draft.text, draft.answers.ideas, _id(row), topic, difficulty)
    return question, draft.answers.note


def unread_columns(row: Values, layout: Layout) -> list[str]:
    """Columns of ``row`` that are not read; published sets have many, so only those of plain layouts count."""
    if layout.name not in ("question, answers", "question, answer"):
        return []
    return [name for name in row if name not in layout.required | layout.also | _COMMON]


def _id(row: Values) -> str | None:
    value = next((row[name] for name in _IDS if name in row), None)
    if value is None or value == "" or value != value:
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _optional(row: Values, names: Iterable[str]) -> Any:
    """The first of the columns; a text, except in ``topic`` and ``difficulty``, whose values ``Question`` checks."""
    for name in names:
        value = row.get(name)
        if is_empty(value):
            continue
        if isinstance(value, int | float):
            return str(value)
        if isinstance(value, str) or name in ("topic", "difficulty"):
            return value
    return None


def evouna_question(entry: Mapping[str, Any]) -> Question:
    """The question of an entry of EVOUNA, whose accepted answers are joined by slashes.

    Raises:
        KeyError: A column is missing.
        SettingsError: A value is empty, or no text.
    """
    try:
        draft = _evouna({"question": entry["question"], "golden_answer": entry["golden_answer"]})
    except RowError as error:
        raise SettingsError(str(error)) from None
    return make_question(draft.text, draft.answers.ideas)
