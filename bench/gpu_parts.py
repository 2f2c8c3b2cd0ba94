"""What ``bench.gpu`` measures: the set-ups, each of which gives its measurements by name, and the measurements."""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench.engine import generate, generate_all, ours, seconds, with_prompt
from bench.estimate import LAYERS, Gpu, Protocol, estimate
from bench.in_turn import Measurements
from bench.machine import describe
from bench.random_models import copy_on, random_model, set_spread, word_tokenizer
from bench.recorded import recorded, replay, sharing_of
from hcl_core.decode.engine import EngineDecoder
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.model.memory import free_memory
from hcl_core.decode.timing import benchmark_strategies
from hcl_core.models.attention_kinds import ATTENTION_KINDS, AttentionKind, attention_on
from hcl_core.models.footprint import scratch_bytes
from hcl_core.models.shapes import ModelShape
from hcl_core.models.speed_records import SpeedReport
from hcl_core.ports import Decoder, DecodeRequest
from hcl_core.records import Question, SampleKey, SamplingSettings
from hcl_core.registry import ReplicatedDecoder, load_questions, make_decoder
from hcl_core.settings.layers import parse_layers
from hcl_core.settings.prompts import load_template
from hcl_core.settings.strategies import EARLY_EXIT, Strategy

QUESTION, DRAFTING, REPLICAS, BATCHED, ONE_AT_A_TIME = "a question", "drafting", "replicas", "batched", "one at a time"
DTYPE = torch.bfloat16
_ROOT = Path(__file__).parent.parent
_MOST_OUTPUT = 20_000  # characters of the tests' output


def attention_names(device_type: str) -> dict[AttentionKind, str]:
    """The measurement of each kind of attention; the device's own comes first."""
    own = attention_on(device_type)
    return {kind: f"attention {kind}" for kind in sorted(ATTENTION_KINDS, key=lambda kind: kind != own)}


def cuda_tests(limit: float) -> dict[str, Any]:
    """Last line and output of pytest about the tests marked for CUDA; after ``limit`` seconds it is stopped."""
    command = [sys.executable, "-m", "pytest", "-v", "-m", "cuda", "-p", "no:cacheprovider", "--durations=0"]
    # A file whose packages are not here must not keep the others from running.
    command += ["--continue-on-collection-errors", "tests"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    started = time.perf_counter()
    try:
        output = subprocess.run(
            command, cwd=_ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit
        ).stdout
    except subprocess.TimeoutExpired as expired:
        output = (expired.output or b"") + f"\nstopped after {limit:.0f} s".encode()
    text, took = output.decode(errors="replace").strip(), time.perf_counter() - started
    return {"summary": text.rpartition("\n")[2] or "no output", "output": text[-_MOST_OUTPUT:], "took": took}


# Set-ups: each is called in a process of its own.


def of_card(options: argparse.Namespace) -> Measurements:
    """The devices, and what the first one can do."""
    use(options)
    return {
        "devices": partial(describe_devices, options.devices),
        "limits": lambda: asdict(card_limits(options.device, size=512 if options.tiny else 8192)),
    }


def of_engine(shape: ModelShape, spread: float, card: Gpu, options: argparse.Namespace) -> Measurements:
    """One question, the kinds of attention, and drafting."""
    use(options)
    questions, tokenizer = questions_and_tokenizer(options)
    lm = CausalLM(spread_model(shape, spread, options), tokenizer, release=True)
    kinds = attention_names(lm.readout_device.type).items()
    return {
        QUESTION: partial(measure_question, lm, questions[0], card, options),
        **{name: partial(time_attention, lm, kind, questions, options.protocol) for kind, name in kinds},
        DRAFTING: partial(speculation, lm, questions[:2], options.protocol.tokens, options.repeats),
    }


def of_replicas(shape: ModelShape, spread: float, options: argparse.Namespace) -> Measurements:
    """The set by a replica on each device."""
    use(options)
    questions, tokenizer = questions_and_tokenizer(options)
    first = spread_model(shape, spread, options)
    models = [first, *(copy_on(first, device) for device in options.devices[1:])]
    decoders = [make_decoder(CausalLM(each, tokenizer, release=True), "shared", load_template()) for each in models]
    return {REPLICAS: partial(time_replicas, decoders, questions, options.protocol)}


def of_peers(shape: ModelShape, spread: float, options: argparse.Namespace) -> Measurements:
    """``transformers``' ``generate``, layer by layer, for the first question."""
    use(options)
    questions, tokenizer = questions_and_tokenizer(options)
    model = spread_model(shape, spread, options)
    lm = CausalLM(model, tokenizer, is_fused=False)  # with separate products it leaves the model whole
    protocol, settings = options.protocol, sampling(options.protocol)
    layers = parse_layers(LAYERS, lm.num_hidden_layers)
    generate(lm, model, questions[0], layers[0], 2, settings)  # warm-up

    def take(num_samples: int) -> float:
        return seconds(lambda: generate_all(lm, model, questions[0], layers, num_samples, settings))

    def singles() -> dict[str, float]:
        return {"seconds": statistics.mean(take(1) for _ in range(options.singles)) * protocol.samples}

    return {BATCHED: lambda: {"seconds": take(protocol.samples)}, ONE_AT_A_TIME: singles}


# What set-ups need.


def use(options: argparse.Namespace) -> None:
    """Wait for the device that is measured, where torch waits for a GPU."""
    if options.device != "cpu":
        torch.cuda.set_device(options.device)


def questions_and_tokenizer(options: argparse.Namespace) -> tuple[list[Question], Any]:
    """The set, and a tokenizer that has its words."""
    questions = list(load_questions("starter").load(options.questions_at_once))
    return questions, word_tokenizer([load_template().render(question.text) for question in questions])


def spread_model(shape: ModelShape, spread: float, options: argparse.Namespace) -> Any:
    """Random weights whose logits have the standard deviation ``spread``, the same in every process."""
    model = random_model(shape, DTYPE, options.device)
    set_spread(model, spread)
    return model


def sampling(protocol: Protocol) -> SamplingSettings:
    """As the paper draws, with the protocol's tokens."""
    return SamplingSettings(0.6, 0.9, 0, protocol.tokens, 0)


def wave_of(layers: Sequence[int], protocol: Protocol) -> list[tuple[int, int]]:
    """All answers to a question."""
    return [(layer, sample_idx) for layer in layers for sample_idx in range(protocol.samples)]


# Measurements.


def describe_devices(devices: Sequence[str]) -> dict[str, Any]:
    """The machine, and of each device its name and the bytes free on it."""
    names = [torch.cuda.get_device_name(each) if each != "cpu" else "CPU" for each in devices]
    free = [free_memory(torch.device(each)) for each in devices]
    return {"machine": describe("transformers"), "names": names, "free": free}


def card_limits(device: str, size: int) -> Gpu:
    """Bandwidth, operations a second and seconds a kernel, each the best of five, all of which count as reached."""
    source = torch.empty(size, size, 8, dtype=DTYPE, device=device)
    target, small = torch.empty_like(source), torch.zeros(1, device=device)
    left, right = (torch.randn(size, size, device=device).to(DTYPE) for _ in range(2))

    def best(work: Any) -> float:
        return min(seconds(work) for _ in range(6))

    bandwidth = 2 * source.numel() * source.element_size() / best(lambda: target.copy_(source))
    flops = 2 * size**3 / best(lambda: left @ right)
    launch = best(lambda: [small.add_(1) for _ in range(1000)]) / 1000
    name = torch.cuda.get_device_name(device) if device != "cpu" else "CPU"
    return Gpu(name, bandwidth, flops, bandwidth_reach=1.0, flops_reach=1.0, launch=launch)


def measure_question(lm: CausalLM, question: Question, card: Gpu, options: argparse.Namespace) -> dict[str, Any]:
    """One question with its terms, limit and estimate."""
    protocol, layers = options.protocol, parse_layers(LAYERS, lm.num_hidden_layers)

    def ask() -> None:
        ours(lm, question, layers, protocol.samples, sampling(protocol))

    with recorded(lm) as work:
        ask()  # the warm-up too
    took = statistics.median(seconds(ask) for _ in range(options.repeats))
    replayed = replay(lm, work)
    shared = sharing_of(work, layers, protocol)
    asked = replace(protocol, prompt_tokens=work.prompt_tokens)
    scratch = scratch_bytes(lm.readout_device.type)
    expected = estimate(lm.shape, card, shared, layers, scratch=scratch, protocol=asked)
    limit = card.seconds(work.bytes_moved(lm.shape), work.operations(lm.shape))
    return {
        "seconds": took,
        "limit": limit,
        "share_of_limit": limit / took,
        "terms": replayed | {"rest": took - sum(replayed.values())},
        "sharing": asdict(shared),
        "estimate": asdict(expected) | {"total": expected.total},
    }


def time_attention(
    lm: CausalLM, kind: AttentionKind, questions: Sequence[Question], protocol: Protocol
) -> dict[str, float]:
    """Seconds of the first question and, for each, of all of them at once, by one kind of attention."""
    own, lm.attention = lm.attention, kind
    decoder, took = make_decoder(lm, "shared", load_template()), {}
    try:
        for name, asked in (("question", questions[:1]), ("in_a_set", questions)):
            answers(decoder, asked, protocol)  # warm-up
            took[name] = seconds(partial(answers, decoder, asked, protocol)) / len(asked)
    finally:
        lm.attention = own
    return took


def answers(
    decoder: Decoder, questions: Sequence[Question], protocol: Protocol, at_once: int | None = None
) -> list[dict[SampleKey, tuple[int, ...]]]:
    """Token ids of all answers to each question, by layer and sample; as many questions ``at_once``, else all."""
    wave = wave_of(parse_layers(LAYERS, decoder.num_hidden_layers), protocol)
    requests = [DecodeRequest(with_prompt(decoder, each), sampling(protocol), [wave]) for each in questions]
    found: dict[DecodeRequest, dict[SampleKey, tuple[int, ...]]] = {request: {} for request in requests}
    for request, progress in decoder.decode_many(requests, at_once or len(requests)):
        found[request] |= {sample.key: sample.completion_token_ids for sample in progress.finished}
    return list(found.values())


def time_replicas(
    decoders: Sequence[EngineDecoder], questions: Sequence[Question], protocol: Protocol
) -> dict[str, Any]:
    """Seconds of the set by the first replica and by all, and how many questions have equal answers by both.

    Of questions that are answered together some last bits depend on the company, which differs: so some are also asked
    one at a time, which must be equal on cards of one kind.
    """
    ways: dict[str, Decoder] = {"one": decoders[0], "all": ReplicatedDecoder(decoders)}
    few, found = questions[: 2 * len(decoders)], {}
    alone = {name: answers(decoder, few, protocol, at_once=1) for name, decoder in ways.items()}  # the warm-up too
    took = {}
    for name, decoder in ways.items():
        started = time.perf_counter()
        found[name] = answers(decoder, questions, protocol)  # on the host when it returns
        took[name] = time.perf_counter() - started
    return {
        "num_replicas": len(decoders),
        "seconds": took,
        "ratio": took["one"] / took["all"],
        "equal": equal(found["one"], found["all"]),
        "num_questions": len(questions),
        "equal_alone": equal(alone["one"], alone["all"]),
        "num_alone": len(few),
    }


def equal(some: Sequence[Any], others: Sequence[Any]) -> int:
    """How many entries are the same."""
    return sum(one == other for one, other in zip(some, others, strict=True))


def speculation(lm: CausalLM, questions: Sequence[Question], max_new_tokens: int, repeats: int) -> dict[str, Any]:
    """Rows of the ``speed`` command, greedy: full decoding, and four drafts by a quarter and by half of the layers."""
    depth = lm.num_hidden_layers
    strategies = [(EARLY_EXIT, depth), *((Strategy("self_speculative", 4), depth // part) for part in (4, 2))]
    settings = SamplingSettings(temperature=0, max_new_tokens=max_new_tokens)
    parts = make_decoder(lm, "shared", load_template()).parts
    *_, report = benchmark_strategies(parts, "", questions, settings, strategies, repeats)
    assert isinstance(report, SpeedReport)  # the last event
    return {"rows": [asdict(row) for row in report.rows]}
