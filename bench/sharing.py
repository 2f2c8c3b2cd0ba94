"""How much answers share, and what the work takes here: ``python -m bench.sharing``, about twelve minutes.

Writes ``assets/sharing.json``, from which the page foretells the time of a run (``hcl_core.models.workload``). Counted
from the answers to starter questions themselves, at every second layer. The seconds are fitted to such decodes, and to
those of random models of other shapes: of one shape alone, blocks and readouts grow together and can't be told apart.
How many times as long the reference engine takes is measured with SmolLM2 in both engines; ``--engines``: this alone.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import numpy as np
from rich.console import Console
from scipy.optimize import nnls

from bench.engine import with_prompt
from bench.machine import describe
from bench.other_shapes import save_random
from hcl_core.decode.engine import EngineDecoder, TrieDecoder
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.decode.model.reference_lm import ReferenceLM
from hcl_core.models.shapes import ModelShape
from hcl_core.models.workload import SHARING_FILE, Workload, beginnings, by_layer, product_rate, work_of
from hcl_core.records import Question, Sample, SamplingSettings
from hcl_core.registry import load_model, load_questions, make_decoder
from hcl_core.settings.prompts import load_template

HEADS, TEMPERATURES = ("linear", "shared"), (0.0, 0.3, 0.6, 0.9, 1.2, 1.5)
NUM_SAMPLES, MAX_NEW_TOKENS, STEP = 32, 20, 2
# Layers and width of the random models, and standard deviations of their logits.
OTHER_SHAPES, SPREADS = ((12, 384), (8, 1024)), (1.0, 6.0, 9.0, 12.0)


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=6, help="every eighth of the starter set, so many")
    parser.add_argument("--out", type=Path, default=SHARING_FILE)
    parser.add_argument("--engines", action="store_true", help="compare the engines, and keep all other numbers")
    parser.add_argument("--rates", action="store_true", help="fit the seconds anew, and keep what answers share")
    options = parser.parse_args()
    console = Console(width=120)
    kept = json.loads(options.out.read_text(encoding="utf-8")) if options.rates or options.engines else {}
    lm, checkpoint = load_model("smollm2-135m", "float32")
    questions = load_questions("starter").load(None)[::8][: options.questions]
    times = {"times_of_reference_engine": times_of_reference_engine(lm, checkpoint.path, questions[1], console)}
    if options.engines:
        write(options.out, kept | times)
        return
    heads: dict[str, dict[str, Any]] = {}
    terms, taken = [], []
    for head in HEADS:
        decoder, heads[head] = make_decoder(lm, head, load_template()), {}
        for temperature in TEMPERATURES:  # the warm-up: kernels are compiled for each number of rows
            decode(decoder, questions[0], temperature)
        for temperature in TEMPERATURES:
            decoded = [decode(decoder, question, temperature) for question in questions]
            heads[head][str(temperature)] = sharing([samples for samples, _, _ in decoded])
            terms += [work.terms(lm.shape) for _, work, _ in decoded]
            taken += [seconds for _, _, seconds in decoded]
            console.print(head, temperature, f"{sum(taken[-len(questions) :]):.1f} s", highlight=False)
    for num_layers, hidden_size in OTHER_SHAPES:
        for work, seconds, shape in decodes_of_random(num_layers, hidden_size, questions[:2]):
            terms.append(work.terms(shape))
            taken.append(seconds)
    rates, ratios = fitted(np.array(terms), np.array(taken))
    console.print(f"fitted / taken: {ratios.min():.2f} to {ratios.max():.2f}", highlight=False)
    console.print(" ".join(f"{ratio:.2f}" for ratio in ratios), highlight=False)
    result = {
        "machine": describe(),
        "measured": datetime.now(UTC).date().isoformat(),
        "product_rate": round(product_rate()),
        "seconds": [float(f"{rate:.3g}") for rate in rates],
    }
    write(options.out, result | times | {"heads": kept.get("heads", heads)})


def write(file: Path, table: Mapping[str, Any]) -> None:
    """Store the table, the long part at its end."""
    ordered = {name: table[name] for name in sorted(table, key=lambda name: name == "heads")}
    file.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


def times_of_reference_engine(lm: LanguageModel, folder: Path, question: Question, console: Console) -> float:
    """How many times as long the reference engine takes for the same answers: the mean over heads and temperatures."""
    from transformers import AutoModelForCausalLM

    peer = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", use_safetensors=True)
    reference, ratios = ReferenceLM(peer, lm.tokenizer), []
    for head in HEADS:
        fast = make_decoder(lm, head, load_template())
        slow = TrieDecoder(replace(fast.parts, lm=reference))
        for temperature in TEMPERATURES[::2]:
            decode(fast, question, temperature)  # the warm-up
            ours, theirs = (decode(decoder, question, temperature)[2] for decoder in (fast, slow))
            ratios.append(theirs / ours)
            console.print(f"{head} {temperature}: fast {ours:.2f} s, reference {theirs:.2f} s", highlight=False)
    return float(f"{geometric_mean(ratios):.2g}")


def fitted(terms: np.ndarray, taken: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Seconds a unit of each term, and what they give for each decode over what it took.

    Relative errors count, since a short run matters as much as a long one, and those of most decodes: a machine that
    stalls makes a few ten times as long.
    """
    relative, weights = terms / taken[:, None], np.ones(len(taken))
    scales = relative.max(axis=0)  # else the terms differ by powers of ten, and the solver takes small ones for zero
    for _ in range(20):
        scaled_rates, _ = nnls(relative / scales * weights[:, None], weights)
        rates = scaled_rates / scales
        ratios = relative @ rates
        weights = 1 / np.sqrt(np.maximum(abs(np.log(np.maximum(ratios, 1e-3))), 0.05))
    return rates, ratios


def decodes_of_random(
    num_layers: int, hidden_size: int, questions: Sequence[Question]
) -> Iterator[tuple[Workload, float, ModelShape]]:
    """What random models of that shape take, whose answers share much and little."""
    for spread in SPREADS:
        with tempfile.TemporaryDirectory() as folder:
            save_random(Path(folder), num_layers, hidden_size, spread)
            lm, _ = load_model(folder, "float32")
            decoder = make_decoder(lm, "shared", load_template())
            decode(decoder, questions[0], 1.0)
            for question in questions:
                _, work, seconds = decode(decoder, question, 1.0)
                yield work, seconds, lm.shape


def decode(decoder: EngineDecoder, question: Question, temperature: float) -> tuple[list[Sample], Workload, float]:
    """The answers to one question, the work that they took, and its seconds."""
    layers = range(STEP, decoder.num_hidden_layers + 1, STEP)
    wave = [(layer, sample_idx) for layer in layers for sample_idx in range(NUM_SAMPLES)]
    stored, settings = with_prompt(decoder, question), SamplingSettings(temperature, 0.9, 0, MAX_NEW_TOKENS, 0)
    num_prompt_tokens = len(decoder.parts.tokenize(stored))
    samples: list[Sample] = []
    began = time.perf_counter()
    for progress in decoder.decode(stored, settings, [wave]):
        samples += progress.finished
    seconds = time.perf_counter() - began
    return samples, work_of([samples], num_prompt_tokens), seconds


def sharing(questions: Sequence[Sequence[Sample]]) -> dict[str, Any]:
    """By layer: mean length of the answers that end, share of the others, and exponent of the number of answers."""
    layers = []
    for each in zip(*map(by_layer, questions), strict=True):
        samples = [sample for of_question in each for sample in of_question]
        ended = [len(sample.completion_token_ids) for sample in samples if sample.finish_reason != "length"]
        length = np.mean([len(sample.completion_token_ids) for sample in samples])
        distinct = np.mean([len(beginnings(of_question)) for of_question in each])
        exponent = min(1.0, max(0.0, math.log(distinct / length) / math.log(NUM_SAMPLES)))
        num_tokens = float(np.mean(ended)) if ended else 0.0
        layers.append([round(num_tokens, 2), round(1 - len(ended) / len(samples), 4), round(exponent, 3)])
    rows = sum(work_of([samples], 0).block_rows for samples in questions)
    alone = sum(
        len(beginnings(of_layer)) * of_layer[0].exit_layer for samples in questions for of_layer in by_layer(samples)
    )
    return {"overlap": round(rows / alone, 3), "layers": layers}


if __name__ == "__main__":
    main()
