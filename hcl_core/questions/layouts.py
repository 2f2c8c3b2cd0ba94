"""The layouts of published question sets: a table, by which a row's layout is found from all its columns."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hcl_core.questions import readers
from hcl_core.questions.cells import is_empty, literal
from hcl_core.questions.choices import KEYS, LISTS, has_choices, is_single
from hcl_core.questions.columns import LayoutError, answer_number, column_name, is_index, written_name
from hcl_core.questions.own import make_question
from hcl_core.questions.readers import QUESTIONS, Draft, Values
from hcl_core.questions.report import Note, Reason
from hcl_core.questions.rows import RowError
from hcl_core.records import Question

_IDS = ("id", "question_id", "questionid", "qid", "unique_id", "uid")
_TOPICS, _DIFFICULTIES = ("topic", "subject", "category", "prop"), ("difficulty", "level")
# Columns that every layout may have.
_COMMON = frozenset({*_IDS, *_TOPICS, *_DIFFICULTIES})
# ``question`` wins over a prompt that was made of it.
_RENDERED = frozenset({"prompt", "inputs"})
# Columns that could have the accepted answers.
_ANSWERS = ("answers", "answer", "possible_answers", "golden_answer", "golden_answers", "correct_answers",
            "correct_answer", "best_answer", "expected_answer", "expected_answers", "expected", "expected_output",
            "reference_answer", "reference", "references", "gold", "gold_answer", "ground_truth", "target", "targets",
            "ideal")  # fmt: skip
_WANTED = "question with answers, or the columns of a published set (TriviaQA, NQ-Open, SQuAD, ...) are wanted; got {}"
_NO_HEADER = (
    "the first line must name the columns, such as question;answers, and each line after it has a question and its "
    "answers, or [] where it is open; got {}"
)
# Columns that say whether the row's answer is right, as in WikiQA: an answer of label 0 is a wrong one.
_MARKS = ("label", "is_correct", "correct")


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


def _layouts() -> Iterable[Layout]:
    """The table. Of the layouts whose columns a row has, the first holds, so special ones stand before general ones."""
    question = frozenset({"question"})
    yield Layout("PopQA", question | {"possible_answers"}, readers.popqa)
    yield Layout("EVOUNA", question | {"golden_answer"}, readers.evouna)
    yield Layout("TruthfulQA", question | {"correct_answers"}, readers.truthful_qa, frozenset({"best_answer"}))
    yield Layout("TriviaQA", question | {"answer"}, readers.one_answer("answer"), holds=readers.is_record)
    yield Layout("GSM8K", question | {"answer"}, readers.gsm8k, holds=readers.has_working)
    yield Layout("SQuAD", question | {"answers"}, readers.own, frozenset({"is_impossible"}), readers.is_marked_text)
    yield Layout("question, answers", question | {"answers"}, readers.own, _RENDERED)
    aliases = ("aliases", "answer_aliases", "alias")
    yield Layout("question, answer", question | {"answer"}, readers.own_answer(*aliases), frozenset(aliases))
    yield Layout("DROP", question | {"answers_spans"}, readers.one_answer("answers_spans"))
    yield Layout("SimpleQA (problem, answer)", frozenset({"problem", "answer"}), readers.whole_answer)
    yield Layout("q, a", frozenset({"q", "a"}), readers.short_names)
    yield Layout("LLM Foundry", frozenset({"context", "answer", "aliases"}), readers.foundry)
    yield Layout("BIG-bench", frozenset({"input", "target_scores"}), readers.big_bench, frozenset({"target"}))
    yield Layout("OpenAI evals", frozenset({"input", "ideal"}), readers.chat)
    yield Layout("KILT", frozenset({"input", "output"}), readers.kilt, holds=readers.is_list_of_records)
    for asked in QUESTIONS:
        for accepted in _ANSWERS:
            yield Layout(f"{asked}, {accepted}", frozenset({asked, accepted}), readers.one_answer(accepted))


LAYOUTS = tuple(_layouts())
_MULTIPLE_CHOICE = Layout("multiple choice", frozenset(), readers.multiple_choice)
_NUMBERED = Layout("question, answer1, answer2", frozenset(), readers.numbered)
_READ = frozenset({*LISTS, *KEYS, *_COMMON}).union(*(layout.required | layout.also for layout in LAYOUTS))


def is_read(column: str) -> bool:
    """Whether some layout reads a column; the others (search results, evidence) can be large."""
    name = column_name(column).partition(".")[0]
    return name in _READ or answer_number(name) is not None or is_single(name)


def has_layout(columns: Iterable[str]) -> bool:
    """Whether rows with these columns have a known layout, or several."""
    return bool(_candidates(frozenset(column_name(str(name)).partition(".")[0] for name in columns)))


def layout_of(row: Values, written: Iterable[Any] | None = None) -> Layout:
    """The layout of a row.

    Args:
        row: Its values.
        written: Its columns as the file has them, for messages; the names in ``row`` by default.

    Raises:
        LayoutError: Its columns have several meanings.
        RowError: It has no known layout.
    """
    columns = [*row] if written is None else [each for each in written if not is_index(column_name(str(each)))]
    candidates = _candidates(frozenset(row))
    for layout in candidates:
        if layout.holds is None or layout.holds(row):
            _check_one_meaning(layout, row, columns)
            return layout
    if any(_is_sentence(str(name)) for name in columns):
        raise RowError(Reason.COLUMNS, _NO_HEADER.format(_listed(columns)))
    wanted = _WANTED.format(_listed(columns))
    lacking = "answers" if "question" in row else "question" if {"answer", "answers"} & row.keys() else None
    raise RowError(Reason.COLUMNS, f"{lacking} missing; {wanted}" if lacking else wanted)


def _is_sentence(name: str) -> bool:
    """Whether what should name a column is a question, as in a file that has one a line."""
    return name.rstrip().endswith(("?", "？", ".")) or name.count(" ") >= 4


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(sorted(map(str, columns), key=str.casefold))[:200]


@lru_cache(maxsize=1_000)
def _candidates(names: frozenset[str]) -> tuple[Layout, ...]:
    """Layouts whose columns are all there, the most special first."""
    asked = bool(names & set(QUESTIONS))
    if asked and (has_choices(names) or names >= {"question", "answerkey"}):
        return (_MULTIPLE_CHOICE,)
    if asked and any(answer_number(name) is not None for name in names):
        return (_NUMBERED,)
    return tuple(layout for layout in LAYOUTS if layout.required <= names)


def _check_one_meaning(layout: Layout, row: Values, written: list[Any]) -> None:
    """Raise ``LayoutError`` if another column could be the question, or could have the answers."""
    if layout in (_MULTIPLE_CHOICE, _NUMBERED):
        return
    used = layout.required | layout.also
    asked = [name for name in QUESTIONS if name in row]
    accepted = [name for name in _ANSWERS if name in row]
    if "question" in asked:
        asked = [name for name in asked if name not in _RENDERED]
    for what, found in (("the question", asked), ("the answers", accepted)):
        if len(found) > 1 and not used >= set(found):
            read = written_name(written, next(name for name in (*layout.required, *found) if name in found))
            listed = " and ".join(written_name(written, name) for name in found)
            raise LayoutError(
                f"the columns {listed} could all be {what}; {read} would be read (layout {layout.name}): "
                f"remove or rename the others"
            )
    if marks := [written_name(written, name) for name in _MARKS if name in row and accepted]:
        raise LayoutError(
            f"the column {marks[0]} may say which answers are right; {written_name(written, accepted[0])} would be "
            f"read as right in every row (layout {layout.name}): keep the right answers and remove {marks[0]}"
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
