"""Turn rows of published question sets into questions: one function a schema, chosen by the columns.

The published sets list names of one right answer: such a question has one accepted idea. Our own schema can have more.
"""

import ast
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from hcl_core.errors import QuestionFileError, SettingsError
from hcl_core.questions.jsonl import make_question
from hcl_core.records import Question

Row = Mapping[str, Any]

# Every column that some schema reads. The other columns (search results, evidence) can be large.
COLUMNS = frozenset(
    {"id", "question", "question_id", "answer", "answers", "possible_answers", "golden_answer", "context", "aliases"}
    | {"prop", "topic", "difficulty"}
)
# ['a' 'b'], as numpy prints it; Python would read it as the one text 'ab'.
_ARRAY = re.compile(r"""['"]\s+['"]""")
_MAX_PROBLEM = 300
_NO_ANSWERS = "it has no answers, as in TriviaQA's test split: use the validation split"


def questions_of(rows: Iterable[Row], source: str) -> Iterator[Question]:
    """The questions of ``rows`` without repetitions, which published sets have.

    Args:
        rows: Rows of one schema.
        source: Name of the set, for error messages.

    Raises:
        QuestionFileError: A row cannot be read, or its schema is unknown.
    """
    seen: dict[str, str] = {}
    parse = None
    for number, row in enumerate(rows, 1):
        try:
            if parse is None:
                parse = _schema_of(row)
            question = parse(row)
        except (KeyError, TypeError, ValueError, AttributeError, SyntaxError, SettingsError) as error:
            problem = f"column {error} is missing" if isinstance(error, KeyError) else str(error)
            raise QuestionFileError(f"{source}, row {number}: {problem[:_MAX_PROBLEM]}") from None
        if question.id not in seen:
            seen[question.id] = question.text
            yield question
        elif seen[question.id] != question.text:
            raise QuestionFileError(f"{source}, row {number}: id {question.id!r} is another question's already")


def _schema_of(row: Row) -> Callable[[Row], Question]:
    columns = row.keys()
    for required, parse in (
        ({"question", "possible_answers"}, _popqa),
        ({"question", "golden_answer"}, evouna_question),
        ({"context", "answer", "aliases"}, _foundry),
        ({"question", "answers"}, _own),
        ({"question", "answer"}, _nq_open_or_trivia_qa),
    ):
        if required <= columns:
            return parse
    raise ValueError(
        "question with answers, or the columns of TriviaQA, NQ-Open or PopQA are wanted; got "
        f"{', '.join(sorted(map(str, columns)))}"
    )


def _own(row: Row) -> Question:
    """This program's own schema: ``question, answers``, optional ``id, topic, difficulty``."""
    topic, difficulty = (row.get(name) or None for name in ("topic", "difficulty"))
    return make_question(_text(row["question"]), _ideas(row["answers"]), _id(row, "id"), topic, difficulty)


def _nq_open_or_trivia_qa(row: Row) -> Question:
    """``google-research-datasets/nq_open``: ``answer`` is a list; ``mandarjoshi/trivia_qa``: a record."""
    answer = _literal(row["answer"])
    if not isinstance(answer, Mapping):
        return make_question(_text(row["question"]), [tuple(_texts(answer))], _id(row, "id"))
    value, aliases = answer["value"], _texts(answer["aliases"])
    if not aliases and value == "<unk>":
        raise ValueError(_NO_ANSWERS)
    return make_question(unquoted(_text(row["question"])), [(_text(value), *aliases)], _id(row, "question_id"))


def _popqa(row: Row) -> Question:
    """``akariasai/PopQA``: ``possible_answers`` is a list written as JSON."""
    answers = _literal(row["possible_answers"])
    if isinstance(answers, str):
        raise ValueError(f"possible_answers must be a list written as JSON; got {answers[:60]!r}")
    return make_question(_text(row["question"]), [tuple(_texts(answers))], _id(row, "id"), row.get("prop"))


def evouna_question(row: Row) -> Question:
    """EVOUNA: the accepted answers are joined by slashes."""
    accepted = (part.strip() for part in _text(row["golden_answer"]).split("/"))
    return make_question(unquoted(_text(row["question"])), [tuple(part for part in accepted if part)])


def _foundry(row: Row) -> Question:
    """LLM Foundry's TriviaQA: the question is inside a prompt, the answer has its own column beside its aliases."""
    text = _text(row["context"]).strip().removeprefix("Question:").removesuffix("Answer:").strip()
    return make_question(unquoted(text), [(_text(row["answer"]), *_texts(row["aliases"]))])


def unquoted(text: str) -> str:
    """``text`` without the quotes that a CSV writer left around it: ``"Who said ""No""?"``."""
    inner = text.strip()[1:-1]
    is_wrapped = len(text.strip()) > 2 and text.strip()[0] == text.strip()[-1] == '"'
    return inner.replace('""', '"') if is_wrapped and '"' not in inner.replace('""', "") else text


def _literal(value: Any) -> Any:
    """The list or record that a CSV or TSV cell holds as text; any other value is returned unchanged."""
    if not isinstance(value, str) or value[:1] not in ("[", "{"):
        return value
    if _ARRAY.search(value):
        raise ValueError(f"a list with commas was wanted; got an array as numpy prints it: {value[:60]}")
    for read in (json.loads, ast.literal_eval):
        try:
            return read(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    if value[:2] in ("['", '["', "{'", '{"', "[[", "{}"):
        raise ValueError(f"a list or record was wanted; got {value[:60]!r}")
    return value


def _id(row: Row, column: str) -> str | None:
    value = row.get(column)
    return None if value is None or value == "" else str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text was wanted; got {type(value).__name__}")
    return value


def _ideas(value: Any) -> list[str | tuple[str, ...]]:
    """Accepted ideas: each a text, or a list of names."""
    value = _literal(value)
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, Iterable) or isinstance(value, Mapping):
        raise TypeError(f"a list of answers was wanted; got {type(value).__name__}")
    ideas = [entry if isinstance(entry, str) else tuple(_texts(entry)) for entry in value]
    named = [idea for idea in ideas if (idea.strip() if isinstance(idea, str) else idea)]
    if ideas and not named:
        raise ValueError("its answers are empty; [] says that there are none, as for an open question")
    return named


def _texts(value: Any) -> list[str]:
    value = _literal(value)
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, Iterable) or isinstance(value, Mapping):
        raise TypeError(f"a list of answers was wanted; got {type(value).__name__}")
    return [text for text in map(_text, value) if text.strip()]
