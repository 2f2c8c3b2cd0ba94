"""Limits on the memory that the C library keeps after it was freed.

glibc gives threads allocation arenas of their own, by default up to eight a core. Freed blocks stay in the arena that
they came from, so a process whose runs are computed by many threads keeps the peak of each of them. On other C
libraries (musl, macOS, Windows) these functions do nothing.
"""

import ctypes
import platform

# mallopt(3): the parameter M_ARENA_MAX.
_ARENA_MAX = -8
# Two: while one thread computes, the page's other threads need not wait for its arena.
_NUM_ARENAS = 2


def limit_arenas() -> None:
    """Let the process have two arenas at most; called at its start, before threads have made more."""
    if (libc := _glibc()) is not None:
        libc.mallopt(_ARENA_MAX, _NUM_ARENAS)


def release_freed_memory() -> None:
    """Give freed memory of all arenas back to the operating system, see ``malloc_trim(3)``."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """The process's C library if it is glibc."""
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
