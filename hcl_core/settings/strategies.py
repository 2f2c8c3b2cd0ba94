"""How an exit layer is used: left for good, drafted from, or left when it is sure enough. Free of torch."""

import math
from dataclasses import dataclass

from hcl_core.errors import SettingsError

STRATEGY_NAMES = ("early_exit", "self_speculative", "dynamic")
EXIT_RULES = ("probability", "entropy", "agreement")
# Drafts before a verification at most; where their number adapts, as many as were kept last time, and one more.
MOST_SPECULATIONS = 16
_WANTED = {"probability": "from 0 to 1", "entropy": "0 or more", "agreement": "a whole number from 2"}


@dataclass(frozen=True, slots=True)
class ExitRule:
    """When a token may leave.

    Attributes:
        name: ``"probability"``: the top token's exceeds ``threshold`` (in [0, 1]; 1 never leaves early).
            ``"entropy"``: in nats, it is below ``threshold`` (from 0; 0 never leaves early).
            ``"agreement"``: ``threshold`` successive layers (2 or more), this one the last, have the same top token.
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
            raise SettingsError(f"the threshold of {self.name} must be {_WANTED[self.name]}; got {value:g}")


@dataclass(frozen=True, slots=True)
class Strategy:
    """What a run does with its exit layers.

    Attributes:
        name: ``"early_exit"``: each answer comes from the shortened model alone. ``"self_speculative"``: the exit layer
            drafts and the whole model verifies; the answers are the whole model's. ``"dynamic"``: each token leaves at
            the first layer from the exit layer on that is sure enough.
        num_speculations: Drafts before a verification; 0 adapts their number.
        rule: When a token leaves, of ``"dynamic"``.
    """

    name: str = "early_exit"
    num_speculations: int = 0
    rule: ExitRule | None = None

    @classmethod
    def parse(cls, text: str) -> "Strategy":
        """``early_exit``, ``self_speculative[:DRAFTS|:adaptive]`` or ``dynamic[:RULE:THRESHOLD]``.

        Raises:
            SettingsError: It is none of these.
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
            threshold = str(float(self.rule.threshold)).removesuffix(".0")  # every digit: a run's id depends on it
            return f"{self.name}:{self.rule.name}:{threshold}"
        return self.name


EARLY_EXIT = Strategy()


def _drafts(text: str) -> int:
    if text == "adaptive":
        return 0
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_SPECULATIONS):
        raise SettingsError(f"drafts must be a number from 1 to {MOST_SPECULATIONS}, or adaptive; got {text[:40]!r}")
    return int(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SettingsError(f"a threshold must be a number; got {text[:40]!r}") from None
