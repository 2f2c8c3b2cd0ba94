"""Numbers as a person types them: ASCII digits alone.

Python's ``int`` and ``float`` also read ``1_0`` as 10, digits of other scripts, ``nan`` and ``inf``: a slip of the hand
would become another number without a word.
"""

import re

_WHOLE = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)


def read_whole(text: str) -> int:
    """The whole number in ``text``, which may have space around it; raises ``ValueError`` for anything else."""
    if not _WHOLE.fullmatch(text.strip()):
        raise ValueError(f"not a whole number: {text[:40]!r}")
    return int(text)


def read_decimal(text: str) -> float:
    """The number in ``text``, which may have space around it; raises ``ValueError`` for anything else."""
    if not _DECIMAL.fullmatch(text.strip()):
        raise ValueError(f"not a number: {text[:40]!r}")
    return float(text)
