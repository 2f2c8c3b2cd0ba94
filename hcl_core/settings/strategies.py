"""Decoding strategies: what an exit layer is used for. Free of torch."""

import math
from dataclasses import dataclass

from hcl_core.errors import SettingsError
from hcl_core.numerals import read_decimal

STRATEGY_NAMES = ("early_exit", "self_speculative", "dynamic")
EXIT_RULES = ("probability", "entropy", "agreement")
# Upper bound on drafts per verification. Adaptive: one more than were accepted last time.
MAX_SPECULATIONS = 16
_THRESHOLDS = {"probability": "from 0 to 1", "entropy": "0 or more", "agreement": "a whole number from 2"}


@dataclass(frozen=True, slots=True)
class ExitRule:
    """When a token may exit.

    Attributes:
        name: ``"probability"``: the top token's probability exceeds ``threshold`` (in [0, 1]; at 1 none exits early).
            ``"entropy"``: the entropy in nats is below ``threshold`` (0 or more; at 0 none exits early).
            ``"agreement"``: the last ``threshold`` layers (2 or more), the current one included, have the same top
            token.
        threshold: See ``name``.
    """

    name: str
    threshold: float

    def __post_init__(self) -> None:
        if self.name not in EXIT_RULES:
            raise SettingsError(f"exit rule must be one of {', '.join(EXIT_RULES)}; got {self.name!r}")
        value = self.threshold
        fits = {
            "probability": 0 <= value <= 1,
            "entropy": 0 <= value < math.inf,
            "agreement": 2 <= value < math.inf and float(value).is_integer(),
        }[self.name]
        if not fits:
            raise SettingsError(f"the threshold of {self.name} must be {_THRESHOLDS[self.name]}; got {value:g}")


@dataclass(frozen=True, slots=True)
class Strategy:
    """What a run does with its exit layers.

    Attributes:
        name: ``"early_exit"``: every token comes from the exit layer. ``"self_speculative"``: the exit layer drafts and
            the whole model verifies; the answers are the whole model's. ``"dynamic"``: each token exits at the first
            layer, from the exit layer on, at which ``rule`` holds.
        num_speculations: Drafts per verification of ``"self_speculative"``; 0 adapts their number.
        rule: When a token exits, of ``"dynamic"``.
    """

    name: str = "early_exit"
    num_speculations: int = 0
    rule: ExitRule | None = None

    @classmethod
    def parse(cls, text: str) -> "Strategy":
        """``early_exit``, ``self_speculative[:DRAFTS|:adaptive]`` or ``dynamic[:RULE:THRESHOLD]``.

        Raises:
            SettingsError: ``text`` is none of these.
        """
        name, *details = text.strip().split(":")
        if name == "early_exit" and not details:
            return cls()
        if name == "self_speculative" and len(details) <= 1:
            return cls(name, _drafts(details[0] if details else "adaptive"))
        if name == "dynamic" and len(details) in (0, 2):
            rule, threshold = details or ("probability", "0.9")
            return cls(name, rule=ExitRule(rule, _number(threshold)))
        raise SettingsError(
            "strategy must be early_exit, self_speculative[:DRAFTS or :adaptive] or "
            f"dynamic[:RULE:THRESHOLD]; got {text[:80]!r}"
        )

    def __str__(self) -> str:
        """In full, as ``parse`` reads it and a run stores it."""
        if self.name == "self_speculative":
            return f"{self.name}:{self.num_speculations or 'adaptive'}"
        if self.rule is not None:
            threshold = str(float(self.rule.threshold)).removesuffix(".0")  # all digits: the run id depends on it
            return f"{self.name}:{self.rule.name}:{threshold}"
        return self.name


EARLY_EXIT = Strategy()


def _drafts(text: str) -> int:
    if text == "adaptive":
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MAX_SPECULATIONS):
        raise SettingsError(f"drafts must be a number from 1 to {MAX_SPECULATIONS}, or adaptive; got {text[:40]!r}")
    return int(text)


def _number(text: str) -> float:
    try:
        return read_decimal(text)
    except ValueError:
        raise SettingsError(f"a threshold must be a number; got {text[:40]!r}") from None
