"""The host's own work in a step of the engine: ``python -m bench.host_work``.

One question with 20 layers x 40 answers of 50 tokens in a model whose blocks, readouts and draws take no time, so that
what is left is bookkeeping: milliseconds a step by function, without the functions that it calls, the least of some
runs. Tokens are of a made-up vocabulary: each its own (nothing shared), or one and the same in 97 of 100 draws (much
shared). A GPU adds to it what it takes to launch kernels, and copies.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from bench.curves import decode
from bench.machine import describe
from bench.random_models import random_model, word_tokenizer
from hcl_core.decode.engine import EngineDecoder
from hcl_core.decode.forest import Forest
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.trie import blocks, readouts
from hcl_core.decode.trie.running import Running
from hcl_core.decode.trie.token_trie import TokenTrie
from hcl_core.decode.trie.tree import PromptTree
from hcl_core.models.attention_kinds import ATTENTION_KINDS, BY_TREE
from hcl_core.models.shapes import ModelShape
from hcl_core.records import Question, SamplingSettings
from hcl_core.registry import make_decoder
from hcl_core.settings.prompts import load_template

NUM_LAYERS, NUM_SAMPLES, NUM_TOKENS, NUM_WORDS = 40, 40, 50, 32_000
# Where a function is looked up, its name there, and what the table calls it.
TIMED: tuple[tuple[Any, str, str], ...] = (
    (PromptTree, "children", "children"),
    (Running, "readouts", "readouts"),
    (Running, "pop_finished", "pop_finished"),
    (PromptTree, "growth", "growth"),
    (TokenTrie, "paths", "paths"),
    (TokenTrie, "padded_paths", "paths"),
    (blocks, "_segments", "segments and uploads"),
    (blocks, "_starting_states", "starting states"),
    (PromptTree, "store", "states stored and read"),
    (PromptTree, "states", "states stored and read"),
    (readouts, "_draw", "draws, without the sampler"),
    (Running, "__init__", "noise of all steps"),
    (Forest, "step", "all else"),
)


def main() -> None:
    """Print milliseconds a step by function."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--attention", choices=ATTENTION_KINDS, default=BY_TREE)
    options = parser.parse_args()
    lm = idle_model()
    lm.attention = options.attention
    decoder = make_decoder(lm, "shared", load_template())
    columns = {name: measure(decoder, share, options.repeats) for name, share in (("nothing", 0.0), ("much", 0.97))}
    table = Table("ms a step", *(f"{name} shared" for name in columns), box=None)
    for name in dict.fromkeys(name for _, _, name in TIMED):
        table.add_row(name, *(f"{column[name]:.3f}" for column in columns.values()))
    table.add_row("together", *(f"{sum(column.values()):.3f}" for column in columns.values()))
    console = Console(width=120)
    console.print(describe(), highlight=False)
    console.print(table)


def idle_model() -> CausalLM:
    """A model of ``NUM_LAYERS`` layers whose blocks and readouts do nothing."""
    words = word_tokenizer([" ".join(f"w{number}" for number in range(NUM_WORDS - 10))])
    shape = ModelShape(NUM_LAYERS, 8, 8, 1, 1, 8, NUM_WORDS)
    lm = CausalLM(random_model(shape, torch.float32, "cpu"), words)
    vars(lm).update(block=lambda _, hidden, *others: hidden, unembed=lambda normed, out: out[: len(normed)])
    return lm


def measure(decoder: EngineDecoder, share_of_one: float, repeats: int) -> dict[str, float]:
    """Milliseconds a step by function, the least of ``repeats`` after a warm-up."""
    wave = [(layer, sample) for layer in range(2, NUM_LAYERS + 1, 2) for sample in range(NUM_SAMPLES)]
    question, settings = Question("q", "Name a planet", ("Mars",)), SamplingSettings(max_new_tokens=NUM_TOKENS)

    def drawn(logits: Tensor, rows: Tensor, uniforms: Tensor, settings: SamplingSettings) -> tuple[Tensor, Tensor]:
        rest = ((uniforms - share_of_one) / (1 - share_of_one)).clamp(min=0)
        return 3 + (rest * (NUM_WORDS - 13)).long(), uniforms

    runs = []
    with mock.patch.object(readouts, "draw_tokens", drawn):
        for _ in range(repeats + 1):
            with own_seconds() as seconds:
                decode(decoder, question, settings, wave)
            runs.append(seconds)
    return {name: min(run[name] for run in runs[1:]) * 1e3 / NUM_TOKENS for name in runs[0]}


@contextmanager
def own_seconds() -> Iterator[dict[str, float]]:
    """Seconds in each of the ``TIMED`` functions while it lasts, without those of them that it calls."""
    own: defaultdict[str, float] = defaultdict(float)
    inner = [0.0]  # seconds in the timed functions that each of those under way has called

    def timed(function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            inner.append(0.0)
            started = time.perf_counter()
            result = function(*args, **options)
            if isinstance(result, Iterator):
                result = list(result)
            taken = time.perf_counter() - started
            own[name] += taken - inner.pop()
            inner[-1] += taken
            return result

        return call

    with ExitStack() as patches:
        for owner, function, name in TIMED:
            patches.enter_context(mock.patch.object(owner, function, timed(getattr(owner, function), name)))
        yield own


if __name__ == "__main__":
    main()
