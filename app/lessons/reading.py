"""Reads a lesson file: every mistake in it is named at once, with its place."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from app.lessons.records import Lesson, Prediction
from app.lessons.sources import view_of
from app.lessons.truth import mistake_in
from hcl_core.errors import HclError
from hcl_core.strict_yaml import as_lines, mistakes_in, parse_mapping, place_in, read_content
from hcl_core.text import printable

# Of a lesson file: the largest one that the format allows in full is far smaller in any class's use.
MOST_BYTES = 200_000
_ADVICE = "docs/class.md describes the format"


class LessonError(HclError):
    """A lesson file cannot be read or has mistakes; a line each."""


def read_lesson(path: Path) -> Lesson:
    """The lesson in a file; raises ``LessonError`` with a line for every mistake."""
    content = read_content(path, "lesson", MOST_BYTES, LessonError)
    try:
        return parse_lesson(content)
    except LessonError as error:
        raise LessonError(f"the lesson {printable(str(path))} has mistakes ({_ADVICE}):\n{error}") from None


def parse_lesson(content: bytes) -> Lesson:
    """The lesson in YAML; raises ``LessonError`` with a line for every mistake."""
    values = parse_mapping(content, MOST_BYTES, "title", LessonError)
    try:
        lesson = Lesson.model_validate(values)
    except (ValidationError, RecursionError) as error:
        raise LessonError(
            as_lines([*mistakes_in(error, "lesson", "lesson"), *_mistakes_of_predictions(values)])
        ) from None
    if mistakes := _mistakes_of_predictions(values):
        raise LessonError(as_lines(mistakes))
    return lesson


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
                found.append(f"{place_in(('steps', at, 'predict', number), 'lesson')}: {mistake}")
    return found
