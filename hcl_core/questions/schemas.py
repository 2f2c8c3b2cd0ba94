"""From a row of a published question set to a question: one function a schema, chosen by the row's own columns."""

import ast
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from hcl_core.errors import QuestionFileError, SettingsError
from hcl_core.questions.jsonl import make_question
from hcl_core.records import Question

Row = Mapping[str, Any]

# Every column that some schema reads: the others (search results, evidence) can be large.
COLUMNS = frozenset(
    {"id", "question", "question_id", "answer", "answers", "possible_answers", "golden_answer", "context", "aliases"}
    | {"prop", "topic", "difficulty"}
)
_MAX_PROBLEM = 300
_NO_ANSWERS = "it has no answers, as in TriviaQA's test split: use the validation split"


def questions_of(rows: Iterable[Row], source: str) -> Iterator[Question]:
    """The questions of ``rows``, each once: published sets repeat some.

    Args:
        rows: Of one schema.
        source: Named in an error, with the row's number.

    Raises:
        QuestionFileError: A row cannot be read, or its schema is unknown.
    """
    seen, parse = set(), None
    for number, row in enumerate(rows, 1):
        try:
            if parse is None:
                parse = _schema_of(row)
            question = parse(row)
        except (KeyError, TypeError, ValueError, AttributeError, SyntaxError, SettingsError) as error:
            what = f"column {error} is missing" if isinstance(error, KeyError) else str(error)
            raise QuestionFileError(f"{source}, row {number}: {what[:_MAX_PROBLEM]}") from None
        if question.id not in seen:
            seen.add(question.id)
            yield question


def _schema_of(row: Row) -> Callable[[Row], Question]:
    columns = row.keys()
    for wanted, parse in (
        ({"question", "possible_answers"}, _popqa),
        ({"question", "golden_answer"}, _evouna),
        ({"context", "answer", "aliases"}, _foundry),
        ({"question", "answers"}, _own),
        ({"question", "answer"}, _nq_open_or_trivia_qa),
    ):
        if wanted <= columns:
            return parse
    raise ValueError(
        "question with answers, or the columns of TriviaQA, NQ-Open or PopQA are wanted; got "
        f"{', '.join(sorted(map(str, columns)))}"
    )


def _own(row: Row) -> Question:
    """Ours: ``question, answers``, optional ``id, topic, difficulty``."""
    optional = (row.get(name) or None for name in ("id", "topic", "difficulty"))
    return make_question(_text(row["question"]), _texts(row["answers"]), *optional)


def _nq_open_or_trivia_qa(row: Row) -> Question:
    """``google-research-datasets/nq_open``: ``answer`` is a list; ``mandarjoshi/trivia_qa``: a record."""
    answer = _literal(row["answer"])
    if not isinstance(answer, Mapping):
        return make_question(_text(row["question"]), _texts(answer), row.get("id"))
    value, aliases = answer["value"], _texts(answer["aliases"])
    if not aliases and value == "<unk>":
        raise ValueError(_NO_ANSWERS)
    return make_question(unquoted(_text(row["question"])), [_text(value), *aliases], row.get("question_id"))


def _popqa(row: Row) -> Question:
    """``akariasai/PopQA``: ``possible_answers`` is a list written as JSON."""
    number = row.get("id")
    return make_question(
        _text(row["question"]),
        _texts(_literal(row["possible_answers"])),
        None if number is None else str(number),
        row.get("prop"),
    )


def _evouna(row: Row) -> Question:
    """EVOUNA: accepted answers joined by a slash."""
    accepted = (part.strip() for part in _text(row["golden_answer"]).split("/"))
    return make_question(unquoted(_text(row["question"])), [part for part in accepted if part])


def _foundry(row: Row) -> Question:
    """LLM Foundry's TriviaQA: the question stands in a prompt, the answer beside its aliases."""
    text = _text(row["context"]).strip().removeprefix("Question:").removesuffix("Answer:").strip()
    return make_question(unquoted(text), [_text(row["answer"]), *_texts(row["aliases"])])


def unquoted(text: str) -> str:
    """``text`` without the quotes that a CSV writer once put around it: ``"Who said ""No""?"``."""
    inner = text.strip()[1:-1]
    is_wrapped = len(text.strip()) > 2 and text.strip()[0] == text.strip()[-1] == '"'
    return inner.replace('""', '"') if is_wrapped and '"' not in inner.replace('""', "") else text


def _literal(value: Any) -> Any:
    """A list or record that a CSV or TSV holds as text; another text is itself."""
    if not isinstance(value, str) or value[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return ast.literal_eval(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text was wanted; got {type(value).__name__}")
    return value


def _texts(value: Any) -> list[str]:
    value = _literal(value)
    if isinstance(value, str):
        value = [value]
    texts = [_text(each) for each in value]
    return [text for text in texts if text.strip()]
