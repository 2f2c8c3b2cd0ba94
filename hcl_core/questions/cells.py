"""Values of cells to texts and accepted ideas: one set of rules for every file format."""

import ast
import datetime
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hcl_core.questions.columns import column_name
from hcl_core.questions.report import Note, Reason
from hcl_core.questions.rows import RowError

# What pandas, R, databases and spreadsheets write where there is nothing, and Excel's errors in three languages.
_EMPTY = frozenset({"", "nan", "none", "null", "<na>", "n/a", "#n/a", "nat", "#nv", "#ref!", "#bezug!"}) | frozenset(
    {"#name?", "#nom?", "#value!", "#wert!", "#valeur!", "#div/0!", "#null!", "#num!", "#zahl!", "#nombre!"}
)
_EMPTY_AS_WRITTEN = frozenset({"NA"})  # as R writes it; "Na" is sodium

# A text in quotes, as Python and numpy print it.
_QUOTED = re.compile(r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""", re.DOTALL)
_MISSING_COMMA = re.compile(rf"""({_QUOTED.pattern})(?=\s+['"])""", re.DOTALL)
_ARRAY = re.compile(r"array\((\[.*?\])(?:,\s*dtype=[^)]*)?\)", re.DOTALL)

_ENTITY_END = re.compile(r"&#?\w{1,10}$")
_MAX_WORDS = 8  # of one of several answers in a cell; more are a sentence
_MAYBE_SEVERAL = re.compile(r",\s|\s/\s")
_YES, _NO = ("yes", "true"), ("no", "false")


@dataclass(frozen=True, slots=True)
class Answers:
    """Accepted ideas of a cell.

    Attributes:
        ideas: Each with its names.
        note: What should be known of them.
    """

    ideas: tuple[tuple[str, ...], ...]
    note: Note | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in order."""
        return tuple(name for idea in self.ideas for name in idea)


def is_empty(value: Any) -> bool:
    """Whether a cell says that there is no value."""
    if isinstance(value, str):
        text = value.strip()
        return text.casefold() in _EMPTY or text in _EMPTY_AS_WRITTEN
    return value is None or (isinstance(value, float | Decimal) and math.isnan(value))


def text_of(value: Any, reason: Reason = Reason.VALUE) -> str:
    """A text; raises ``RowError`` for any other value, and for an empty one."""
    if is_empty(value):
        raise RowError(reason, "a question needs a text; got none" if reason == Reason.QUESTION else "no text in it")
    if not isinstance(value, str):
        raise RowError(Reason.VALUE, f"a text was wanted; got {type(value).__name__}")
    return value


def names_of(value: Any) -> tuple[str, ...]:
    """The names of one answer: a text, a number, a truth value or a date, or a list of them; empty ones are dropped."""
    value = literal(value)
    if is_empty(value):
        return ()
    if isinstance(value, str) and value.strip().casefold() in ("true", "false"):
        value = value.strip().casefold() == "true"
    if isinstance(value, bool):
        return _YES if value else _NO
    if isinstance(value, str):
        return (value.strip(),)
    if isinstance(value, float) and value.is_integer():  # pandas makes whole numbers beside a gap fractional
        return (str(int(value)),)
    if isinstance(value, int | float | Decimal | datetime.date | datetime.time):
        return (str(value),)
    if isinstance(value, Mapping):
        return _names_of_record({column_name(str(name)): each for name, each in value.items()})
    if isinstance(value, Iterable):
        return tuple(dict.fromkeys(name for each in value for name in _names_of_element(each)))
    raise RowError(Reason.VALUE, f"a list of answers was wanted; got {type(value).__name__}")


def _names_of_element(value: Any) -> tuple[str, ...]:
    """The names in an element of a list, whose texts are answers as they are: ``(255, 0, 0)`` is a colour."""
    if isinstance(value, str):
        return () if is_empty(value) else (value.strip(),)
    return names_of(value)


def _names_of_record(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Names in a record: of TriviaQA, of SQuAD, DROP and NarrativeQA, of KILT and ComplexWebQuestions."""
    if {"value", "aliases"} & record.keys() and "answer" not in record:
        if "value" not in record:
            raise RowError(Reason.VALUE, "column 'value' is missing")
        names = (*names_of(record["value"]), *names_of(record.get("aliases")))
        if names == ("<unk>",):
            problem = "it has no answers, as in TriviaQA's test split: use the validation split"
            raise RowError(Reason.ANSWER, problem)
        return tuple(dict.fromkeys(names))
    for name in ("text", "spans", "answer"):
        if name in record:
            names = (*names_of(record[name]), *names_of(record.get("aliases")), *names_of(record.get("answer_aliases")))
            return tuple(dict.fromkeys(names))
    if "provenance" in record:  # KILT lists sources without an answer too
        return ()
    raise RowError(Reason.VALUE, f"a list of answers was wanted; got a record with {', '.join(record)}")


def ideas_of(value: Any) -> Answers:
    """Accepted ideas as in our own layout: an idea each in a list, which may be a list of names; a cell is divided."""
    value = literal(value)
    if isinstance(value, str):
        return divided(value)
    if isinstance(value, Mapping):
        return one_idea(value)
    if not isinstance(value, list | tuple):
        return one_idea(value)
    if all(isinstance(each, Mapping) and "answer" not in map(str.casefold, each) for each in value) and value:
        return one_idea(value)  # SQuAD: what several people marked as the answer
    ideas = tuple(names for names in map(_names_of_element, value) if names)
    if value and not ideas:
        raise RowError(Reason.ANSWER, "its answers are empty; [] says that there are none, as for an open question")
    return Answers(ideas)


def one_idea(value: Any) -> Answers:
    """The names of one accepted idea."""
    names = names_of(value)
    return Answers((names,) if names else ())


def divided(text: str) -> Answers:
    """The answers in a cell.

    They are divided at ``|``, at ``;`` and at the ends of lines, if no part is a sentence or has half a pair of
    brackets. With both ``;`` and ``|``, ``|`` divides the names of an idea. A comma divides nothing, since it may be
    part of an answer; of that there is a note.
    """
    text = text.strip()
    separator = next((each for each in ("\n", ";", "|") if each in text), None)
    if separator is not None:
        parts = [part.strip() for part in text.split(separator)]
        ideas = [tuple(filter(None, (name.strip() for name in part.split("|")))) for part in parts]
        ideas = [names for names in map(names_of, ideas) if names]
        if all(_is_answer(name) for names in ideas for name in names) and not any(map(_ENTITY_END.search, parts[:-1])):
            return Answers(tuple(ideas), Note.SPLIT if len(ideas) > 1 else None)
        if separator == "\n":
            raise RowError(Reason.ANSWER, "its answer is a text of several lines, such as a working-out")
    names = names_of(text)
    note = Note.COMMA if separator is not None or _MAYBE_SEVERAL.search(text) else None
    return Answers((names,) if names else (), note)


def _is_answer(part: str) -> bool:
    balanced = all(part.count(opening) == part.count(closing) for opening, closing in ("()", "[]", "{}"))
    return balanced and len(part.split()) <= _MAX_WORDS


def literal(value: Any) -> Any:
    """The list or record that a cell holds as JSON, or as Python or numpy print it; any other value is unchanged."""
    if not isinstance(value, str) or (text := value.strip())[:1] not in ("[", "{", "("):
        return value
    with_commas = _MISSING_COMMA.sub(r"\1,", _ARRAY.sub(r"\1", text))
    as_list = f"[{text[1:-1]}]" if text.startswith("{'") or text.startswith('{"') else ""  # a set
    for read, source in ((json.loads, text), (ast.literal_eval, with_commas), (ast.literal_eval, as_list)):
        try:
            found = read(source)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list | Mapping):
            return found
        if isinstance(found, tuple) and all(isinstance(each, str) for each in found):
            return list(found)
    if text[:2] in ("['", '["', "{'", '{"', "[[", "{}"):
        raise RowError(Reason.VALUE, f"a list or record was wanted; got {text[:60]!r}")
    return value


def unquoted(text: str) -> str:
    """``text`` without the quotes that a CSV writer left around it: ``"Who said ""No""?"``."""
    inner = text.strip()[1:-1]
    is_wrapped = len(text.strip()) > 2 and text.strip()[0] == text.strip()[-1] == '"'
    return inner.replace('""', '"') if is_wrapped and '"' not in inner.replace('""', "") else text
