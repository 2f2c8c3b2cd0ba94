"""Measurements one after another, each group in a process of its own: what fails, hangs or crashes costs itself alone.

A GPU's context is lost with the first bad access, and memory that has run out may stay taken. So a process ends with
the first of its measurements that fails, and a new one does the rest.
"""

import faulthandler
import json
import multiprocessing
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from rich.console import Console

from hcl_core.atomic import atomic_file

Measurements = dict[str, Callable[[], Any]]
_MOST_TRACEBACK = 4000  # characters
_SECONDS_TO_END = 20


class InTurn:
    """Results so far, and the JSON that is written after each of them.

    Attributes:
        results: What the JSON holds.
        missing: A line for each measurement that failed or was skipped.

    Args:
        out: The JSON.
        minutes: For all measurements; those that have no time left are skipped.
        most_minutes: For one of them.
    """

    def __init__(self, out: Path, console: Console, minutes: float | None, most_minutes: float) -> None:
        self.results: dict[str, Any] = {}
        self.missing: list[str] = []
        self._out, self._console, self._minutes, self._most_seconds = out, console, minutes, 60 * most_minutes
        self._started = time.monotonic()
        self.write()

    def write(self) -> None:
        """Write the JSON; a reader finds the last one or this one, whole."""
        with atomic_file(self._out) as temporary:
            temporary.write_text(json.dumps(self.results, indent=1), encoding="utf-8")

    def seconds_left(self) -> float:
        """For the next measurement."""
        if self._minutes is None:
            return self._most_seconds
        return min(self._most_seconds, 60 * self._minutes - (time.monotonic() - self._started))

    def add(self, into: dict[str, Any], group: str, name: str, result: dict[str, Any]) -> None:
        """Note a result, and print it."""
        into[name] = result
        problem = next((f"{word}: {result[word]}" for word in ("error", "skipped") if word in result), None)
        if problem is not None:
            self.missing.append(f"{group}, {name}: {problem}")
        self.say(f"{group}, {name}: {problem or 'took {:.1f} s'.format(result['took'])}")
        self.write()

    def say(self, text: str) -> None:
        """Print a line with the time, and the minutes since the start."""
        minutes = (time.monotonic() - self._started) / 60
        self._console.print(f"{datetime.now():%H:%M:%S} {minutes:5.1f} min  {text}", highlight=False, markup=False)

    def measure(
        self,
        into: dict[str, Any],
        group: str,
        names: Sequence[str],
        set_up: Callable[..., Measurements],
        *arguments: Any,
    ) -> None:
        """Measure, and put each result into ``into``: a dictionary, which has ``error`` or ``skipped`` where it failed.

        Args:
            into: Part of ``results``.
            group: What they have in common, for people.
            names: Of the measurements, in order.
            set_up: Makes, in each of the processes, what all of them need, and gives them by their names.
            arguments: Of ``set_up``; they are sent to another process.
        """
        left = list(names)
        while left:
            if self.seconds_left() <= 0:
                skipped = {"skipped": f"no time left of {self._minutes:g} minutes"}
                return self._add_all(into, group, left, skipped)
            self.say(f"{group}: {', '.join(left)}")
            with _process(set_up, arguments, left) as (process, receiver):
                made = _received(process, receiver, self.seconds_left())
                if "error" in made:
                    return self._add_all(into, group, left, made)
                while left and self.seconds_left() > 0:
                    result = _received(process, receiver, self.seconds_left())
                    self.add(into, group, left.pop(0), result)
                    if "error" in result:
                        break

    def _add_all(self, into: dict[str, Any], group: str, names: Sequence[str], result: dict[str, Any]) -> None:
        for name in names:
            self.add(into, group, name, result)


@contextmanager
def _process(
    set_up: Callable[..., Measurements], arguments: Sequence[Any], names: Sequence[str]
) -> Iterator[tuple[BaseProcess, Connection]]:
    """A process that does the measurements ``names``, and what it sends: a word of its set-up, then the results."""
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, set_up, arguments, list(names)), daemon=True)
    process.start()
    sender.close()
    try:
        yield process, receiver
    finally:
        process.kill()
        process.join(_SECONDS_TO_END)
        receiver.close()


def _received(process: BaseProcess, receiver: Connection, limit: float) -> dict[str, Any]:
    """The next result, or an error where none comes within ``limit`` seconds or ever."""
    if not receiver.poll(max(limit, 0)):
        return {"error": f"stopped after {limit:.0f} s"}
    try:
        result: dict[str, Any] = receiver.recv()
        return result
    except EOFError:
        process.join(_SECONDS_TO_END)
        return {"error": f"its process ended with exit code {process.exitcode}"}


def _work(
    sender: Connection, set_up: Callable[..., Measurements], arguments: Sequence[Any], names: Sequence[str]
) -> None:
    """What a process does: the measurements up to the first that fails."""
    faulthandler.enable()
    try:
        measurements = set_up(*arguments)
        sender.send({})
        for name in names:
            started = time.perf_counter()
            sender.send(measurements[name]() | {"took": time.perf_counter() - started})
    except Exception as error:
        trace = "".join(traceback.format_exception(error))[-_MOST_TRACEBACK:]
        sender.send({"error": f"{type(error).__name__}: {error}"[:500], "traceback": trace})
