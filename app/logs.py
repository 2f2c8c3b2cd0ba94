"""The page's log: an entry has a limited length, and a kind of entry a limited rate, whatever clients send."""

import json
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from app.watching.counts import CountErrors
from hcl_core.text import printable

logger = logging.getLogger(__name__)

# Characters of one entry, its traceback included: beginning and end are kept, which say what and where.
_MAX_LETTERS = 4_000
# Entries of one kind in one period; the next period's first entry says how many were left out.
_MAX_ENTRIES = 5
# The same of a log that programs read, to which each run adds an entry.
_MAX_JSON_ENTRIES = 100
_PERIOD_SECONDS = 60.0
# Whose messages are ours.
_OWN = ("app", "hcl_core")


class LimitedRate(logging.Filter):
    """Lets ``most`` of a kind pass in each period, and says in ``record.num_left_out`` how many did not before.

    Two records are of one kind if one line of code logged them for the same type of error, raised at the same line.

    Args:
        clock: Seconds.
        most: Records of one kind in one period.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, most: int = _MAX_ENTRIES) -> None:
        super().__init__()
        self._clock, self._most = clock, most
        self._lock = threading.Lock()
        # By kind: start of the period, and records in it.
        self._counts: dict[tuple[object, ...], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged."""
        kind, now = _kind(record), self._clock()
        with self._lock:
            started, count = self._counts.get(kind, (now, 0))
            record.num_left_out = 0
            if now - started >= _PERIOD_SECONDS:
                record.num_left_out = max(0, count - self._most)
                started, count = now, 0
            self._counts[kind] = started, count + 1
        return count < self._most


class LimitedLength(logging.Formatter):
    """Cuts the middle out of a long entry, and makes control characters visible."""

    def format(self, record: logging.LogRecord) -> str:
        """One entry, with its traceback where there is one."""
        text = super().format(record)
        if (num_cut := len(text) - _MAX_LETTERS) > 0:
            half = _MAX_LETTERS // 2
            text = f"{text[:half]} … {num_cut:,} characters … {text[-half:]}"
        if num_left_out := getattr(record, "num_left_out", 0):
            text += f"\n({num_left_out:,} more like this were not logged)"
        return "\n".join(map(printable, text.split("\n")))


class JsonLines(logging.Formatter):
    """An entry as one line of JSON, without anything that a visitor, a model or a file may have brought.

    So the values of a message stay out, the messages of other libraries and of errors wholly. Of an error its type is
    there, and the lines of code that it passed.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One entry."""
        is_own = record.name.partition(".")[0] in _OWN
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "line": f"{record.module}:{record.lineno}",
            **({"message": str(record.msg)} if is_own else {}),
            **(getattr(record, "numbers", {}) if is_own else {}),
        }
        if record.exc_info and record.exc_info[0]:
            steps = traceback.extract_tb(record.exc_info[2])
            entry["error"] = record.exc_info[0].__name__
            entry["trace"] = [f"{Path(step.filename).name}:{step.lineno} {step.name}" for step in steps]
        if num_left_out := getattr(record, "num_left_out", 0):
            entry["left_out"] = num_left_out
        return json.dumps(entry)


def limit_log() -> None:
    """Send everything that is logged, and the tracebacks that Gradio prints, to stderr within the limits."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(LimitedRate())
    handler.setFormatter(LimitedLength("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler, CountErrors()])
    # Gradio prints every event's error with it, around the log.
    traceback.print_exc = _log_exception


def log_as(form: Literal["text", "json"]) -> None:
    """Choose what the log of ``limit_log`` looks like; as JSON it says of each run, too, how it has ended."""
    if form == "text":
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(LimitedRate(most=_MAX_JSON_ENTRIES))
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler, CountErrors()], force=True)
    logging.getLogger("app").setLevel(logging.INFO)
    logging.captureWarnings(True)
    # Python would print these itself, with their texts.
    sys.unraisablehook = lambda ignored: _log_unraised(ignored.exc_type, ignored.exc_value, ignored.exc_traceback)
    threading.excepthook = lambda ended: _log_unraised(ended.exc_type, ended.exc_value, ended.exc_traceback)


def limit_server_log() -> None:
    """Send the running server's log there, too: uvicorn gives its loggers a handler of their own when it starts."""
    server = logging.getLogger("uvicorn")
    server.handlers.clear()
    server.propagate = True


def _log_unraised(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    logger.warning("an error ended a thread or a clean-up", exc_info=(kind, error or kind(), trace))


def _log_exception(*_: object, **__: object) -> None:
    logger.error("an event failed", exc_info=True, stacklevel=2)


def _kind(record: logging.LogRecord) -> tuple[object, ...]:
    error, trace = (record.exc_info[0], record.exc_info[2]) if record.exc_info else (None, None)
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    raised_at = (trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace else None
    return record.name, record.pathname, record.lineno, error, raised_at
