"""One run, from decoding to stored scores, as a generator of events that the terminal and the page show."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial

import numpy as np

from hcl_core.ahead import ahead
from hcl_core.allocator import release_freed_memory
from hcl_core.errors import HclError, RunFolderError, SettingsError
from hcl_core.pipeline.events import Decoding, Event, Finished, Started, WaveDone
from hcl_core.pipeline.plausibility import add_stored_plausibility, write_plausibility
from hcl_core.pipeline.prepared import Followed, PreparedRun
from hcl_core.pipeline.stored import add_stored
from hcl_core.pipeline.views import check_same_view, take_all
from hcl_core.pipeline.waves import Bounds, QuestionWaves, missing_waves, questions_at_once, wave_bounds
from hcl_core.ports import DecodeProgress, DecodeRequest
from hcl_core.records import Sample, StoredQuestion
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest, now
from hcl_core.runs.sample_stream import SampleStream
from hcl_core.scores.metrics import MISSING


def run(
    folder: RunFolder,
    prepared: PreparedRun,
    first_wave: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
    at_once: int | None = None,
    growth: int = 2,
    source: RunFolder | None = None,
    followed: Followed | None = None,
    wants: Callable[[str], bool] | None = None,
) -> Generator[Event, None, None]:
    """Decode, judge and store all samples of a run that are not stored yet.

    Several questions are decoded at once, while finished ones are judged and stored, in the order of the questions.
    A wave is stored only when all its answers are finished. Closing the generator (Stop) or a crash drops the wave
    under way: storing its finished answers would favour short ones. Stop and errors store the verdicts on what came.

    Args:
        folder: The run folder; made if it is missing.
        prepared: The run, with every prompt rendered: a template that cannot be rendered leaves no folder behind.
        first_wave: See ``wave_bounds``.
        clock: Seconds; for the time spent decoding.
        at_once: The most questions that are decoded at once; ``None``: see ``questions_at_once``.
        growth: See ``wave_bounds``.
        source: Another view of the same samples, whose parts are taken over.
        followed: Another view of them that is under way: its samples are taken over as they come, and what is missing
            when its events end is decoded.
        wants: Asked, with a question's id, before the question is decoded; one that is not wanted is left for another
            time. A run that then lacks samples ends without ``Finished``. ``None``: all are wanted.

    Raises:
        SettingsError: ``at_once`` is below 1.
        RunFolderError: The folder holds something else or another view, or another process writes to it.
        HclError: A question cannot be decoded; what was stored before stays.
    """
    if at_once is None:
        at_once = questions_at_once(prepared.manifest)
    if at_once < 1:
        raise SettingsError(f"at least 1 question is decoded at once; got {at_once}")
    folder.check_free_for(prepared.manifest.run_id)  # before a lock file is left in another run's folder
    check_same_view(folder, prepared.manifest)
    try:
        with folder.writing():
            bounds_of = partial(wave_bounds, first_wave=first_wave, growth=growth)
            yield from _run_locked(folder, prepared, bounds_of, clock, at_once, source, followed, wants)
    finally:
        release_freed_memory()


def _run_locked(
    folder: RunFolder,
    prepared: PreparedRun,
    bounds_of: Callable[[int], Bounds],
    clock: Callable[[], float],
    at_once: int,
    source: RunFolder | None,
    followed: Followed | None,
    wants: Callable[[str], bool] | None,
) -> Iterator[Event]:
    """``run``, once the folder is locked."""
    session = _RunSession(folder, prepared, clock)
    session.resume(source)
    if prepared.manifest.head_choice is not None:
        prepared.manifest.head_choice.warn(prepared.manifest.settings.model)
    yield Started(session.manifest, session.num_done, session.num_wanted)
    try:
        if followed is not None:
            yield from session.follow(followed)
        yield from session.decode(bounds_of, at_once, wants)
    except BaseException:  # Stop closes this generator
        session.store_so_far()
        raise
    if wants is not None and session.num_done < session.num_wanted:
        return
    session.measure_earlier()
    yield Finished(session.finish(), prepared.scorer.table)


class _RunSession:
    """One call of ``run``: from the start or resumption of a run to its end or interruption.

    Attributes:
        manifest: As stored, with the seconds spent decoding so far.
        num_done: Finished samples, of a wave under way too.
        num_wanted: Samples of the whole run.
    """

    def __init__(self, folder: RunFolder, prepared: PreparedRun, clock: Callable[[], float]) -> None:
        self._folder, self._prepared, self._clock = folder, prepared, clock
        self._decoder, self._scorer = prepared.decoder, prepared.scorer
        self._whole_model = prepared.whole_model
        self._known_tokens = set(folder.token_texts())
        self.manifest = prepared.manifest
        self.num_done, self.num_wanted = 0, prepared.manifest.num_total_samples

    def resume(self, source: RunFolder | None) -> None:
        """Write the run's manifest and questions, and score its stored samples, question by question."""
        folder, scorer, questions = self._folder, self._scorer, self._prepared.questions
        self.manifest = folder.create(self.manifest, questions)
        if source is not None:
            take_all(folder, source)
            self._known_tokens = set(folder.token_texts())
            self._tell_where_from(source)
        add_stored(scorer, SampleStream(folder), folder)
        # After the judge: if it fails, the manifest still names the judge of the stored verdicts.
        folder.update(self.manifest, questions)
        self.num_done = int((scorer.table.outcomes != MISSING).sum())
        if self.num_done == self.num_wanted:
            # Only a run that was whole has it; in one that was not, all answers are read anew.
            if add_stored_plausibility(scorer.table, folder):
                self._whole_model = None
            scorer.store(folder)

    def follow(self, followed: Followed) -> Iterator[Decoding | WaveDone]:
        """Take over the samples that another view's run stores, each wave when it is there."""
        if not self._folder.parts.fit(followed.folder.parts):
            return
        questions = {stored.question.id: stored for stored in self._prepared.questions}
        with closing(followed.events) as events:
            for event in events:
                if isinstance(event, Decoding):
                    yield replace(event, question=questions[event.question.id].question)
                else:
                    yield from self._take_waves(followed.folder, questions)
        yield from self._take_waves(followed.folder, questions)

    def _take_waves(self, other: RunFolder, questions: Mapping[str, StoredQuestion]) -> Iterator[WaveDone]:
        folder, scorer = self._folder, self._scorer
        for file in folder.parts.missing(other.parts):
            samples = other.samples_of_part(file)
            by_question: dict[str, list[Sample]] = {}
            for sample in samples:
                by_question.setdefault(sample.question_id, []).append(sample)
            for question_id, new in by_question.items():
                scorer.resume(question_id, folder)
                scorer.add(new)
                self.measure(questions[question_id])
            folder.parts.take(file)
            folder.add_token_texts(other.token_texts())
            self.num_done += len(samples)
            self._tell_where_from(other)
            folder.write_manifest(self.manifest)
            for question_id, new in by_question.items():
                stored = questions[question_id]
                yield WaveDone(stored.question, tuple(new), scorer.table, self.num_done, self.num_wanted)
        self._known_tokens = set(folder.token_texts())

    def _tell_where_from(self, other: RunFolder) -> None:
        """The device and the seconds of samples that were decoded for another view."""
        try:
            theirs = other.manifest()
        except RunFolderError:  # it has no manifest yet
            return
        seconds = max(self.manifest.decode_seconds, theirs.decode_seconds)
        self.manifest = replace(self.manifest, device=theirs.device, decode_seconds=seconds)

    def decode(
        self, bounds_of: Callable[[int], Bounds], at_once: int, wants: Callable[[str], bool] | None
    ) -> Iterator[Decoding | WaveDone]:
        """Decode the waves that are missing and wanted; store and score each when its last answer is finished.

        Waves are stored in the order of the questions: one that is finished sooner waits.
        """
        under_way: deque[QuestionWaves] = deque()
        by_request: dict[DecodeRequest, QuestionWaves] = {}

        def requests() -> Iterator[DecodeRequest]:
            for stored in self._prepared.questions:
                if wants is not None and not wants(stored.question.id):
                    continue
                if waves := missing_waves(self._scorer, stored.question.id, bounds_of):
                    request = DecodeRequest(stored, self.manifest.settings.sampling, waves)
                    by_request[request] = question = QuestionWaves(stored, len(waves))
                    under_way.append(question)
                    yield request

        seconds, steps = 0.0, self._timed(self._decoder.decode_many(requests(), at_once))
        # With one question there is nothing to store or judge while another is decoded.
        with closing(ahead(steps) if at_once > 1 and len(self._prepared.questions) > 1 else steps) as steps:
            for request, progress, spent in steps:
                seconds += spent
                self.num_done += len(progress.finished)
                by_request[request].add(progress)
                if not under_way[0].waves:
                    yield Decoding(under_way[0].stored.question, self.num_done, self.num_wanted)
                while under_way and (waves := under_way[0].waves):
                    yield self._finish_wave(under_way[0].stored, waves.popleft(), seconds)
                    seconds = 0.0
                    if under_way[0].is_done:
                        under_way.popleft()
                if by_request[request].is_done:
                    del by_request[request]

    def _timed(
        self, steps: Iterator[tuple[DecodeRequest, DecodeProgress]]
    ) -> Generator[tuple[DecodeRequest, DecodeProgress, float], None, None]:
        """The steps, each with the decoder's own seconds: what others do between two steps is none of them."""
        while True:
            started = self._clock()
            step = next(steps, None)
            spent = self._clock() - started
            if step is None:
                return
            yield *step, spent

    def _finish_wave(self, stored: StoredQuestion, samples: list[Sample], seconds: float) -> WaveDone:
        self._scorer.resume(stored.question.id, self._folder)
        self._store(samples, seconds)
        self._scorer.add(samples)
        self.measure(stored)
        return WaveDone(stored.question, tuple(samples), self._scorer.table, self.num_done, self.num_wanted)

    def measure(self, stored: StoredQuestion) -> None:
        """Read the answers to an open question, the one under way, that were not read yet with the whole model."""
        if self._whole_model is not None:
            self._scorer.measure_plausibility(stored, self._whole_model, self._scorer.samples)

    def measure_earlier(self) -> None:
        """Do the same for the questions that were whole before, and store the plausibility of all."""
        if self._whole_model is None:
            return
        by_id = {stored.question.id: stored for stored in self._prepared.questions}
        plausibilities = self._scorer.table.plausibilities
        for samples in SampleStream(self._folder) if np.isnan(plausibilities).any() else ():
            if not self._scorer.has_plausibility(question_id := samples[0].question_id):
                self._scorer.measure_plausibility(by_id[question_id], self._whole_model, samples)
        write_plausibility(self._folder, plausibilities)

    def store_so_far(self) -> None:
        """Store the scores of a run that ends too soon: whoever opens it finds what was on screen."""
        if self.num_done and self._folder.exists:
            with suppress(HclError):  # why the run ends is said instead
                self._scorer.store(self._folder)
                if self._whole_model is not None:
                    write_plausibility(self._folder, self._scorer.table.plausibilities)

    def finish(self) -> Manifest:
        """Store the scores and mark the run complete; the manifest as stored."""
        self._scorer.store(self._folder)
        return self.manifest if self.manifest.finished_at is not None else self._folder.finish(now())

    def _store(self, samples: Sequence[Sample], seconds: float) -> None:
        """Store the samples of a wave, the texts of their tokens, and the seconds that the wave took."""
        self.manifest = replace(self.manifest, decode_seconds=self.manifest.decode_seconds + seconds)
        self._folder.append_samples(samples)
        token_ids = {token_id for sample in samples for token_id in sample.completion_token_ids}
        new = token_ids - self._known_tokens
        self._folder.add_token_texts({token_id: self._decoder.token_text(token_id) for token_id in new})
        self._known_tokens |= new
        self._folder.write_manifest(self.manifest)
