"""Values of controls as numbers and texts; whatever else a client sends is a message."""

import math
from dataclasses import dataclass
from typing import Any

from app.language import english_label, labels
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


@dataclass(frozen=True, slots=True)
class NumberBox:
    """What a control of a number takes.

    Attributes:
        label: Key of its label, without ``label_``.
        low: The least number.
        high: The greatest; ``None``: there is none.
        is_whole: Whether only whole numbers are taken.
    """

    label: str
    low: float
    high: float | None = None
    is_whole: bool = True

    def read(self, value: Any) -> float:
        """The number in the box; raises ``SettingsError`` if it is none that the box takes."""
        label = english_label(labels()(f"label_{self.label}"))
        number = read_number(label, value)
        got = f"{number:.15g}"
        if self.high is not None and not self.low <= number <= self.high:
            raise SettingsError(f"{label} must be a number from {self.low} to {self.high}; got {got}")
        if number < self.low:
            raise SettingsError(f"{label} must be a number from {self.low} on; got {got}")
        if self.is_whole and number != int(number):
            raise SettingsError(f"{label} must be a whole number; got {got}")
        return number

    def read_whole(self, value: Any) -> int:
        """``read`` of a whole number."""
        return int(self.read(value))


def read_text(label: str, value: Any) -> str:
    """A text without space around it; nothing at all is an empty one."""
    if not isinstance(value, str | None):
        raise SettingsError(f"{label} must be a text; got {str(value)[:40]!r}")
    return (value or "").strip()
