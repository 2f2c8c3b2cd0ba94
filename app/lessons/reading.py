"""Reads a lesson file: every mistake in it is named at once, with its place."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from app.lessons.records import Lesson, Prediction
from app.lessons.sources import view_of
from app.lessons.truth import mistake_in
from hcl_core.errors import HclError
from hcl_core.text import printable

# Of a lesson file: the largest one that the format allows in full is far smaller in any class's use.
MOST_BYTES = 200_000
_MOST_MISTAKES = 30
_ADVICE = "docs/class.md describes the format"


class LessonError(HclError):
    """A lesson file cannot be read or has mistakes; a line each."""


class _Loader(yaml.SafeLoader):
    """Plain values alone; without aliases, which can grow without bound, and without keys that stand there twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.constructor.ConstructorError(None, None, "aliases (*name) are not allowed", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen if isinstance(key.value, str) else False:
                problem = f"the key {key.value[:40]!r} stands there twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def read_lesson(path: Path) -> Lesson:
    """The lesson in a file; raises ``LessonError`` with a line for every mistake."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "this is no path"
        raise LessonError(f"cannot read the lesson {printable(str(path))}: {reason}") from None
    try:
        return parse_lesson(content)
    except LessonError as error:
        raise LessonError(f"the lesson {printable(str(path))} has mistakes ({_ADVICE}):\n{error}") from None


def parse_lesson(content: bytes) -> Lesson:
    """The lesson in YAML; raises ``LessonError`` with a line for every mistake."""
    if len(content) > MOST_BYTES:
        raise LessonError(f"- it has more than {MOST_BYTES:,} bytes")
    try:
        values = yaml.load(content.decode("utf-8-sig"), Loader=_Loader)
    except UnicodeDecodeError:
        raise LessonError("- it is no UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise LessonError(f"- {place}{printable(str(error.problem or error.context))}") from None
    except (yaml.YAMLError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise LessonError(f"- it is no YAML that can be read: {printable(str(error))[:200]}") from None
    if not isinstance(values, dict):
        raise LessonError("- it must be a mapping of keys and values at the top, such as 'title: ...'")
    try:
        lesson = Lesson.model_validate(values)
    except (ValidationError, RecursionError) as error:
        raise LessonError(_lines(_mistakes(error, values))) from None
    if mistakes := _mistakes_of_predictions(values):
        raise LessonError(_lines(mistakes))
    return lesson


def _lines(mistakes: list[str]) -> str:
    shown = [f"- {printable(mistake)[:400]}" for mistake in mistakes[:_MOST_MISTAKES]]
    if more := len(mistakes) - len(shown):
        shown.append(f"- and {more} more")
    return "\n".join(shown)


def _mistakes(error: ValidationError | RecursionError, values: dict[Any, Any]) -> list[str]:
    """Mistakes of the format, then those of predictions whose steps can be read all the same."""
    if isinstance(error, RecursionError):
        return ["it is nested too deeply"]
    found = []
    for each in error.errors(include_url=False, include_context=False):
        got = "" if each["type"] in ("missing", "lesson") else f"; got {str(each['input'])[:80]!r}"
        message = "unknown key" if each["type"] == "extra_forbidden" else each["msg"]
        found.append(f"{_place(each['loc'])}: {message}{got if message != 'unknown key' else ''}")
    return [*found, *_mistakes_of_predictions(values)]


def _mistakes_of_predictions(values: dict[Any, Any]) -> list[str]:
    """What predictions ask of stored questions that these cannot tell, in every part of the file that can be read."""
    found = []
    steps = values.get("steps")
    for at, step in enumerate(steps if isinstance(steps, list) else []):
        predictions = step.get("predict") if isinstance(step, dict) else None
        for number, each in enumerate(predictions if isinstance(predictions, list) else []):
            try:
                prediction = Prediction.model_validate(each)
                view = view_of(str(step["run"]), str(step["question"]))
                mistake = None if view.is_open else mistake_in(prediction, view)
            except (ValidationError, HclError, KeyError, OSError, ValueError, RecursionError):
                continue  # said elsewhere, or asked live
            if mistake:
                found.append(f"{_place(('steps', at, 'predict', number))}: {mistake}")
    return found


def _place(location: tuple[int | str, ...]) -> str:
    """``steps 2, predict 1, kind``: counted from 1, as people do."""
    parts: list[str] = []
    for part in location:
        if isinstance(part, int) and parts:
            parts[-1] += f" {part + 1}"
        else:
            parts.append(str(part)[:60])
    return ", ".join(parts) or "lesson"
