"""One run, from decoding to stored scores, as a generator of events that the terminal and the page show."""

import importlib.metadata
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from hcl_core.models.cost import ModelCost
from hcl_core.pipeline.plausibility import add_stored_plausibility, plausibility_stamp
from hcl_core.pipeline.scorer import Scorer
from hcl_core.pipeline.stored import add_stored
from hcl_core.ports import AnswerLikelihood, Decoder
from hcl_core.records import Question, Sample, SampleKey, StoredQuestion
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest, RunSettings
from hcl_core.scores.metrics import OutcomeTable

_RECORDED_PACKAGES = ("torch", "transformers", "sentence-transformers", "numpy", "pyarrow")


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


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """A run that is ready to start.

    Attributes:
        manifest: From ``new_manifest``.
        questions: To ask, in order, with their prompts.
        decoder: Answers them.
        scorer: Made for the same questions, exit layers and samples.
        whole_model: Says how plausible the answers to open questions are; ``None`` for other questions.
    """

    manifest: Manifest
    questions: tuple[StoredQuestion, ...]
    decoder: Decoder
    scorer: Scorer
    whole_model: AnswerLikelihood | None = None


def new_manifest(
    settings: RunSettings,
    questions: Sequence[StoredQuestion],
    *,
    num_hidden_layers: int,
    question_set: str,
    device: str,
    judge: str,
    embedder: str,
    ideas: str = "accepted",
    cost: ModelCost | None = None,
    preset: str | None = None,
) -> Manifest:
    """The manifest of a run that starts now."""
    return Manifest(
        run_id=settings.run_id(questions),
        settings=settings,
        num_hidden_layers=num_hidden_layers,
        num_questions=len(questions),
        question_set=question_set,
        device=device,
        judge=judge,
        embedder=embedder,
        ideas=ideas,
        cost=cost,
        preset=preset,
        versions={package: importlib.metadata.version(package) for package in _RECORDED_PACKAGES},
        created_at=_now(),
    )


def with_prompts(questions: Sequence[Question], decoder: Decoder) -> tuple[StoredQuestion, ...]:
    """The questions, each with the exact text that ``decoder`` sends for it."""
    return tuple(StoredQuestion(question, decoder.prompt_for(question)) for question in questions)


def wave_bounds(num_samples: int, first_wave: int | None) -> list[tuple[int, int]]:
    """Sample indices ``[start, stop)`` of each wave: ``first_wave`` samples, then twice as many each time.

    ``None`` takes all samples in one wave, which is fastest; with a small first wave, answers show sooner.
    """
    bounds, start, size = [], 0, first_wave or num_samples
    while start < num_samples:
        bounds.append((start, min(start + size, num_samples)))
        start, size = start + size, 2 * size
    return bounds


def run(
    folder: RunFolder,
    prepared: PreparedRun,
    first_wave: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Event]:
    """Decode, judge and store all samples of a run that are not stored yet.

    A wave is stored only when all its answers are finished. Closing the generator (Stop) or a crash drops the wave
    under way: storing its finished answers would favour short ones.

    Args:
        folder: The run folder; made if it is missing.
        prepared: The run, with every prompt rendered: a template that cannot be rendered leaves no folder behind.
        first_wave: See ``wave_bounds``.
        clock: Seconds; for the time spent decoding.

    Raises:
        RunFolderError: The folder holds something else, or another process writes to it.
        HclError: A question cannot be decoded; what was stored before stays.
    """
    folder.check_free_for(prepared.manifest.run_id)  # before a lock file is left in another run's folder
    with folder.writing():
        manifest, present = _create_or_resume(folder, prepared)
        session = _RunSession(folder, prepared, manifest, len(present), clock)
        if session.num_done == session.num_wanted:
            prepared.scorer.store(folder)
        yield Started(manifest, session.num_done, session.num_wanted)
        for stored in prepared.questions:
            if waves := _missing_waves(stored.question.id, manifest.settings, present, first_wave):
                yield from session.decode(stored, waves)
            session.measure(stored)
        session.store_plausibility()
        prepared.scorer.store(folder)
        manifest = session.manifest
        if manifest.finished_at is None:
            manifest = folder.finish(_now())
        yield Finished(manifest, prepared.scorer.table)


def _create_or_resume(folder: RunFolder, prepared: PreparedRun) -> tuple[Manifest, set[SampleKey]]:
    """Write the run's manifest and questions, and score its stored samples.

    Returns:
        The manifest as stored, and the keys of the stored samples.
    """
    manifest = folder.create(prepared.manifest, prepared.questions)
    present = folder.sample_keys()
    add_stored(prepared.scorer, folder.samples() if present else [], folder)
    # After the judge: if it fails, the manifest still names the judge of the stored verdicts.
    folder.update(manifest, prepared.questions)
    return manifest, present


class _RunSession:
    """One call of ``run``: from the start or resumption of a run to its end or interruption.

    Attributes:
        manifest: As stored, with the seconds spent decoding so far.
        num_done: Finished samples, of a wave under way too.
        num_wanted: Samples of the whole run.
    """

    def __init__(
        self,
        folder: RunFolder,
        prepared: PreparedRun,
        manifest: Manifest,
        num_present: int,
        clock: Callable[[], float],
    ) -> None:
        self._folder, self._decoder, self._scorer = folder, prepared.decoder, prepared.scorer
        self._clock = clock
        # A run that was whole before has it; in one that was not, each question is read anew, at its end.
        was_whole = num_present == manifest.num_total_samples
        is_known = was_whole and add_stored_plausibility(prepared.scorer.table, folder)
        self._whole_model = None if is_known else prepared.whole_model
        self._plausibilities: dict[SampleKey, float] = {}
        self._known_tokens = set(folder.token_texts())
        self.manifest = manifest
        self.num_done, self.num_wanted = num_present, manifest.num_total_samples

    def decode(
        self, stored: StoredQuestion, waves: Sequence[Sequence[tuple[int, int]]]
    ) -> Iterator[Decoding | WaveDone]:
        """Decode ``waves`` of a question; store and score each when its last answer is finished."""
        question, started = stored.question, self._clock()
        finished: list[Sample] = []
        for progress in self._decoder.decode(stored, self.manifest.settings.sampling, waves):
            finished += progress.finished
            self.num_done += len(progress.finished)
            if not progress.wave_done:
                yield Decoding(question, self.num_done, self.num_wanted)
                continue
            self._store(finished, self._clock() - started)
            self._scorer.add(finished)
            yield WaveDone(question, tuple(finished), self._scorer.table, self.num_done, self.num_wanted)
            started, finished = self._clock(), []

    def measure(self, stored: StoredQuestion) -> None:
        """Read the answers to an open question with the whole model."""
        if self._whole_model is not None:
            self._plausibilities |= self._scorer.measure_plausibility(stored, self._whole_model)

    def store_plausibility(self) -> None:
        """Write what ``measure`` found, of all questions."""
        if self._plausibilities:
            keys, values = list(self._plausibilities), list(self._plausibilities.values())
            self._folder.write_plausibility(keys, values, plausibility_stamp(self.manifest))

    def _store(self, samples: Sequence[Sample], seconds: float) -> None:
        """Store the samples of a wave, the texts of their tokens, and the seconds that the wave took."""
        self.manifest = replace(self.manifest, decode_seconds=self.manifest.decode_seconds + seconds)
        self._folder.append_samples(samples)
        token_ids = {token_id for sample in samples for token_id in sample.completion_token_ids}
        new = token_ids - self._known_tokens
        self._folder.add_token_texts({token_id: self._decoder.token_text(token_id) for token_id in new})
        self._known_tokens |= new
        self._folder.write_manifest(self.manifest)


def _missing_waves(
    question_id: str, settings: RunSettings, present: set[SampleKey], first_wave: int | None
) -> list[list[tuple[int, int]]]:
    """The waves of a question, each as ``(exit_layer, sample_idx)`` pairs, without the samples in ``present``."""
    waves = [
        [
            (exit_layer, sample_idx)
            for exit_layer in settings.exit_layers
            for sample_idx in range(start, stop)
            if SampleKey(question_id, exit_layer, sample_idx) not in present
        ]
        for start, stop in wave_bounds(settings.num_samples, first_wave)
    ]
    return [wave for wave in waves if wave]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
