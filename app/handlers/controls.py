"""Values of controls as numbers and texts; whatever else a client sends is a message."""

import math
from typing import Any

from hcl_core.errors import SettingsError
from hcl_core.numerals import read_decimal


def read_number(label: str, value: Any) -> float:
    """A finite number; raises ``SettingsError`` with ``label`` for anything else."""
    if value is None:
        raise SettingsError(f"{label} is empty: type a number")
    try:
        number = read_decimal(value) if isinstance(value, str) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise SettingsError(f"{label} must be a number; got {str(value)[:40]!r}")
    return number


def read_whole(label: str, value: Any) -> int:
    """A finite number without its decimals."""
    return int(read_number(label, value))


def read_text(label: str, value: Any) -> str:
    """A text without space around it; nothing at all is an empty one."""
    if not isinstance(value, str | None):
        raise SettingsError(f"{label} must be a text; got {str(value)[:40]!r}")
    return (value or "").strip()
