"""A program that starts without noise. Imports nothing else of the program: it is there before the slow imports."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Of a program that Ctrl-C ended, as shells have it.
STOPPED = 130


@contextmanager
def quiet_start() -> Iterator[None]:
    """Ctrl-C ends the program at once, without a traceback, while the block runs: there is nothing to clean up yet.

    A ``KeyboardInterrupt`` would be raised in the middle of an import, and print dozens of lines of other libraries.
    """
    before = signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def no_bars_in_a_pipe() -> None:
    """Keep libraries that are imported later from drawing progress bars on a stderr that is no terminal."""
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # transformers heeds it too
        os.environ.setdefault("TQDM_DISABLE", "1")


def _leave(_signal: int, _frame: FrameType | None) -> None:
    os.write(2, b"\nerror: stopped\n")
    os._exit(STOPPED)
