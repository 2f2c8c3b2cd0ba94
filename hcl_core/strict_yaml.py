"""YAML files that people write: plain values alone, checked as a whole, with a line for every mistake."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from hcl_core.errors import HclError
from hcl_core.text import printable

_MOST_MISTAKES = 30


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


def read_content(path: Path, what: str, most_bytes: int, error: type[HclError]) -> bytes:
    """The bytes of a file, no more than ``most_bytes`` and one.

    Args:
        path: The file.
        what: What it is called in the message.
        most_bytes: More are not read.
        error: Raised, with one line, where the file cannot be read.
    """
    try:
        # Checked before opening: opening a pipe waits for its other end.
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise OSError("it is no regular file")
        with path.open("rb") as file:
            return file.read(most_bytes + 1)
    except (OSError, ValueError) as refused:
        reason = refused.strerror or str(refused) if isinstance(refused, OSError) else "this is no path"
        raise error(f"cannot read the {what} {printable(str(path))}: {reason}") from None


def parse_mapping(content: bytes, most_bytes: int, first_key: str, error: type[HclError]) -> dict[Any, Any]:
    """The mapping at the top of a YAML text.

    Args:
        content: The text.
        most_bytes: A longer one is refused.
        first_key: A key that such a text has, as an example.
        error: Raised, with a line for people, for anything else.
    """
    if len(content) > most_bytes:
        raise error(f"- it has more than {most_bytes:,} bytes")
    try:
        values = yaml.load(content.decode("utf-8-sig"), Loader=_Loader)
    except UnicodeDecodeError:
        raise error("- it is no UTF-8 text") from None
    except yaml.MarkedYAMLError as marked:
        mark = marked.problem_mark or marked.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise error(f"- {place}{printable(str(marked.problem or marked.context))}") from None
    except (yaml.YAMLError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as unreadable:
        raise error(f"- it is no YAML that can be read: {printable(str(unreadable))[:200]}") from None
    if not isinstance(values, dict):
        raise error(f"- it must be a mapping of keys and values at the top, such as '{first_key}: ...'")
    return values


def as_lines(mistakes: Sequence[str]) -> str:
    """A line for each mistake; of many, the first ones."""
    shown = [f"- {printable(mistake)[:400]}" for mistake in mistakes[:_MOST_MISTAKES]]
    if more := len(mistakes) - len(shown):
        shown.append(f"- and {more} more")
    return "\n".join(shown)


def mistakes_in(error: ValidationError | RecursionError, own_type: str, whole: str) -> list[str]:
    """The mistakes that pydantic found, each with its place.

    Args:
        error: What it raised.
        own_type: Type of the errors whose message says what came.
        whole: What the whole is called.
    """
    if isinstance(error, RecursionError):
        return ["it is nested too deeply"]
    found = []
    for each in error.errors(include_url=False, include_context=False):
        got = "" if each["type"] in ("missing", own_type) else f"; got {str(each['input'])[:80]!r}"
        message = "unknown key" if each["type"] == "extra_forbidden" else each["msg"]
        found.append(f"{place_in(each['loc'], whole)}: {message}{got if message != 'unknown key' else ''}")
    return found


def place_in(location: tuple[int | str, ...], whole: str) -> str:
    """``steps 2, predict 1, kind``: counted from 1, as people do; ``whole`` for no place in particular."""
    parts: list[str] = []
    for part in location:
        if isinstance(part, int) and parts:
            parts[-1] += f" {part + 1}"
        else:
            parts.append(str(part)[:60])
    return ", ".join(parts) or whole
