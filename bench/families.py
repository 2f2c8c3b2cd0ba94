"""The reference and the fast engine side by side: seconds and peak memory of the same answers of random models.

``python -m bench.families``: each measurement is made in a process of its own.
"""

import argparse
import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch

from bench.machine import describe
from bench.random_models import word_tokenizer
from hcl_core.decode.engine import EngineParts, TrieDecoder
from hcl_core.decode.heads.exit_heads import SharedHead
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.model.reference_lm import ReferenceLM
from hcl_core.models.engines import FAST, FAST_FAMILIES, REFERENCE
from hcl_core.records import Question, SamplingSettings, StoredQuestion
from hcl_core.settings.prompts import load_template

_SETTINGS = SamplingSettings(temperature=1.0, top_p=0.95, max_new_tokens=16)
_QUESTION = Question("q", "Name a planet", ("Mars",))
# Eight experts, of which a token has two.
_EXPERTS = {"num_experts": 8, "num_local_experts": 8, "num_experts_per_tok": 2}


def make_model(family: str, hidden_size: int, num_layers: int) -> Any:
    """A random model of ``family``, without a network."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(
        family,
        vocab_size=8192,
        hidden_size=hidden_size,
        intermediate_size=hidden_size if family == "mixtral" else 4 * hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=hidden_size // 8,
        max_position_embeddings=1024,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        **({"moe_intermediate_size": hidden_size} | _EXPERTS if family in ("mixtral", "qwen3_moe") else {}),
    )
    return AutoModelForCausalLM.from_config(config, attn_implementation="eager")


def measure(family: str, engine: str, hidden_size: int, num_layers: int, num_samples: int) -> tuple[float, float]:
    """Seconds of all layers' answers to a question, and the MiB that decoding added at most."""
    model, tokenizer = make_model(family, hidden_size, num_layers), word_tokenizer([load_template().text])
    lm = CausalLM(model, tokenizer) if engine == FAST else ReferenceLM(model, tokenizer)
    decoder = TrieDecoder(EngineParts(lm, SharedHead(), load_template()))
    stored = StoredQuestion(_QUESTION, decoder.prompt_for(_QUESTION))
    keys = [(layer, idx) for layer in range(1, num_layers + 1) for idx in range(num_samples)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = []
    for _ in range(2):  # the first compiles kernels
        started = time.perf_counter()
        for _ in decoder.decode(stored, _SETTINGS, [keys]):
            pass
        times.append(time.perf_counter() - started)
    return min(times), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    """Print a row for each family."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden-size", type=int, default=256)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--families", nargs="+", choices=FAST_FAMILIES, default=FAST_FAMILIES)
    options = parser.parse_args()
    print(describe())
    print("| family | fast: s | reference: s | times | fast: MiB | reference: MiB |\n|---|---|---|---|---|---|")
    for family in options.families:
        seconds, mebibytes = {}, {}
        for engine in (FAST, REFERENCE):
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                measured = process.submit(measure, family, engine, options.hidden_size, options.layers, options.samples)
                seconds[engine], mebibytes[engine] = measured.result()
        cells = [f"{seconds[FAST]:.2f}", f"{seconds[REFERENCE]:.2f}", f"{seconds[REFERENCE] / seconds[FAST]:.1f}"]
        print(f"| {' | '.join([family, *cells, *(f'{mebibytes[each]:.0f}' for each in seconds)])} |", flush=True)


if __name__ == "__main__":
    main()
