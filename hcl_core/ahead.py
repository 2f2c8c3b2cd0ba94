"""Iterators that work in threads of their own, ahead of whoever takes from them."""

import contextvars
import queue
import threading
from collections.abc import Generator
from contextlib import closing, suppress
from typing import TypeVar

T = TypeVar("T")
# Items that may wait to be taken: so far the threads work ahead.
_MOST_WAITING = 64


class _End:
    """The last thing of a generator in the queue, with the error that ended it, if one did."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def ahead(*sources: Generator[T, None, None]) -> Generator[T, None, None]:
    """The items of some generators as they come, each of which runs in a thread of its own; raises what one raises.

    Closing, and an error, stop the threads: each generator is closed after the item that it is making.
    """
    made: queue.Queue[T | _End] = queue.Queue(_MOST_WAITING)
    stopped = threading.Event()

    def work(items: Generator[T, None, None]) -> None:
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
    threads = [
        threading.Thread(target=contextvars.copy_context().run, args=(work, items), name="decoding", daemon=True)
        for items in sources
    ]
    num_left = len(threads)
    try:
        for thread in threads:
            thread.start()
        while num_left:
            if not isinstance(item := made.get(), _End):
                yield item
            elif item.error is not None:
                raise item.error
            else:
                num_left -= 1
    finally:
        stopped.set()
        for thread in threads:
            if thread.ident is not None:  # the system can have no thread left
                thread.join()


def _put(made: "queue.Queue[T | _End]", item: T | _End, stopped: threading.Event) -> bool:
    """Whether ``item`` was put; a full queue is tried again until someone takes or stops."""
    while not stopped.is_set():
        with suppress(queue.Full):
            made.put(item, timeout=0.1)
            return True
    return False
