"""The engine on a GPU, by one command without a network: ``python -m bench.gpu``.

First the tests that need CUDA. Then, on random weights at the shapes of the LayerSkip checkpoints that fit the card, in
bfloat16 and with the paper's protocol (50 answers of 50 tokens at every second layer):

- one question, and its share of the card's limit: the longer of moving the bytes and doing the operations of the same
  calls (weights once a call of a block or a readout; logits written once and read five times; keys, values and
  activations are left out), by a copy and a product that are measured on the same card;
- its terms: the calls of that run made again, blocks without attention and readouts without draws; the rest is
  attention, draws and the host's work;
- ``bench.estimate`` with the card's measured limits and the sharing that this run had;
- the same question and a set of questions at once by each kind of attention (``models.attention_kinds``), the second
  of two decodes, as kernels may be compiled in the first;
- a set of questions at once, self-speculation, and ``transformers``' ``generate`` layer by layer, with all answers of a
  layer as one batch and one at a time.

Sharing is set by sharpened logits (``bench.random_models``): nothing shared, and much. The result is one JSON and two
tables. ``--device cpu --tiny`` takes a minute and shows that it runs; its numbers say nothing of a GPU.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from bench.engine import generate, generate_all, ours, seconds, with_prompt
from bench.estimate import LAYERS, PAPER, Gpu, Protocol, estimate
from bench.machine import describe
from bench.random_models import random_model, set_spread, word_tokenizer
from bench.recorded import recorded, replay, sharing_of
from hcl_core.decode.engine import EngineDecoder
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.model.memory import free_memory
from hcl_core.decode.timing import benchmark_strategies
from hcl_core.models.attention_kinds import ATTENTION_KINDS, AttentionKind
from hcl_core.models.catalogue import CATALOGUE
from hcl_core.models.footprint import WEIGHT_FORMATS, footprint, scratch_bytes
from hcl_core.models.shapes import ModelShape
from hcl_core.models.speed_records import SpeedReport
from hcl_core.ports import DecodeRequest
from hcl_core.records import Question, SamplingSettings
from hcl_core.registry import load_questions, make_decoder
from hcl_core.settings.layers import parse_layers
from hcl_core.settings.prompts import load_template
from hcl_core.settings.strategies import EARLY_EXIT, Strategy

# Standard deviation of the logits by what answers share.
SPREADS = {"nothing shared": 1.0, "much shared": 12.0}
TINY = {"tiny": ModelShape(4, 64, 128, 4, 2, 16, 2048)}
TINY_PROTOCOL = Protocol(samples=3, tokens=4)
_DTYPE = torch.bfloat16
_ROOT = Path(__file__).parent.parent


def main() -> None:
    """Test, measure, write the JSON and print the table."""
    options = parse_options()
    console = Console(width=160)
    found: dict[str, Any] = {"machine": describe("transformers"), "device": options.device, "tiny": options.tiny}
    found["tests"] = "not run" if options.device == "cpu" else cuda_tests()
    console.print(f"{found['machine']}; tests for CUDA: {found['tests']}", highlight=False)
    card = card_limits(options.device, size=512 if options.tiny else 8192)
    found["card"] = asdict(card)
    shapes = TINY if options.tiny else {known.name: known.shape for known in CATALOGUE if known.name in options.models}
    found["models"], found["left_out"] = {}, [name for name in shapes if not fits(shapes[name], options.device)]
    for name, shape in shapes.items():
        if name in found["left_out"]:
            console.print(f"{name} does not fit the free memory")
        else:
            found["models"][name] = measure_model(shape, card, options)
        options.out.write_text(json.dumps(found, indent=1), encoding="utf-8")  # what is there when a later model fails
    console.print(
        f"{card.name}: {card.bandwidth / 1e9:.0f} GB/s by a copy, {card.flops / 1e12:.2f} TFLOP/s by a product, "
        f"{card.launch * 1e6:.1f} us a kernel; {options.protocol.samples} answers of {options.protocol.tokens} tokens "
        f"at layers {LAYERS}; seconds, of a set for each of its {options.questions_at_once} questions",
        highlight=False,
    )
    console.print(as_table(found["models"]))
    console.print(attention_table(found["models"]))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="CUDA_VISIBLE_DEVICES chooses a card")
    parser.add_argument("--tiny", action="store_true", help="a tiny model and few answers")
    parser.add_argument(
        "--models",
        nargs="+",
        choices=[known.name for known in CATALOGUE],
        default=[known.name for known in CATALOGUE if known.is_layerskip],
        help="default: all of LayerSkip; those that do not fit the card are left out",
    )
    parser.add_argument("--questions-at-once", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3, help="of ours, after a warm-up")
    parser.add_argument("--singles", type=int, default=1, help="answers a layer that are timed one at a time")
    parser.add_argument("--ours-only", action="store_true", help="skip the slow methods")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    options = parser.parse_args()
    options.protocol = TINY_PROTOCOL if options.tiny else PAPER
    if options.device != "cpu" and not torch.cuda.is_available():
        parser.error("torch finds no CUDA GPU here; --device cpu --tiny shows that the command runs")
    return options


def cuda_tests() -> str:
    """The last line of pytest about the tests marked for CUDA."""
    command = [sys.executable, "-m", "pytest", "-m", "cuda", "-p", "no:cacheprovider", "--durations=0", "tests"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True)
    return (done.stdout.strip().splitlines() or ["no output"])[-1]


def card_limits(device: str, size: int) -> Gpu:
    """Bandwidth, operations a second and seconds a kernel, each the best of five, all of which count as reached."""
    source = torch.empty(size, size, 8, dtype=_DTYPE, device=device)
    target, small = torch.empty_like(source), torch.zeros(1, device=device)
    left, right = (torch.randn(size, size, device=device).to(_DTYPE) for _ in range(2))

    def best(work: Any) -> float:
        return min(seconds(work) for _ in range(6))

    bandwidth = 2 * source.numel() * source.element_size() / best(lambda: target.copy_(source))
    flops = 2 * size**3 / best(lambda: left @ right)
    launch = best(lambda: [small.add_(1) for _ in range(1000)]) / 1000
    name = torch.cuda.get_device_name(device) if device != "cpu" else "CPU"
    return Gpu(name, bandwidth, flops, bandwidth_reach=1.0, flops_reach=1.0, launch=launch)


def fits(shape: ModelShape, device: str) -> bool:
    """Whether the model and one answer fit, with a fifth left for many answers and for ``generate``."""
    needs = footprint(shape, WEIGHT_FORMATS["bfloat16"], on_cpu=device == "cpu")
    return needs.minimum < 0.8 * free_memory(torch.device(device))


def measure_model(shape: ModelShape, card: Gpu, options: argparse.Namespace) -> dict[str, Any]:
    """Every method on random weights of ``shape``, by sharing."""
    questions = load_questions("starter").load(options.questions_at_once)
    tokenizer = word_tokenizer([load_template().render(question.text) for question in questions])
    found: dict[str, Any] = {}
    for label, spread in SPREADS.items():
        model = random_model(shape, _DTYPE, options.device)
        set_spread(model, spread)
        # With separate products it holds no weights of its own on a GPU, and leaves the model whole.
        peers = {} if options.ours_only else time_peers(CausalLM(model, tokenizer, is_fused=False), model, options)
        lm = CausalLM(model, tokenizer, release=True)
        found[label] = peers | measure_engine(lm, questions, card, options)
        del model, lm
    return found


def sampling(protocol: Protocol) -> SamplingSettings:
    return SamplingSettings(0.6, 0.9, 0, protocol.tokens, 0)


def time_peers(lm: CausalLM, model: Any, options: argparse.Namespace) -> dict[str, float]:
    """Seconds of ``generate`` layer by layer for the first question: in batches, and one at a time, scaled up."""
    protocol, question = options.protocol, load_questions("starter").load(1)[0]
    layers, settings = parse_layers(LAYERS, lm.num_hidden_layers), sampling(options.protocol)
    generate(lm, model, question, layers[0], 2, settings)  # warm-up
    batched = seconds(lambda: generate_all(lm, model, question, layers, protocol.samples, settings))
    singles = [seconds(lambda: generate_all(lm, model, question, layers, 1, settings)) for _ in range(options.singles)]
    one_at_a_time = {"one_at_a_time": statistics.mean(singles) * protocol.samples} if singles else {}
    return {"batched": batched} | one_at_a_time


def measure_engine(
    lm: CausalLM, questions: Sequence[Question], card: Gpu, options: argparse.Namespace
) -> dict[str, Any]:
    """One question with its terms, limit and estimate; a set of questions; self-speculation."""
    protocol, settings = options.protocol, sampling(options.protocol)
    layers = parse_layers(LAYERS, lm.num_hidden_layers)

    def one_question() -> None:
        ours(lm, questions[0], layers, protocol.samples, settings)

    with recorded(lm) as work:
        one_question()  # the warm-up too
    took = statistics.median(seconds(one_question) for _ in range(options.repeats))
    replayed = replay(lm, work)
    shared = sharing_of(work, layers, protocol)
    asked = replace(protocol, prompt_tokens=work.blocks[0][1])
    expected = estimate(lm.shape, card, shared, layers, scratch=scratch_bytes(options.device), protocol=asked)
    limit = card.seconds(work.bytes_moved(lm.shape), work.operations(lm.shape))
    decoder = make_decoder(lm, "shared", load_template())
    wave = [(layer, sample_idx) for layer in layers for sample_idx in range(protocol.samples)]
    answer_set(decoder, questions[:2], wave, settings)  # warm-up
    return {
        "question": took,
        "limit": limit,
        "share_of_limit": limit / took,
        "terms": replayed | {"rest": took - sum(replayed.values())},
        "sharing": asdict(shared),
        "estimate": asdict(expected) | {"total": expected.total},
        "own_attention": lm.attention,
        "attention": {kind: time_attention(lm, kind, questions, wave, settings) for kind in ATTENTION_KINDS},
        "set_a_question": seconds(lambda: answer_set(decoder, questions, wave, settings)) / len(questions),
        "num_questions": len(questions),
        "speed": speculation(decoder, questions[:2], settings.max_new_tokens, options.repeats),
    }


def time_attention(
    lm: CausalLM,
    kind: AttentionKind,
    questions: Sequence[Question],
    wave: Sequence[tuple[int, int]],
    settings: SamplingSettings,
) -> dict[str, Any]:
    """Seconds of the first question and, for each, of all; or the error: a kind may need a compiler or much memory."""
    own, lm.attention = lm.attention, kind
    decoder = make_decoder(lm, "shared", load_template())
    try:
        took = {}
        for name, asked in (("question", questions[:1]), ("set_a_question", questions)):
            answer_set(decoder, asked, wave, settings)  # warm-up
            took[name] = seconds(partial(answer_set, decoder, asked, wave, settings)) / len(asked)
        return took
    except Exception as error:  # whatever it is, the other kinds are measured
        return {"error": f"{type(error).__name__}: {error}"[:500]}
    finally:
        lm.attention = own


def answer_set(
    decoder: EngineDecoder, questions: Sequence[Question], wave: Sequence[tuple[int, int]], settings: SamplingSettings
) -> None:
    """The answers of ``wave`` to every question, all questions at once."""
    requests = [DecodeRequest(with_prompt(decoder, question), settings, [wave]) for question in questions]
    for _ in decoder.decode_many(requests, at_once=len(requests)):
        pass


def speculation(
    decoder: EngineDecoder, questions: Sequence[Question], max_new_tokens: int, repeats: int
) -> list[dict[str, Any]]:
    """Rows of the ``speed`` command, greedy: full decoding, and four drafts by a quarter and by half of the layers."""
    depth = decoder.num_hidden_layers
    strategies = [(EARLY_EXIT, depth), *((Strategy("self_speculative", 4), depth // part) for part in (4, 2))]
    settings = SamplingSettings(temperature=0, max_new_tokens=max_new_tokens)
    *_, report = benchmark_strategies(decoder.parts, "", questions, settings, strategies, repeats)
    assert isinstance(report, SpeedReport)  # the last event
    return [asdict(row) for row in report.rows]


def as_table(models: dict[str, Any]) -> Table:
    """A row a model and sharing; seconds."""
    heads = ("model", "", "rows left", "a question", "of limit", "blocks", "readouts", "rest", "estimate")
    table = Table(*heads, "in a set", "batched", "one at a time", "drafting", box=None)
    for name, by_sharing in models.items():
        for label, row in by_sharing.items():
            terms, peers = row["terms"], [row.get(peer) for peer in ("batched", "one_at_a_time")]
            table.add_row(
                name,
                label,
                f"{row['sharing']['blocks']:.0%}",
                f"{row['question']:.3f}",
                f"{row['share_of_limit']:.0%}",
                *(f"{terms[term]:.3f}" for term in ("blocks", "readouts", "rest")),
                f"{row['estimate']['total']:.3f}",
                f"{row['set_a_question']:.3f}",
                *("" if took is None else f"{took:.1f} ({took / row['question']:.0f}x)" for took in peers),
                ", ".join(f"{drafted['ratio']:.2f}x" for drafted in row["speed"][1:]),
            )
    return table


def attention_table(models: dict[str, Any]) -> Table:
    """A row a model, sharing and kind of attention; seconds."""
    table = Table("model", "", "attention", "a question", "in a set", box=None)
    for name, by_sharing in models.items():
        for label, row in by_sharing.items():
            for kind, took in row["attention"].items():
                cells = ["failed", ""] if "error" in took else [f"{each:.3f}" for each in took.values()]
                table.add_row(name, label, f"{kind} (own)" if kind == row["own_attention"] else kind, *cells)
    return table


if __name__ == "__main__":
    main()
