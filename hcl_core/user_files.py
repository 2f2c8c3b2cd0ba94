"""Files that a user names: read whole, up to a limit, so that no name can fill the memory or block."""

import stat
from pathlib import Path

# Bytes of a prompt template; the longest contexts of today's models hold fewer.
MAX_TEMPLATE_BYTES = 1_000_000
# Bytes of a JSON file of settings, scores or lenses.
MAX_JSON_BYTES = 64_000_000
# Bytes of answers that people labelled, and of a text that an exit head is fitted on.
MAX_TEXT_BYTES = 512_000_000


def read_bytes_limited(path: Path, limit: int) -> bytes:
    """All bytes of a regular file.

    Args:
        path: A file that a user named.
        limit: Most bytes that it may have.

    Raises:
        OSError: It cannot be read, is no regular file (a folder, a device such as ``/dev/zero``, a pipe), or is longer
            than ``limit``.
    """
    # Checked before opening: opening a pipe waits for its other end.
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("it is no regular file")
    with path.open("rb") as opened:
        content = opened.read(limit + 1)  # not st_size: it is 0 for files in /proc
    if len(content) > limit:
        raise OSError(f"it is larger than {limit:,} bytes, the most that is read")
    return content


def read_text_limited(path: Path, limit: int, encoding: str = "utf-8-sig") -> str:
    r"""The text of a regular file, with ``\n`` for every line end.

    Args:
        path: A file that a user named.
        limit: Most bytes that it may have.
        encoding: Of its bytes; the default is UTF-8 with or without a byte order mark.

    Raises:
        OSError: See ``read_bytes_limited``.
        UnicodeDecodeError: The bytes are not in that encoding.
    """
    text = read_bytes_limited(path, limit).decode(encoding)
    return text.replace("\r\n", "\n").replace("\r", "\n")
