"""Decode, judge, cluster, score, store: one run as a generator of events, which the terminal and the page share."""

import importlib.metadata
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from hcl_core.models.cost import ModelCost
from hcl_core.pipeline.scorer import Scorer
from hcl_core.pipeline.stored import add_stored
from hcl_core.ports import Decoder
from hcl_core.records import Question, Sample, SampleKey, StoredQuestion
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest, RunSettings
from hcl_core.scores.metrics import OutcomeTable

_RECORDED_PACKAGES = ("torch", "transformers", "sentence-transformers", "numpy", "pyarrow")


@dataclass(frozen=True, slots=True)
class Started:
    """The run is on disk; ``num_present`` of ``num_wanted`` samples were there already."""

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
    """All samples are there and scored."""

    manifest: Manifest
    table: OutcomeTable


Event = Started | Decoding | WaveDone | Finished


def new_manifest(
    settings: RunSettings,
    questions: Sequence[StoredQuestion],
    *,
    num_hidden_layers: int,
    question_set: str,
    device: str,
    judge: str,
    embedder: str,
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
        cost=cost,
        preset=preset,
        versions={package: importlib.metadata.version(package) for package in _RECORDED_PACKAGES},
        created_at=_now(),
    )


def with_prompts(questions: Sequence[Question], decoder: Decoder) -> list[StoredQuestion]:
    """The questions, each with the exact text that ``decoder`` sends for it."""
    return [StoredQuestion(question, decoder.prompt_for(question)) for question in questions]


def wave_bounds(num_samples: int, first_wave: int | None) -> list[tuple[int, int]]:
    """Sample numbers ``[start, stop)`` of each wave: ``first_wave`` of them, then twice as many each time.

    ``None`` takes all in one wave, which is fastest; small first waves show something sooner.
    """
    bounds, start, size = [], 0, first_wave or num_samples
    while start < num_samples:
        bounds.append((start, min(start + size, num_samples)))
        start, size = start + size, 2 * size
    return bounds


def run(
    folder: RunFolder,
    manifest: Manifest,
    questions: Sequence[Question],
    decoder: Decoder,
    scorer: Scorer,
    first_wave: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Event]:
    """Do what is still to do of a run.

    A wave is stored when it is whole. Closing the generator (Stop) or a crash drops the wave under way:
    keeping its finished answers would favour short ones.

    Args:
        folder: Where the run lives or will live.
        manifest: From ``new_manifest``.
        questions: To ask, in order.
        decoder: Answers them.
        scorer: Made for the same questions, layers and samples.
        first_wave: See ``wave_bounds``.
        clock: Seconds; for the time spent decoding.

    Raises:
        RunFolderError: The folder holds something else, or another process writes to it.
        HclError: A question cannot be decoded; what was stored before stays.
    """
    # Every prompt is made before the folder is: a template that cannot be rendered leaves nothing behind.
    stored = with_prompts(questions, decoder)
    folder.check_free_for(manifest.run_id)  # before a lock file is left in somebody else's folder
    with folder.writing():
        manifest = folder.create(manifest, stored)
        settings = manifest.settings
        present = folder.sample_keys()
        add_stored(scorer, folder.samples() if present else [], folder)
        num_wanted, num_done = len(questions) * len(settings.exit_layers) * settings.num_samples, len(present)
        # After the judge: if it fails, what is stored stays as it was judged.
        folder.update(manifest, stored)
        if num_done == num_wanted:
            scorer.store(folder)
        yield Started(manifest, num_done, num_wanted)
        known_tokens = set(folder.token_texts())
        for question, with_prompt in zip(questions, stored, strict=True):
            waves = list(_missing_waves(question.id, settings, present, first_wave))
            if not waves:
                continue
            started = clock()
            finished: list[Sample] = []
            for progress in decoder.decode(with_prompt, settings.sampling, waves):
                finished += progress.finished
                num_done += len(progress.finished)
                if not progress.wave_done:
                    yield Decoding(question, num_done, num_wanted)
                    continue
                manifest = replace(manifest, decode_seconds=manifest.decode_seconds + clock() - started)
                folder.append_samples(finished)
                new_tokens = {each for sample in finished for each in sample.completion_token_ids} - known_tokens
                folder.add_token_texts({token_id: decoder.token_text(token_id) for token_id in new_tokens})
                known_tokens |= new_tokens
                folder.write_manifest(manifest)
                scorer.add(finished)
                yield WaveDone(question, tuple(finished), scorer.table, num_done, num_wanted)
                started, finished = clock(), []
        scorer.store(folder)
        if manifest.finished_at is None:
            manifest = folder.finish(_now())
        yield Finished(manifest, scorer.table)


def _missing_waves(
    question_id: str, settings: RunSettings, present: set[SampleKey], first_wave: int | None
) -> Iterator[list[tuple[int, int]]]:
    for start, stop in wave_bounds(settings.num_samples, first_wave):
        wave = [
            (exit_layer, sample_idx)
            for exit_layer in settings.exit_layers
            for sample_idx in range(start, stop)
            if SampleKey(question_id, exit_layer, sample_idx) not in present
        ]
        if wave:
            yield wave


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
