"""Time ways of decoding against each other: the same prompts, one answer each, warmed up, interleaved, synchronised."""

import importlib.metadata
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import torch

from hcl_core.decode.dynamic import DynamicExitDecoder
from hcl_core.decode.engine import TrieDecoder
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.speculative import SelfSpeculativeDecoder
from hcl_core.decode.ways import with_strategy
from hcl_core.errors import SettingsError
from hcl_core.models.speed_records import SpeedReport, SpeedRow, median_ratio
from hcl_core.records import Question, SamplingSettings, StoredQuestion
from hcl_core.settings.strategies import Strategy


@dataclass(frozen=True, slots=True)
class Timed:
    """One way was timed once more; ``num_done`` of ``num_wanted``."""

    strategy: Strategy
    exit_layer: int
    num_done: int
    num_wanted: int


def time_ways(
    decoder: TrieDecoder,
    revision: str,
    questions: Sequence[Question],
    settings: SamplingSettings,
    ways: Sequence[tuple[Strategy, int]],
    repeats: int,
) -> Iterator[Timed | SpeedReport]:
    """Time every way ``repeats`` times in turn after one warm-up; the last event is the report.

    Raises:
        SettingsError: There is nothing to time, or a layer that the model lacks.
    """
    if not questions or repeats < 1:
        raise SettingsError("speed needs at least one prompt and one repeat")
    decoder.check_layers(layer for _, layer in ways)
    seconds: list[list[float]] = [[] for _ in ways]
    decoders: list[TrieDecoder] = [decoder] * len(ways)
    num_tokens = [0] * len(ways)
    num_done, num_wanted = 0, len(ways) * (repeats + 1)
    for repeat in range(repeats + 1):
        for place, (strategy, layer) in enumerate(ways):
            decoders[place] = with_strategy(decoder, strategy)
            took, num_tokens[place] = _once(decoders[place], questions, settings, layer)
            if repeat:  # the first round warms up
                seconds[place].append(took)
            num_done += 1
            yield Timed(strategy, layer, num_done, num_wanted)
    rows = tuple(
        _row(strategy, layer, seconds[place], num_tokens[place], decoders[place], seconds[0], num_tokens[0])
        for place, (strategy, layer) in enumerate(ways)
    )
    rows = tuple(_compared(row, decoder, questions, settings) for row in rows)
    yield _report(decoder, revision, len(questions), settings, repeats, rows)


def _once(
    decoder: TrieDecoder, questions: Sequence[Question], settings: SamplingSettings, layer: int
) -> tuple[float, int]:
    """Seconds and tokens of one answer to every question."""
    _synchronize(decoder.lm)
    started, num_tokens = time.perf_counter(), 0
    for question in questions:
        stored = StoredQuestion(question, decoder.prompt_for(question))
        for progress in decoder.decode(stored, settings, [[(layer, 0)]]):
            num_tokens += sum(len(sample.completion_token_ids) for sample in progress.finished)
    _synchronize(decoder.lm)
    return time.perf_counter() - started, num_tokens


def _synchronize(lm: CausalLM) -> None:
    if lm.readout_device.type == "cuda":
        torch.cuda.synchronize()


def _row(
    strategy: Strategy,
    layer: int,
    seconds: list[float],
    num_tokens: int,
    decoder: TrieDecoder,
    full: list[float],
    num_full: int,
) -> SpeedRow:
    per_token = num_tokens / num_full  # answers that are drawn may differ in length
    ratio = median_ratio(seconds, full) * per_token
    row = SpeedRow(str(strategy), layer, statistics.median(seconds), num_tokens, ratio, float(layer))
    if isinstance(decoder, SelfSpeculativeDecoder):
        rates = decoder.report.acceptance_rates
        return replace(
            row,
            blocks_per_token=decoder.report.blocks_per_token,
            tokens_per_verification=decoder.report.tokens_per_verification,
            acceptance_rates=tuple(float(each) for each in rates[~np.isnan(rates)]),
            share_different=0.0,
        )
    if isinstance(decoder, DynamicExitDecoder):
        return replace(row, blocks_per_token=decoder.report.blocks_run / max(num_tokens, 1))
    return row


def _compared(
    row: SpeedRow, decoder: TrieDecoder, questions: Sequence[Question], settings: SamplingSettings
) -> SpeedRow:
    """With where its tokens left, and how many the whole model would have put otherwise; not timed."""
    strategy = Strategy.parse(row.strategy)
    if strategy.rule is None:
        return row
    comparing = DynamicExitDecoder(decoder, strategy.rule, compares=True)
    _once(comparing, questions, settings, row.exit_layer)
    report = comparing.report
    share = report.num_different / report.num_compared if report.num_compared else math.nan
    return replace(row, exits=tuple(report.exits.tolist()), share_different=share)


def _report(
    decoder: TrieDecoder,
    revision: str,
    num_prompts: int,
    settings: SamplingSettings,
    repeats: int,
    rows: tuple[SpeedRow, ...],
) -> SpeedReport:
    lm = decoder.lm
    return SpeedReport(
        model=lm.name,
        model_revision=revision,
        dtype=lm.dtype_name,
        device=str(lm.readout_device),
        exit_head=decoder.exit_head.name,
        num_threads=torch.get_num_threads(),
        num_prompts=num_prompts,
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        repeats=repeats,
        versions={package: importlib.metadata.version(package) for package in ("torch", "transformers")},
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        rows=rows,
    )
