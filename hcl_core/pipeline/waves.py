"""Which samples a run decodes together: the waves of a question, and how many questions at once."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from hcl_core.pipeline.scorer import Scorer
from hcl_core.ports import DecodeProgress
from hcl_core.records import Sample, StoredQuestion
from hcl_core.runs.manifest import Manifest

# Beyond so many samples a step has rows enough for a processor (``bench.sets``), and beyond so many questions the
# attention of each, which is not joined, takes most of the time.
_SAMPLES_AT_ONCE = 16_000
_MOST_AT_ONCE = 24

Bounds = list[tuple[int, int]]


def wave_bounds(num_samples: int, first_wave: int | None, growth: int = 2) -> Bounds:
    """Sample indices ``[start, stop)`` of each wave: ``first_wave`` samples, then ``growth`` times as many each time.

    ``None`` takes all samples in one wave, which is fastest; with a small first wave, answers show sooner.
    """
    bounds, start, size = [], 0, first_wave or num_samples
    while start < num_samples:
        bounds.append((start, min(start + size, num_samples)))
        start, size = start + size, growth * size
    return bounds


def questions_at_once(manifest: Manifest) -> int:
    """How many questions of a run are decoded at once by default: more while their samples are few."""
    of_question = manifest.num_total_samples // manifest.num_questions
    return min(max(1, _SAMPLES_AT_ONCE // of_question), _MOST_AT_ONCE)


def missing_waves(scorer: Scorer, question_id: str, bounds_of: Callable[[int], Bounds]) -> list[list[tuple[int, int]]]:
    """The waves of a question, each as ``(exit_layer, sample_idx)`` pairs, without the samples that have come.

    Args:
        scorer: Knows which have come.
        question_id: Of the question.
        bounds_of: The bounds of the waves of so many samples.
    """
    has_come = scorer.has_come(question_id)
    waves = [
        [
            (exit_layer, sample_idx)
            for exit_layer, of_layer in zip(scorer.table.exit_layers, has_come.tolist(), strict=True)
            for sample_idx in range(start, stop)
            if not of_layer[sample_idx]
        ]
        for start, stop in bounds_of(has_come.shape[1])
    ]
    return [wave for wave in waves if wave]


@dataclass(slots=True)
class QuestionWaves:
    """The waves of a question that is being decoded.

    Attributes:
        stored: The question.
        num_waves: That are still to be decoded.
        waves: Decoded, and not stored yet.
        finished: Samples of the wave under way.
    """

    stored: StoredQuestion
    num_waves: int
    waves: deque[list[Sample]] = field(default_factory=deque)
    finished: list[Sample] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to decode or to store."""
        return not self.num_waves and not self.waves

    def add(self, progress: DecodeProgress) -> None:
        """Take what a step brought."""
        self.finished += progress.finished
        if progress.wave_done:
            self.waves.append(self.finished)
            self.finished, self.num_waves = [], self.num_waves - 1
