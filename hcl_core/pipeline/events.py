"""What a run tells, step by step, to the terminal and the page."""

from dataclasses import dataclass

from hcl_core.records import Question, Sample
from hcl_core.runs.manifest import Manifest
from hcl_core.scores.metrics import OutcomeTable


@dataclass(frozen=True, slots=True)
class Started:
    """The run is on disk; ``num_present`` of its ``num_wanted`` samples were stored before."""

    manifest: Manifest
    num_present: int
    num_wanted: int


@dataclass(frozen=True, slots=True)
class Decoding:
    """A decode step ended. ``num_done`` counts all finished samples, of a wave under way too."""

    question: Question
    num_done: int
    num_wanted: int


@dataclass(frozen=True, slots=True)
class WaveDone:
    """A wave was judged, clustered and stored. ``table`` is live: it changes with the next wave."""

    question: Question
    samples: tuple[Sample, ...]
    table: OutcomeTable
    num_done: int
    num_wanted: int


@dataclass(frozen=True, slots=True)
class Finished:
    """All samples are stored and scored."""

    manifest: Manifest
    table: OutcomeTable


Event = Started | Decoding | WaveDone | Finished
