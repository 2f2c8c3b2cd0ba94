"""What is going on, in no language yet: handlers return these records, views make sentences of them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from app.live import LiveEvent, Loading, Notice, Waiting
from hcl_core.runs.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Message:
    """A sentence of the page.

    Attributes:
        key: In ``assets/words``.
        values: By their names in the sentence; a ``float`` is shown with one decimal.
        note: Key of a second sentence, without values; empty: none.
    """

    key: str
    values: Mapping[str, object] = field(default_factory=dict)
    note: str = ""


def note_on_head(manifest: Manifest) -> str:
    """Key of the note on a run's exit head; empty unless a fitted one was looked for in vain."""
    return "head_fallback" if manifest.head_choice is not None and manifest.head_choice.is_fallback else ""


Stage = Literal["sampling", "going_on"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How many answers of a run are there.

    Attributes:
        stage: ``going_on`` where an earlier run is resumed.
        num_done: Answers that are there.
        num_wanted: Answers of the whole run.
        seconds_left: Estimate of the time until all are there; ``None``: unknown.
        num_beside: Other runs that the model decodes for meanwhile.
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
class Problem:
    """What went wrong and what to do, in the words of an ``HclError``."""

    text: str


Status = Message | Progress | Problem


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
    if isinstance(notice, Loading):
        return Message("loading_model", {"model": notice.model[:200]})
    return Message("looking")
