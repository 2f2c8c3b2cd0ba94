"""How much a run has to compute, foretold from its settings, and the seconds that this takes.

``assets/sharing.json`` says how much answers share at each layer, temperature and exit head, and what each kind of work
took on one machine; ``python -m bench.sharing`` measures both. It needs a model's shape only.
"""

import json
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np

from hcl_core.folders import PROGRAM
from hcl_core.models.shapes import ModelShape
from hcl_core.records import Sample

# Tokens of an answer that one verification of self-speculation brings, and readouts that take as long as drawing one of
# them from float64 distributions: both for SmolLM2-135M, over temperatures of 0.6 and 1, and 8 to 32 answers.
_TOKENS_A_ROUND, _READOUTS_A_DRAW = 2, 4
SHARING_FILE = PROGRAM / "assets" / "sharing.json"


@dataclass(frozen=True, slots=True)
class Workload:
    """What the answers to one question take.

    Attributes:
        steps: How often the unembedding's weights are read.
        block_steps: Blocks times steps: how often a block's weights are read.
        block_rows: Rows through blocks, the prompt's among them.
        readouts: Rows through the unembedding.
    """

    steps: float
    block_steps: float
    block_rows: float
    readouts: float

    def terms(self, shape: ModelShape) -> tuple[float, ...]:
        """What seconds are linear in.

        Weights read, multiply-adds in blocks and in readouts, probabilities, and blocks called: whatever its size, a
        block takes some time of its own.
        """
        unembedding = shape.hidden_size * shape.vocab_size
        return (
            self.block_steps * shape.matrix_weights + self.steps * unembedding,
            self.block_rows * shape.matrix_weights,
            self.readouts * unembedding,
            self.readouts * shape.vocab_size,
            self.block_steps,
        )


@dataclass(frozen=True, slots=True)
class LayerSharing:
    """What one answer of a layer takes, and how its tokens are shared.

    Attributes:
        num_tokens: Mean length of the answers that end by themselves.
        capped: Share of the answers that do not, in [0, 1].
        exponent: ``n`` answers have ``n ** exponent`` times as many distinct beginnings as one, in [0, 1].
    """

    num_tokens: float
    capped: float
    exponent: float

    def length(self, max_new_tokens: int) -> float:
        """Mean length of an answer."""
        ended = min(self.num_tokens, max_new_tokens)
        return self.capped * max_new_tokens + (1 - self.capped) * ended

    def readouts(self, num_samples: int, max_new_tokens: int) -> float:
        """Distinct beginnings of so many answers."""
        return self.length(max_new_tokens) * float(num_samples**self.exponent)


def foretell_work(
    *,
    num_hidden_layers: int,
    exit_layers: Sequence[int],
    num_samples: int,
    max_new_tokens: int,
    temperature: float,
    exit_head: str,
    num_prompt_tokens: int,
    num_waves: int = 1,
    num_at_once: int = 1,
    strategy: str = "early_exit",
) -> Workload:
    """The work of one question.

    Args:
        num_hidden_layers: Of the model. Layers of other models are taken for those of the same relative depth.
        exit_layers: Of the run.
        num_samples: Answers a layer.
        max_new_tokens: Of an answer.
        temperature: Between the measured ones, the numbers are interpolated; beyond the last, they are its numbers.
        exit_head: ``"linear"`` or ``"shared"``.
        num_prompt_tokens: Of the prompt.
        num_waves: Parts in which the samples are decoded.
        num_at_once: Questions that share each read of the weights.
        strategy: Name of the strategy. Of others than true early exit, only the order of magnitude is foretold: it
            depends on how many drafts are accepted, or how soon a layer is sure.
    """
    if strategy != "early_exit":
        whole = foretell_work(
            num_hidden_layers=num_hidden_layers,
            exit_layers=(num_hidden_layers,),
            num_samples=num_samples,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            exit_head=exit_head,
            num_prompt_tokens=num_prompt_tokens,
            num_waves=num_waves,
            num_at_once=num_at_once,
        )
        if strategy == "dynamic":
            return _dynamic(whole, exit_layers, num_hidden_layers)
        sharing, _ = sharing_at(exit_head, temperature, 1.0)
        return _self_speculative(whole, len(exit_layers), num_samples * sharing.length(max_new_tokens))
    readouts = block_rows = 0.0
    is_long = False
    for layer in exit_layers:
        sharing, overlap = sharing_at(exit_head, temperature, layer / num_hidden_layers)
        rows = sharing.readouts(num_samples, max_new_tokens)
        readouts, block_rows = readouts + rows, block_rows + rows * layer * overlap
        is_long |= sharing.capped * num_samples >= 0.5  # some answer has all tokens
    steps = max_new_tokens if is_long else min(max_new_tokens, 2 * readouts / len(exit_layers))
    deepest, block_waves = max(exit_layers), num_waves
    if temperature == 0:  # all answers of a layer are its first: a later wave draws them again, from kept states
        block_waves, readouts = 1, readouts * num_waves
    return Workload(
        steps=(1 + steps * num_waves) / num_at_once,
        block_steps=deepest * (1 + steps * block_waves) / num_at_once,
        block_rows=block_rows + num_prompt_tokens * deepest,
        readouts=readouts,
    )


def work_of(waves: Sequence[Sequence[Sample]], num_prompt_tokens: int, num_at_once: int = 1) -> Workload:
    """The work that the answers to one question took, counted from them; early exit's alone.

    Args:
        waves: Samples of all layers, by the wave that they were decoded in; at least one sample.
        num_prompt_tokens: Of the prompt.
        num_at_once: Questions that share each read of the weights.
    """
    known: set[tuple[int, tuple[int, ...]]] = set()
    steps = block_steps = 1
    readouts = 0
    for wave in waves:
        found = {(each[0].exit_layer, start) for each in by_layer(wave) for start in beginnings(each)}
        # States are kept from wave to wave, and logits are not.
        steps += _num_steps(found)
        block_steps += _num_steps(found - known)
        readouts += len(found)
        known |= found
    depths: dict[tuple[int, ...], int] = {}  # the deepest layer that wants each beginning
    for layer, start in known:
        depths[start] = max(layer, depths.get(start, 0))
    deepest = depths.pop(())  # the prompt
    rows = sum(depths.values()) + num_prompt_tokens * deepest
    return Workload(steps / num_at_once, deepest * block_steps / num_at_once, rows, readouts)


def _num_steps(starts: set[tuple[int, tuple[int, ...]]]) -> int:
    return max((1 + len(start) for _, start in starts), default=0)


def by_layer(samples: Sequence[Sample]) -> list[list[Sample]]:
    """The samples of each layer, in order."""
    ordered = sorted(samples, key=lambda sample: sample.exit_layer)
    return [list(group) for _, group in groupby(ordered, key=lambda sample: sample.exit_layer)]


def beginnings(samples: Sequence[Sample]) -> set[tuple[int, ...]]:
    """Distinct texts, as tokens, that the next token of some sample was drawn after."""
    return {
        sample.completion_token_ids[:length] for sample in samples for length in range(len(sample.completion_token_ids))
    }


def _self_speculative(whole: Workload, num_layers: int, num_tokens: float) -> Workload:
    """Each layer's answers are the whole model's, in a tree of its own, one layer after the other.

    Args:
        whole: Work of the whole model's answers.
        num_layers: Exit layers.
        num_tokens: Of all answers of a layer, shared ones too: each is drawn from distributions over the vocabulary.
    """
    return Workload(
        steps=num_layers * whole.steps / _TOKENS_A_ROUND,
        block_steps=num_layers * whole.block_steps / _TOKENS_A_ROUND,
        block_rows=num_layers * whole.block_rows,
        readouts=num_layers * (whole.readouts + num_tokens * _READOUTS_A_DRAW),
    )


def _dynamic(whole: Workload, exit_layers: Sequence[int], num_hidden_layers: int) -> Workload:
    """Answers like the whole model's; a token is read at each layer until one is sure, on average half of them."""
    read_at = sum(1 + (num_hidden_layers - layer) / 2 for layer in exit_layers)
    return Workload(whole.steps, whole.block_steps, len(exit_layers) * whole.block_rows, read_at * whole.readouts)


def sharing_at(exit_head: str, temperature: float, depth: float) -> tuple[LayerSharing, float]:
    """The numbers of a layer at ``depth``, in (0, 1], and which part of its rows no other layer computes."""
    by_temperature = {float(text): values for text, values in _table()["heads"][exit_head].items()}
    known = sorted(by_temperature)
    above = min(bisect_left(known, temperature), len(known) - 1)
    below = max(0, above - 1) if known[above] > temperature else above
    share = (temperature - known[below]) / (known[above] - known[below]) if above > below else 0.0
    low, high = (_at_depth(by_temperature[known[index]], depth) for index in (below, above))
    *numbers, overlap = ((1 - share) * left + share * right for left, right in zip(low, high, strict=True))
    return LayerSharing(*numbers), overlap


def product_rate() -> float:
    """Billions of operations a second of float32 matrix products of numpy, in a tenth of a second."""
    left = np.ones((512, 512), dtype=np.float32)
    times = []
    for _ in range(20):
        began = time.perf_counter()
        left @ left
        times.append(time.perf_counter() - began)
    return 2 * 512**3 / min(times) / 1e9


def reference_rate() -> float:
    """``product_rate`` of the machine of ``assets/sharing.json``."""
    return float(_table()["product_rate"])


def reference_seconds(work: Workload, shape: ModelShape) -> float:
    """What the work takes on the machine of ``assets/sharing.json``."""
    rates: list[float] = _table()["seconds"]
    return sum(term * rate for term, rate in zip(work.terms(shape), rates, strict=True))


def _at_depth(values: Mapping[str, Any], depth: float) -> tuple[float, float, float, float]:
    layers: list[list[float]] = values["layers"]
    tokens, capped, exponent = layers[min(len(layers) - 1, max(0, round(depth * len(layers)) - 1))]
    return tokens, capped, exponent, values["overlap"]


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(SHARING_FILE.read_text(encoding="utf-8"))
    return table
