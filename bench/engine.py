"""The engine against the methods it replaces, side by side in one run: ``python -m bench.engine`` or ``make bench``.

Equal work: the same model, prompts, exit layers, samples and sampling, and the same end of an answer.

- ours: every layer and sample at once, from one token trie.
- batched: ``transformers``' ``generate`` on the model cut to the layer, all samples as one batch, layer after layer.
- one at a time: the same with a batch of one, as the published script does; some samples a layer, scaled up.

Also: the rate of the operations that our answers need (rows through blocks and readouts; neither attention nor the
rows that are padding is counted), the machine's own float32 matrix-product rates, of torch's product and of a packed
one, and the peak memory of a process that does nothing but our run.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from transformers import AutoModelForCausalLM, StoppingCriteria, StoppingCriteriaList

from bench.machine import describe
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.decode.model.linear import affine
from hcl_core.ports import Decoder
from hcl_core.records import Question, SamplingSettings, StoredQuestion
from hcl_core.registry import load_model, load_questions, make_decoder
from hcl_core.settings.layers import parse_layers
from hcl_core.settings.prompts import load_template


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--questions", type=int, default=3, help="the first so many of the starter set")
    parser.add_argument("--layers", default="2:30:2")
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--max-new-tokens", type=int, default=16)
    parser.add_argument("--temperature", type=float, default=0.6)
    parser.add_argument("--repeats", type=int, default=3, help="of ours and of the matrix product, interleaved")
    parser.add_argument("--singles", type=int, default=2, help="samples a layer that are timed one at a time")
    parser.add_argument("--ours-only", action="store_true", help="skip the slow methods")
    parser.add_argument("--memory-only", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    settings = SamplingSettings(options.temperature, 0.9, 0, options.max_new_tokens, 0)
    lm, checkpoint = load_model(options.model)
    layers = parse_layers(options.layers, lm.num_hidden_layers)
    questions = load_questions("starter").load(options.questions)
    if options.memory_only:
        ours(lm, questions[0], layers, options.samples, settings)
        print(json.dumps({"peak_mib": high_water_mark()}))
        return
    peer = load_peer(lm, checkpoint.path)
    rows = [measure(lm, peer, question, layers, settings, options) for question in questions]
    report(rows, layers, options, peak_memory())


def load_peer(lm: LanguageModel, checkpoint: Path) -> Any:
    """``transformers``' own model of the same weights, as it comes."""
    peer = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=lm.dtype, use_safetensors=True)
    return peer.to(lm.readout_device).eval()


def measure(
    lm: LanguageModel,
    peer: Any,
    question: Question,
    layers: tuple[int, ...],
    settings: SamplingSettings,
    options: argparse.Namespace,
) -> dict[str, float]:
    """All methods on one question; seconds, operations and rates."""
    ours(lm, question, layers, 2, settings)  # warm-up
    product_rates, packed_rates, our_times = [], [], []
    for _ in range(options.repeats):
        product_rates.append(matrix_product_rate())
        packed_rates.append(matrix_product_rate(packed=True))
        our_times.append(seconds(lambda: ours(lm, question, layers, options.samples, settings)))
    with counted(lm) as count:
        ours(lm, question, layers, options.samples, settings)
    flops = count["block_rows"] * lm.block_flops + count["readouts"] * 2 * lm.hidden_size * lm.vocab_size
    our_time = statistics.median(our_times)
    measured = {
        "ours": our_time,
        "rate": flops / our_time / 1e9,
        "product_rate": statistics.median(product_rates),
        "packed_rate": statistics.median(packed_rates),
    }
    if options.ours_only:
        return measured
    generate(lm, peer, question, layers[0], 2, settings)  # warm-up
    batched = seconds(lambda: generate_all(lm, peer, question, layers, options.samples, settings))
    one_each = [seconds(lambda: generate_all(lm, peer, question, layers, 1, settings)) for _ in range(options.singles)]
    return measured | {"batched": batched, "singles": statistics.mean(one_each) * options.samples}


def ours(
    lm: LanguageModel, question: Question, layers: tuple[int, ...], num_samples: int, settings: SamplingSettings
) -> None:
    """Every layer and sample in one wave, prefill included."""
    decoder = make_decoder(lm, "shared", load_template())
    wave = [(layer, sample_idx) for layer in layers for sample_idx in range(num_samples)]
    for _ in decoder.decode(with_prompt(decoder, question), settings, [wave]):
        pass


def with_prompt(decoder: Decoder, question: Question) -> StoredQuestion:
    """``question`` with the prompt that ``decoder`` makes of it."""
    return StoredQuestion(question, decoder.prompt_for(question))


def generate(
    lm: LanguageModel, peer: Any, question: Question, exit_layer: int, num_samples: int, settings: SamplingSettings
) -> None:
    """``transformers``' own sampling from the model cut to ``exit_layer`` blocks."""
    prompt = lm.tokenizer(load_template().render(question.text), return_tensors="pt").to(lm.readout_device)
    first_line_ended = StoppingCriteriaList([FirstLineEnded(lm, prompt.input_ids.shape[1])])
    with cut_to(peer, exit_layer), torch.inference_mode():
        peer.generate(
            **prompt,
            do_sample=True,
            temperature=settings.temperature,
            top_p=settings.top_p,
            top_k=0,
            max_new_tokens=settings.max_new_tokens,
            num_return_sequences=num_samples,
            stopping_criteria=first_line_ended,
            eos_token_id=sorted(lm.stop_token_ids),
            pad_token_id=min(lm.stop_token_ids),
        )


class FirstLineEnded(StoppingCriteria):
    """Ends a row where the engine ends an answer: at the first newline after some text."""

    def __init__(self, lm: LanguageModel, num_prompt_tokens: int) -> None:
        self._lm, self._num_prompt_tokens = lm, num_prompt_tokens
        self._texts: dict[int, str] = {}

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        """``[num_samples]`` whether each row has ended."""
        ended = ["\n" in self._text(row).lstrip() for row in input_ids[:, self._num_prompt_tokens :].tolist()]
        return torch.tensor(ended, device=input_ids.device)

    def _text(self, token_ids: list[int]) -> str:
        for token_id in token_ids:
            if token_id not in self._texts:
                self._texts[token_id] = self._lm.detokenize([token_id])
        return "".join(self._texts[token_id] for token_id in token_ids)


def generate_all(
    lm: LanguageModel,
    peer: Any,
    question: Question,
    layers: tuple[int, ...],
    num_samples: int,
    settings: SamplingSettings,
) -> None:
    """One ``generate`` a layer."""
    for exit_layer in layers:
        generate(lm, peer, question, exit_layer, num_samples, settings)


@contextmanager
def cut_to(model: Any, exit_layer: int) -> Iterator[None]:
    """``transformers``' model has its first ``exit_layer`` blocks only, meanwhile."""
    blocks, count = model.model.layers, model.config.num_hidden_layers
    model.model.layers, model.config.num_hidden_layers = blocks[:exit_layer], exit_layer
    try:
        yield
    finally:
        model.model.layers, model.config.num_hidden_layers = blocks, count


@contextmanager
def counted(lm: LanguageModel) -> Iterator[dict[str, int]]:
    """Counts, while it lasts, rows through blocks (the prompt's among them) and rows read out."""
    count = {"block_rows": 0, "readouts": 0}

    def on_block(_: int, num_rows: int) -> None:
        count["block_rows"] += num_rows

    def on_readout(num_rows: int) -> None:
        count["readouts"] += num_rows

    with noted(lm, on_block, on_readout):
        yield count


@contextmanager
def noted(
    lm: LanguageModel, on_block: Callable[[int, int], object], on_readout: Callable[[int], object]
) -> Iterator[None]:
    """Calls ``on_block`` with layer and rows of each block, and ``on_readout`` with the rows of each readout."""
    assert isinstance(lm, CausalLM)
    block, unembed = lm.block, lm.unembed

    def noting_block(layer: int, hidden: Any, *others: Any) -> Any:
        on_block(layer, len(hidden))
        return block(layer, hidden, *others)

    def noting_unembed(normed: Any, out: Any) -> Any:
        on_readout(len(normed))
        return unembed(normed, out)

    vars(lm).update(block=noting_block, unembed=noting_unembed)  # in front of the methods
    try:
        yield
    finally:
        del vars(lm)["block"], vars(lm)["unembed"]


def matrix_product_rate(size: int = 2048, *, packed: bool = False) -> float:
    """GFLOP/s of a square float32 product on this machine: torch's own, or ours with a packed matrix."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    left, right = torch.randn(size, size, device=device), torch.randn(size, size, device=device)
    product = affine(right) if packed else lambda rows: torch.mm(rows, right)
    with torch.inference_mode():
        product(left)
        return 2 * size**3 * 3 / seconds(lambda: [product(left) for _ in range(3)]) / 1e9


def seconds(work: Callable[[], object]) -> float:
    """How long ``work`` takes."""
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def peak_memory() -> float:
    """Peak resident MiB of a fresh process that loads the model and does our run of the first question."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--memory-only"]
    command = [sys.executable, "-m", "bench.engine", *arguments, "--memory-only"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(json.loads(output.splitlines()[-1])["peak_mib"])


def high_water_mark() -> float:
    """Peak resident MiB of this process; not ``ru_maxrss``, which a child inherits from its parent."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


def report(
    rows: Sequence[dict[str, float]], layers: tuple[int, ...], options: argparse.Namespace, peak_mib: float
) -> None:
    """Print medians over the questions, as the README quotes them."""
    console = Console(width=120)

    def median(name: str) -> float:
        return statistics.median(row[name] for row in rows)

    def ratio(name: str) -> str:
        return f"{statistics.median(row[name] / row['ours'] for row in rows):.0f}x"

    console.print(
        f"{options.model}, {len(layers)} layers ({options.layers}) x {options.samples} samples x up to "
        f"{options.max_new_tokens} tokens, T {options.temperature:g}, top_p 0.9; median of {len(rows)} questions; "
        f"{describe('transformers')}",
        highlight=False,
    )
    table = Table("method", "seconds", "against ours", box=None)
    table.add_row("ours: one token trie, every layer at once", f"{median('ours'):.2f}", "1x")
    if not options.ours_only:
        table.add_row(
            "generate on the truncated model, batched, layer by layer", f"{median('batched'):.1f}", ratio("batched")
        )
        table.add_row(
            f"the same, one sample at a time ({options.singles} a layer timed, scaled up)",
            f"{median('singles'):.0f}",
            ratio("singles"),
        )
    console.print(table)
    products = {"product_rate": "by torch", "packed_rate": "with a packed matrix"}

    def share(name: str) -> str:
        reached = statistics.median(row["rate"] / row[name] for row in rows)
        return f"{reached:.0%} of this machine's float32 matrix product {products[name]} ({median(name):.0f} GFLOP/s)"

    console.print(
        f"decode loop {median('rate'):.0f} GFLOP/s: {share('product_rate')}, {share('packed_rate')}; "
        f"peak memory {peak_mib:.0f} MiB, weights included",
        highlight=False,
    )


if __name__ == "__main__":
    main()
