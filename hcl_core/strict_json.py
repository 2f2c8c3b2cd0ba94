"""JSON from disk or from other people, read as checked records: exact types, and no unknown keys; and JSON written."""

import functools
import hashlib
import json
import math
import reprlib
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

Record = TypeVar("Record")
# Building an adapter takes longer than reading a thousand records.
_adapter: Callable[[Any], TypeAdapter[Any]] = functools.cache(TypeAdapter)


def finite(value: float) -> float | None:
    """``value`` for JSON, which has no NaN."""
    return value if math.isfinite(value) else None


def read_record(kind: type[Record], text: str | bytes) -> Record:
    """The record that ``text`` holds. What the record's own ``__post_init__`` raises is raised unchanged.

    Args:
        kind: A dataclass; its fields may be dataclasses too.
        text: A JSON object.

    Raises:
        ValueError: The text is not JSON, or a key is missing, unknown or of another type; the message is one line.
    """
    try:
        record: Record = _adapter(kind).validate_json(text, strict=True, extra="forbid")
        return record
    except ValidationError as error:
        raise ValueError(_describe(error.errors(include_url=False)[0], kind)) from None


def record_text(record: Any) -> str:
    """A dataclass's record as JSON, for ``read_record``: a field a line."""
    return json.dumps(asdict(record), ensure_ascii=False, indent=1) + "\n"


def short_hash(value: Any) -> str:
    """16 hexadecimal digits, equal on any machine for equal values that JSON can hold."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()


def _describe(problem: ErrorDetails, kind: Any) -> str:
    path = ".".join(map(str, problem["loc"]))
    match problem["type"]:
        case "json_invalid":
            return f"not JSON: {problem['msg'].removeprefix('Invalid JSON: ')}"
        case "missing":
            return f"{path} missing"
        case "unexpected_keyword_argument":
            known = f"; known are {', '.join(field.name for field in fields(kind))}"
            return f"unknown key {path!r}{known if len(problem['loc']) == 1 else ''}"
    return f"{path}: {problem['msg']}; got {reprlib.repr(problem['input'])}".removeprefix(": ")
