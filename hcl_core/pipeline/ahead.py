"""An iterator that works in a thread of its own, ahead of whoever takes from it."""

import contextvars
import queue
import threading
from collections.abc import Generator
from contextlib import closing, suppress
from typing import TypeVar

T = TypeVar("T")
# Items that may wait to be taken: so far the thread works ahead.
_MOST_WAITING = 64


class _End:
    """The last thing in the queue, with the error that ended the iterator, if one did."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def ahead(items: Generator[T, None, None]) -> Generator[T, None, None]:
    """The items of a generator, which runs in a thread of its own; raises what it raises.

    Closing stops the thread: the generator is closed after the item that it is making.
    """
    made: queue.Queue[T | _End] = queue.Queue(_MOST_WAITING)
    stopped = threading.Event()

    def work() -> None:
        end = _End()
        try:
            with closing(items):
                for item in items:
                    if not _put(made, item, stopped):
                        return
        except BaseException as error:
            end = _End(error)
        _put(made, end, stopped)

    # Who asks is known by the context: a GPU may be lent to each visitor for a limited time.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), name="decoding", daemon=True)
    thread.start()
    try:
        while not isinstance(item := made.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        thread.join()


def _put(made: "queue.Queue[T | _End]", item: T | _End, stopped: threading.Event) -> bool:
    """Whether ``item`` was put; a full queue is tried again until someone takes or stops."""
    while not stopped.is_set():
        with suppress(queue.Full):
            made.put(item, timeout=0.1)
            return True
    return False
