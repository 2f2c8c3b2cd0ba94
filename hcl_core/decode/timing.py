"""Benchmark decoding strategies: the same prompts, one answer each, warmed up, interleaved, synchronised."""

import importlib.metadata
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import zip_longest

import numpy as np
import torch

from hcl_core.decode.dynamic import DynamicExitDecoder
from hcl_core.decode.engine import EngineDecoder, EngineParts
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.decode.speculative import SelfSpeculativeDecoder
from hcl_core.decode.strategy import decoder_of
from hcl_core.errors import SettingsError
from hcl_core.models.speed_records import SpeedReport, SpeedRow, median_ratio
from hcl_core.records import Question, SamplingSettings, StoredQuestion
from hcl_core.settings.strategies import Strategy


@dataclass(frozen=True, slots=True)
class Timed:
    """One strategy was timed once more; ``num_done`` of ``num_wanted`` timings."""

    strategy: Strategy
    exit_layer: int
    num_done: int
    num_wanted: int


@dataclass(slots=True)
class _Measured:
    """What was measured of one strategy.

    Attributes:
        strategy: How the exit layer is used.
        exit_layer: Of every answer.
        seconds: For one answer to every prompt, by repeat.
        answers: Token ids of each, which are the same in every repeat.
        decoder: Of the last repeat; its report counts that repeat alone.
    """

    strategy: Strategy
    exit_layer: int
    seconds: list[float]
    answers: list[tuple[int, ...]]
    decoder: EngineDecoder

    @property
    def num_tokens(self) -> int:
        """In all answers."""
        return sum(map(len, self.answers))


def benchmark_strategies(
    parts: EngineParts,
    revision: str,
    questions: Sequence[Question],
    settings: SamplingSettings,
    strategies: Sequence[tuple[Strategy, int]],
    repeats: int,
) -> Iterator[Timed | SpeedReport]:
    """Time strategies in turn, ``repeats`` times after one warm-up; the last event is the report.

    Args:
        parts: Model, exit head, template and memory budget.
        revision: Of the model, for the report.
        questions: Asked once in every timing.
        settings: How tokens are drawn.
        strategies: Each with its exit layer; the first is full decoding, which the others are compared with.
        repeats: Timings of each strategy.

    Raises:
        SettingsError: There is nothing to time, or a layer that the model lacks.
    """
    if not questions or repeats < 1:
        raise SettingsError("speed needs at least one prompt and one repeat")
    parts.check_layers(exit_layer for _, exit_layer in strategies)
    measured = [
        _Measured(strategy, exit_layer, [], [], decoder_of(parts, strategy)) for strategy, exit_layer in strategies
    ]
    num_done, num_wanted = 0, len(strategies) * (repeats + 1)
    for repeat in range(repeats + 1):
        for entry in measured:
            entry.decoder = decoder_of(parts, entry.strategy)
            seconds, entry.answers = _answer_all(entry.decoder, questions, settings, entry.exit_layer)
            if repeat:  # the first round warms up
                entry.seconds.append(seconds)
            num_done += 1
            yield Timed(entry.strategy, entry.exit_layer, num_done, num_wanted)
    rows = tuple(
        _with_exits(_row(entry, measured[0], settings.is_greedy), parts, questions, settings) for entry in measured
    )
    yield _report(parts, revision, len(questions), settings, repeats, rows)


def _answer_all(
    decoder: EngineDecoder, questions: Sequence[Question], settings: SamplingSettings, exit_layer: int
) -> tuple[float, list[tuple[int, ...]]]:
    """Seconds for one answer to every question, and the answers' token ids."""
    _synchronize(decoder.parts.lm)
    started, answers = time.perf_counter(), list[tuple[int, ...]]()
    for question in questions:
        stored = StoredQuestion(question, decoder.prompt_for(question))
        for progress in decoder.decode(stored, settings, [[(exit_layer, 0)]]):
            answers.extend(sample.completion_token_ids for sample in progress.finished)
    _synchronize(decoder.parts.lm)
    return time.perf_counter() - started, answers


def _synchronize(lm: LanguageModel) -> None:
    if lm.readout_device.type == "cuda":
        torch.cuda.synchronize()


def _row(measured: _Measured, full: _Measured, is_greedy: bool) -> SpeedRow:
    relative_tokens = measured.num_tokens / full.num_tokens  # answers that are drawn may differ in length
    ratio = median_ratio(measured.seconds, full.seconds) * relative_tokens
    seconds, exit_layer = statistics.median(measured.seconds), measured.exit_layer
    row = SpeedRow(str(measured.strategy), exit_layer, seconds, measured.num_tokens, ratio, float(exit_layer))
    decoder = measured.decoder
    if isinstance(decoder, SelfSpeculativeDecoder):
        rates = decoder.report.acceptance_rates
        return replace(
            row,
            blocks_per_token=decoder.report.blocks_per_token,
            tokens_per_verification=decoder.report.tokens_per_verification,
            acceptance_rates=tuple(rates[~np.isnan(rates)].tolist()),
            # Above temperature 0, drafts draw other tokens of the same distribution: nothing could be compared.
            share_different=share_different(measured.answers, full.answers) if is_greedy else None,
        )
    if isinstance(decoder, DynamicExitDecoder):
        return replace(row, blocks_per_token=decoder.report.blocks_run / max(measured.num_tokens, 1))
    return row


def share_different(answers: list[tuple[int, ...]], full: list[tuple[int, ...]]) -> float | None:
    """Share of tokens that differ from full decoding's at the same place; ``None`` if there is no token."""
    pairs = [pair for own, other in zip(answers, full, strict=True) for pair in zip_longest(own, other)]
    return sum(own != other for own, other in pairs) / len(pairs) if pairs else None


def _with_exits(
    row: SpeedRow, parts: EngineParts, questions: Sequence[Question], settings: SamplingSettings
) -> SpeedRow:
    """``row`` of a dynamic exit with its tokens' exit layers and how many differ from the whole model's; not timed."""
    rule = Strategy.parse(row.strategy).rule
    if rule is None:
        return row
    decoder = DynamicExitDecoder(parts, rule, compares=True)
    _answer_all(decoder, questions, settings, row.exit_layer)
    report = decoder.report
    share = report.num_different / report.num_compared if report.num_compared else None
    return replace(row, exits=tuple(report.exits.tolist()), share_different=share)


def _report(
    parts: EngineParts,
    revision: str,
    num_prompts: int,
    settings: SamplingSettings,
    repeats: int,
    rows: tuple[SpeedRow, ...],
) -> SpeedReport:
    lm = parts.lm
    return SpeedReport(
        model=lm.name,
        model_revision=revision,
        dtype=lm.dtype_name,
        device=lm.device_name,
        exit_head=parts.exit_head.name,
        num_threads=torch.get_num_threads(),
        num_prompts=num_prompts,
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        repeats=repeats,
        versions={package: importlib.metadata.version(package) for package in ("torch", "transformers")},
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        rows=rows,
    )
