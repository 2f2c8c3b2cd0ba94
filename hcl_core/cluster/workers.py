"""The workers of a cluster: one for each place on its nodes, and the calls that they answer.

Ray places the workers, and says which of them are lost. What a lost worker was asked goes to another one: with Ray's
own restarts a call would wait for its worker's place, also where a node is gone for good and other workers are idle.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hcl_core.cluster.node import computing_versions
from hcl_core.errors import HclError, SettingsError
from hcl_core.tasks import Failed

# Workers that one call may lose: more often, it is the call that ends them.
_MOST_LOST = 3
# Seconds after which somebody who waits hears that nothing has come yet.
_HEARTBEAT = 0.5
# Seconds between two looks at the nodes, and until it is said that no worker runs.
_BETWEEN_LOOKS, _PATIENCE = 1.0, 30.0
# Calls of one caller that may be finished while an earlier one is not, for each worker: their answers wait in memory.
_AHEAD = 8

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Call:
    """A question to any worker.

    Attributes:
        method: Of ``Worker``.
        arguments: Its arguments.
        result: What it returned, once ``is_done``.
        error: Why nobody could answer it.
        tried: Workers that were lost or failed while they answered it.
        is_done: Whether there is a result or an error.
    """

    method: str
    arguments: tuple[Any, ...]
    result: Any = None
    error: HclError | None = None
    tried: list[Any] = field(default_factory=list)
    is_done: bool = False

    def finish(self, result: Any = None, error: HclError | None = None) -> None:
        """Note what came of it."""
        self.result, self.error, self.is_done = result, error, True

    def answer(self) -> Any:
        """The result; raises the error that came instead."""
        if self.error is not None:
            raise self.error
        if isinstance(self.result, Failed):
            raise self.result.error()
        return self.result


class Workers:
    """A worker for each place; nodes may come and go. Several threads may call.

    Args:
        ray: The module.
        make: Starts a worker, wherever there is a place.
        num_places: How many there are now, but for those of nodes that are refused, whose ids it is given.
    """

    def __init__(self, ray: Any, make: Callable[[], Any], num_places: Callable[[Container[str]], int]) -> None:
        self._ray, self._make, self._num_places = ray, make, num_places
        self._lock = threading.Lock()
        self._idle: list[Any] = []
        # What is under way: the worker, and what it was asked; ``None``: only whether it runs.
        self._busy: dict[Any, tuple[Any, Call | None]] = {}
        self._waiting: deque[Call] = deque()
        # Why a node is refused, by its id; and the workers there, which stay: so Ray places no others in their places.
        self._refused: dict[str, str] = {}
        self._unused: list[Any] = []
        self._looked_at, self._lonely_since, self._is_told = 0.0, time.monotonic(), False
        self._num_failed_starts = 0

    @property
    def num_workers(self) -> int:
        """Workers that run or start."""
        return len(self._idle) + len(self._busy)

    @property
    def _num_running(self) -> int:
        return len(self._idle) + sum(call is not None for _, call in list(self._busy.values()))

    def wait_for(self, number: int) -> None:
        """Return once so many workers are free."""
        while len(self._idle) < number:
            self._step()

    def ask(self, call: Call) -> Any:
        """The answer to one call, before those that wait; raises what went wrong."""
        self._waiting.appendleft(call)
        try:
            while not call.is_done:
                self._step()
        finally:
            self._forget([call])
        return call.answer()

    def map(self, calls: Iterable[Call]) -> Iterator[Call | None]:
        """The calls when they are done, in any order; ``None`` from time to time while none is.

        Args:
            calls: Taken one at a time, when a worker is free.
        """
        source = iter(calls)
        under_way: dict[Call, int] = {}  # with their numbers, in this order
        num_given = 0

        def give() -> None:
            nonlocal num_given
            while self._has_place(under_way, num_given) and (call := next(source, None)) is not None:
                under_way[call], num_given = num_given, num_given + 1
                self._waiting.append(call)
            with self._lock:
                self._give_out()

        try:
            give()
            while under_way:
                self._step()
                done = [call for call in under_way if call.is_done]
                for call in done:
                    del under_way[call]
                give()  # before anybody looks at the answers: no worker waits for that
                yield from done
                if not done:
                    yield None
        finally:
            self._forget(under_way)

    def _has_place(self, under_way: dict[Call, int], num_given: int) -> bool:
        """Whether a caller may give another call: there is a worker for it, and the first one is not far behind."""
        num_workers = max(1, self._num_running)
        first = next(iter(under_way.values()), num_given)
        return len(under_way) < num_workers and num_given - first < _AHEAD * num_workers

    def close(self) -> None:
        """End all workers."""
        with self._lock:
            for worker in [*self._idle, *self._unused, *(worker for worker, _ in self._busy.values())]:
                self._ray.kill(worker)
            self._idle, self._unused, self._busy = [], [], {}

    def _forget(self, calls: Iterable[Call]) -> None:
        """Take back calls that no worker has begun; what is under way is dropped when it comes."""
        with self._lock:
            for call in calls:
                if call in self._waiting:
                    self._waiting.remove(call)

    def _step(self) -> None:
        """Give out what waits, and take in what has come; returns soon."""
        if not self._lock.acquire(timeout=_HEARTBEAT):
            return  # another thread does so
        try:
            self._look_at_nodes()
            self._give_out()
            if not self._busy:
                time.sleep(_HEARTBEAT)
                return
            done, _ = self._ray.wait(list(self._busy), timeout=_HEARTBEAT)
            for reference in done:
                self._take(reference, *self._busy.pop(reference))
        finally:
            self._lock.release()

    def _give_out(self) -> None:
        for call in list(self._waiting):
            if (worker := self._worker_for(call)) is not None:
                self._idle.remove(worker)
                self._waiting.remove(call)
                self._busy[getattr(worker, call.method).remote(*call.arguments)] = worker, call

    def _worker_for(self, call: Call) -> Any:
        """An idle worker that has not failed at the call; any where all have, and ``None`` where none is idle."""

        def untried(workers: Iterable[Any]) -> list[Any]:
            return [worker for worker in workers if all(worker is not each for each in call.tried)]

        free = untried(self._idle)
        if not free and not untried(worker for worker, asked in self._busy.values() if asked is not None):
            free = self._idle
        return free[-1] if free else None

    def _take(self, reference: Any, worker: Any, call: Call | None) -> None:
        errors = self._ray.exceptions
        try:
            result = self._ray.get(reference)
        # Its process or its node is gone or cannot be reached, or the node with the result is.
        except (errors.RayActorError, errors.ObjectLostError, errors.OutOfMemoryError) as error:
            self._ray.kill(worker)
            if call is None:
                self._count_failed_start(error)
            else:
                self._looked_at = 0.0
                _log.warning("a worker was lost; another one takes its questions")
                self._give_to_another(call, worker, "were lost at the same questions")
            return
        except errors.RayError as error:  # what a worker raises is no mistake of a user's
            if call is None:
                self._ray.kill(worker)
                self._count_failed_start(error)
                return
            _log.warning("a worker failed (%s); another one takes its questions", _short(error))
            self._idle.append(worker)
            self._give_to_another(
                call,
                worker,
                f"failed at the same questions ({_short(error)}): check that all nodes have the same version of this "
                "program, and of all that it needs",
            )
            return
        self._num_failed_starts = 0
        if call is None:
            self._welcome(worker, *result)
        else:
            call.finish(result)
            self._idle.append(worker)

    def _welcome(self, worker: Any, node: str, versions: dict[str, str]) -> None:
        """Take in a worker that runs now, unless its node computes otherwise."""
        if versions == computing_versions():
            self._idle.append(worker)
            return
        self._unused.append(worker)
        if node not in self._refused:
            self._refused[node] = _differences(versions)
            _log.warning("a node of the cluster is not used: it has %s", self._refused[node])

    def _give_to_another(self, call: Call, worker: Any, what: str) -> None:
        call.tried.append(worker)
        if len(call.tried) < _MOST_LOST:
            self._waiting.appendleft(call)
        else:
            call.finish(error=HclError(f"{_MOST_LOST} workers of the cluster {what}"))

    def _count_failed_start(self, error: Exception) -> None:
        """Try again; after some failures later, or raise ``HclError`` where no other worker runs."""
        self._num_failed_starts += 1
        self._looked_at = 0.0
        if self._num_failed_starts < _MOST_LOST:
            return
        problem = (
            f"workers of the cluster do not start ({_short(error)}): install the same versions of Python, Ray and this "
            "program on all nodes"
        )
        if not self._num_running:
            raise HclError(problem)
        self._looked_at = time.monotonic() + _PATIENCE
        _log.warning("some %s", problem)

    def _look_at_nodes(self) -> None:
        """Start a worker for each place that has none."""
        now = time.monotonic()
        if now - self._looked_at < _BETWEEN_LOOKS:
            return
        self._looked_at = now
        num_places = self._num_places(self._refused)
        if self._refused and not num_places and not self.num_workers:
            raise SettingsError(
                f"a node of the cluster has {next(iter(self._refused.values()))}, and there is no other: install the "
                "same versions on all nodes"
            )
        # At least one: a cluster that grows on demand has no node before somebody wants a place.
        for _ in range(max(1, num_places) - self.num_workers):
            worker = self._make()
            self._busy[worker.versions.remote()] = worker, None
        if self._num_running:
            self._lonely_since, self._is_told = now, False
        elif now - self._lonely_since > _PATIENCE and not self._is_told:
            self._is_told = True
            _log.warning("no worker runs yet: the cluster has no free place for one; waiting")


def _short(error: Exception) -> str:
    """What a worker raised, without the lines that led there."""
    cause = getattr(error, "cause", None) or error
    lines = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {lines[-1][:200]}" if lines else type(cause).__name__


def _differences(versions: dict[str, str]) -> str:
    """Versions that differ from those here, as text."""
    own = computing_versions()
    return ", ".join(
        f"{name} {versions.get(name)} (here {own[name]})" for name in own if versions.get(name) != own[name]
    )
