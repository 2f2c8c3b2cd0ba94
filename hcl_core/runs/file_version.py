"""What tells that a file has changed, without reading it: for the keys of caches."""

from pathlib import Path


def file_version(path: Path) -> tuple[str, int, int]:
    """The path of a file, its time of change in nanoseconds, and its bytes; both numbers are 0 for a missing file."""
    try:
        state = path.stat()
    except OSError:  # reading it says why
        return str(path), 0, 0
    return str(path), state.st_mtime_ns, state.st_size
