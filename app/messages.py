"""What is going on, in no language yet: handlers return these records, views make sentences of them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from app.live import Fetching, LiveEvent, Loading, Notice, Waiting
from hcl_core.models.head_records import FitProgress, HeadChoice, HeadTrial


@dataclass(frozen=True, slots=True)
class Message:
    """A sentence of the page.

    Attributes:
        key: In ``assets/words``.
        values: By their names in the sentence; a ``float`` is shown with one decimal.
    """

    key: str
    values: Mapping[str, object] = field(default_factory=dict)


def note_on_head(choice: HeadChoice | None) -> Message | None:
    """What is to be said of an exit head; ``None`` where it was fitted for the weights, or asked for."""
    if choice is None:
        return None
    if (trial := choice.trial) is None:
        return Message("head_fallback") if choice.is_fallback else None
    if not choice.is_fallback:
        return message_of_trial("head_for_others", trial)
    if trial.noise_below is None or trial.noise_below == 1:
        return Message("head_fallback")
    return Message("head_noise", {"layer": trial.noise_below})


def message_of_trial(key: str, trial: HeadTrial) -> Message:
    """A message that says how well a head was seen to read a model."""
    values = {
        "first": trial.first_layer,
        "last": trial.last_layer,
        "places": trial.num_positions,
        "agreement": round(100 * (trial.agreement or 0.0)),
        "expected": round(100 * (trial.expected or 0.0)),
    }
    return Message(key, values)


Stage = Literal["sampling", "going_on"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How many answers of a run are there.

    Attributes:
        stage: ``going_on`` where an earlier run is resumed.
        num_done: Answers that are there.
        num_wanted: Answers of the whole run.
        seconds_left: Estimate of the time until all are there; ``None``: unknown.
        num_beside: Other runs that the same device computes for meanwhile.
    """

    stage: Stage
    num_done: int
    num_wanted: int
    seconds_left: float | None = None
    num_beside: int = 0


def progress_of(live: LiveEvent, num_done: int, num_wanted: int, stage: Stage = "sampling") -> Progress:
    """How far the run of an event is."""
    return Progress(stage, num_done, num_wanted, live.seconds_left, live.num_beside)


@dataclass(frozen=True, slots=True)
class FitStep:
    """How far the fit of an exit head is.

    Attributes:
        progress: Of its phase.
        seconds_left: Estimate of the time until the phase is over; ``None``: unknown.
    """

    progress: FitProgress
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong and what to do, in the words of an ``HclError``."""

    text: str


Status = Message | Progress | FitStep | Problem


# What is said of each reason to wait, where the time left is unknown and where it is known.
_WAITING = {
    "model": ("waiting_place", "waiting_place_seconds"),
    "memory": ("waiting_memory", "waiting_memory_seconds"),
    "folder": ("waiting_folder", "waiting_folder_seconds"),
    "turn": ("waiting_turn", "waiting_turn_seconds"),
}


def message_of(notice: Notice) -> Message:
    """What a visitor is told before their work begins."""
    if isinstance(notice, Waiting):
        plain, with_seconds = _WAITING[notice.reason]
        places = {"place": notice.num_before + 1} if notice.reason == "turn" else {"before": notice.num_before}
        if notice.seconds is None:
            return Message(plain, places)
        return Message(with_seconds, places | {"seconds": math.ceil(notice.seconds)})
    if isinstance(notice, Fetching):
        return Message("fetching_weights", {"done": notice.done, "wanted": notice.wanted})
    if isinstance(notice, Loading):
        return Message("loading_model", {"model": notice.model[:200]})
    return Message("looking")
