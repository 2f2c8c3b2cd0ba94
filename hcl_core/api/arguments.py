"""Arguments as people write them in Python: what has one meaning is taken, anything else is one clear error."""

import operator
import os
from collections.abc import Iterable
from numbers import Number, Real
from pathlib import Path
from typing import Any

from hcl_core.errors import SettingsError
from hcl_core.questions.own import make_question, read_idea
from hcl_core.records import Question
from hcl_core.settings.layers import LayerChoice, LayerList, parse_layer_choice


def as_text(name: str, value: Any) -> str:
    """A text.

    Raises:
        SettingsError: It is anything else.
    """
    if not isinstance(value, str):
        raise _wrong(name, "a text", value)
    return value


def as_name(name: str, value: Any) -> str:
    """A name or a path, as text.

    Raises:
        SettingsError: It is neither.
    """
    if not isinstance(value, str | os.PathLike):
        raise _wrong(name, "a text or a path", value)
    return value if isinstance(value, str) else str(as_path(name, value))


def as_path(name: str, value: Any) -> Path:
    """The path of a file or folder, with the user's folder for ``~``.

    Raises:
        SettingsError: It is no path.
    """
    if not isinstance(value, str | os.PathLike) or not isinstance(path := os.fspath(value), str):
        raise _wrong(name, "a path, as text or pathlib.Path", value)
    return Path(path).expanduser()


def as_whole(name: str, value: Any, least: int | None = None) -> int:
    """A whole number, of Python or numpy.

    Raises:
        SettingsError: It is no whole number, or below ``least``.
    """
    try:
        number = None if _is_truth(value) else operator.index(value)
    except TypeError:
        number = None
    if number is None or (least is not None and number < least):
        raise _wrong(name, "a whole number" if least is None else f"a whole number from {least}", value)
    return number


def as_number(name: str, value: Any) -> float:
    """A number, of Python or numpy.

    Raises:
        SettingsError: It is none.
    """
    if not isinstance(value, Real) or _is_truth(value):
        raise _wrong(name, "a number", value)
    # numpy's short floats are what they print: 0.6 is then the run of Python's 0.6.
    return float(str(value)) if type(value).__module__ == "numpy" else float(value)


def as_flag(name: str, value: Any) -> bool:
    """A truth value, of Python or numpy.

    Raises:
        SettingsError: It is none.
    """
    if not _is_truth(value):
        raise _wrong(name, "True or False", value)
    return bool(value)


def as_layers(name: str, value: Any) -> LayerChoice:
    """Exit layers: text as the terminal takes it, a number, or numbers in a list, a range or an array.

    Raises:
        SettingsError: It is none of these, or there is no layer in it.
    """
    if isinstance(value, str):
        return parse_layer_choice(value)
    try:
        numbers = {as_whole(name, each) for each in (value if isinstance(value, Iterable) else [value])}
    except SettingsError:
        raise _wrong(name, "'all', '2:30:2', a layer's number, or a list or range of them", value) from None
    return LayerList(tuple(sorted(numbers)))


def as_questions(accept: Any, question: Any, questions: Any) -> list[Question]:
    """The questions that are given themselves: one with its accepted ideas, or several texts or records.

    Args:
        accept: Accepted ideas of the one question.
        question: A text, a record, or several of them.
        questions: Several of them; ``None`` where ``question`` is given.

    Raises:
        SettingsError: Something is no question, or there is none; or ``accept`` comes with several.
    """
    given = question if questions is None else questions
    ideas = as_ideas(accept)
    if isinstance(given, str):
        return [make_question(given, ideas)]
    several = [given] if isinstance(given, Question) else _listed("questions", given)
    if ideas:
        raise SettingsError("accept goes with one question, as text; a Question has its own accepted answers")
    if not several:
        raise SettingsError("questions must have one question at least; got none")
    for each in several:
        if not isinstance(each, str | Question):
            raise _wrong("a question", "a text or an hcl_core.records.Question", each)
    return [make_question(each, ()) if isinstance(each, str) else each for each in several]


def as_ideas(accept: Any) -> list[str | tuple[str, ...]]:
    """Accepted ideas: a text or number, or several, of which one with several names is a list or tuple of them.

    Raises:
        SettingsError: It is anything else.
    """
    items = [accept] if _is_name(accept) else _listed("accept", accept)
    return [read_idea(str(each)) if _is_name(each) else _names(each) for each in items]


def as_device(value: Any) -> str:
    """Devices as ``--device`` takes them: text, a ``torch.device``, or a list of them.

    Raises:
        SettingsError: It is anything else.
    """
    several = [value] if isinstance(value, str) or _is_of_torch(value) else _listed("device", value)
    return ",".join(as_torch_name("device", each) for each in several)


def as_torch_name(name: str, value: Any) -> str:
    """The name of a number format or device: text, or torch's own.

    Raises:
        SettingsError: It is neither.
    """
    return str(value).removeprefix("torch.") if _is_of_torch(value) else as_text(name, value)


def _names(value: Any) -> tuple[str, ...]:
    names = _listed("accept", value)
    if wrong := [each for each in names if not _is_name(each)]:
        raise _wrong("an accepted answer", "a text, a number, or a tuple of them", wrong[0])
    return tuple(map(str, names))


def _listed(name: str, value: Any) -> list[Any]:
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | dict):
        return list(value)
    raise _wrong(name, "a text or a list of them", value)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, Number) and not _is_truth(value))


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool) or type(value).__name__ == "bool" and type(value).__module__ == "numpy"


def _is_of_torch(value: Any) -> bool:
    return type(value).__module__ == "torch"


def _wrong(name: str, wanted: str, value: Any) -> SettingsError:
    return SettingsError(f"{name} must be {wanted}; got {type(value).__name__} {ascii(value)[:80]}")
