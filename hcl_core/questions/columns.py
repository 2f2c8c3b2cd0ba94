"""Names of columns, whatever their case, spaces and language, and the values of a row by these names."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

# German and French headers.
_TRANSLATED = {
    "frage": "question",
    "fragen": "question",
    "fragetext": "question",
    "antwort": "answer",
    "antworten": "answers",
    "richtige_antwort": "correct_answer",
    "richtige_antworten": "correct_answers",
    "réponse": "answer",
    "reponse": "answer",
    "réponses": "answers",
    "reponses": "answers",
    "bonne_réponse": "correct_answer",
    "thema": "topic",
    "thème": "topic",
    "kategorie": "category",
    "catégorie": "category",
    "schwierigkeit": "difficulty",
    "difficulté": "difficulty",
    "questions": "question",
    "accepted_answer": "answers",
    "accepted_answers": "answers",
    "answer_key": "answerkey",
}
# Columns of records that pandas writes with a dot: "answer.value".
_RECORDS = frozenset({"answer", "answers", "choices", "question"})
# answer1, answer 2, answers_3, answer.1
_NUMBERED = re.compile(r"answers?[_.]?(\d{1,2})")


class LayoutError(ValueError):
    """The columns have several meanings; no row of the file is read."""


@lru_cache(maxsize=10_000)
def column_name(name: str) -> str:
    """The name by which layouts know a column: ``"Possible Answers"`` and ``"possibleAnswers"`` are one."""
    text = unicodedata.normalize("NFKC", name).strip(" \t\r\n\ufeff\u200b:*").replace("(s)", "s")
    text = re.sub(r"(?<=[a-zß-ÿ])(?=[A-Z])", "_", text)
    text = re.sub(r"[\s_-]+", "_", text).strip("_").casefold()
    return _TRANSLATED.get(text, text)


def is_index(name: str) -> bool:
    """Whether a column numbers the rows, as pandas writes it."""
    return not name or name == "index" or name.startswith(("unnamed:", "level_0", "__index_level"))


def answer_number(name: str) -> int | None:
    """The number in a column's name such as ``answer2``."""
    found = _NUMBERED.fullmatch(name)
    return int(found.group(1)) if found else None


def written_name(values: Iterable[Any], name: str) -> str:
    """The column among ``values`` that ``column_name`` calls ``name``, as the file has it; what messages call it."""
    return next((str(each) for each in values if column_name(str(each)) == name), name)


def named_values(values: Mapping[Any, Any]) -> dict[str, Any]:
    """``values`` by ``column_name``, without columns that number the rows.

    Raises:
        LayoutError: Two columns have the same name, and different values.
    """
    row: dict[str, Any] = {}
    originals: dict[str, str] = {}
    for original, value in values.items():
        name = column_name(str(original))
        record, _, field = name.partition(".")
        if is_index(name):
            continue
        if record in _RECORDS and field and not field.isdigit() and record not in values:
            fields = row.setdefault(record, {})
            if isinstance(fields, dict):
                fields[field] = value
        elif name in row and row[name] != value:
            raise LayoutError(
                f"the columns {originals.get(name, name)!r} and {original!r} both are {name!r}: rename or remove one"
            )
        else:
            row[name], originals[name] = value, str(original)
    return row
