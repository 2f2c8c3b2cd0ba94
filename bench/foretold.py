"""Times that the page foretells, against those that runs take: ``python -m bench.foretold``.

One run of SmolLM2 at T 0.6 teaches the page how fast this machine is, as a visitor's first run does. Then each
temperature and head is foretold and run, with a question that neither that run nor ``assets/sharing.json`` has seen.
With ``--others`` it foretells and runs models of other shapes instead, none of which this machine has timed.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.machine import describe
from bench.other_shapes import save_random, save_widened
from bench.serve import requests
from hcl_core.models.catalogue import DEFAULT_MODEL
from hcl_core.pipeline.estimate import MachineSpeed, counted_seconds, foretell
from hcl_core.pipeline.request import RunRequest
from hcl_core.pipeline.waves import wave_bounds
from hcl_core.ports import DecodeRequest
from hcl_core.records import Question, Sample, StoredQuestion
from hcl_core.registry import load_model, load_questions, make_decoder
from hcl_core.settings.layers import LayerRange

FIRST_WAVE = 8
TEMPERATURES = (0.0, 0.3, 0.6, 0.9, 1.2, 1.5)
# Of the logits of random models. Their answers never end, and share less than those of a trained model.
SPREAD = 9.0


def main() -> None:
    """Print a line for each temperature and head, or for each temperature and model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--question", type=int, default=13, help="number in the starter set")
    parser.add_argument("--temperatures", type=float, nargs="+", default=TEMPERATURES)
    parser.add_argument("--others", action="store_true", help="models of other shapes, made for this")
    options = parser.parse_args()
    os.environ["HCL_CACHE"] = os.environ.get("HCL_CACHE") or tempfile.mkdtemp()
    question = load_questions("starter").load(None)[options.question]
    speed = MachineSpeed(Path(tempfile.mkdtemp()) / "speed.json")
    lm, _ = load_model(DEFAULT_MODEL.name, "float32")
    first = asked_of(DEFAULT_MODEL.name, lm.num_hidden_layers, load_questions("starter").load(1)[0])
    untaught = foretell(first, layers_of(first), FIRST_WAVE, speed)
    assert untaught is not None
    run(lm, first)  # the warm-up
    taken, waves = run(lm, first)
    speed.learn(first.model, taken, counted_seconds(first, waves))
    print(f"{describe()}; {len(layers_of(first))} layers, {first.num_samples} answers")
    print(f"before any run: {untaught.low:.1f} to {untaught.high:.1f} s foretold, {taken:.1f} s taken\n")
    column = "model" if options.others else "head"
    print(f"| {column} | T | foretold, s | taken, s | taken / middle of what was foretold |")
    print("|---|---|---|---|---|")
    if options.others:
        for name, folder in other_models():
            other, _ = load_model(folder, "float32")
            asked = asked_of(folder, other.num_hidden_layers, question)
            print_ratios(name, other, asked, speed, options.temperatures)
    else:
        for head in ("linear", "shared"):
            asked = asked_of(DEFAULT_MODEL.name, lm.num_hidden_layers, question)
            print_ratios(head, lm, replace(asked, exit_head=head), speed, options.temperatures)


def other_models() -> Iterator[tuple[str, str]]:
    """A name and a folder each, made when it is asked for and removed afterwards."""
    for num_layers, hidden_size in ((12, 384), (8, 1024)):
        with tempfile.TemporaryDirectory() as folder:
            save_random(Path(folder), num_layers, hidden_size, SPREAD)
            yield f"random, {num_layers} layers of {hidden_size}", folder
    with tempfile.TemporaryDirectory() as folder:
        save_widened(Path(folder), 40, 5)
        yield "SmolLM2 widened, 40 layers of 960", folder


def asked_of(model: str, num_hidden_layers: int, question: Question) -> RunRequest:
    """The page's first settings: the later half of the layers."""
    layers = LayerRange(num_hidden_layers // 2 + 1, num_hidden_layers, 1)
    asked = requests(1, seed=0)[0]
    return replace(asked, model=model, questions=(question,), layers=layers, num_samples=56)


def layers_of(request: RunRequest) -> Sequence[int]:
    """Exit layers of a request of ``asked_of``."""
    assert isinstance(request.layers, LayerRange) and request.layers.stop is not None
    return range(request.layers.start, request.layers.stop + 1)


def run(lm: Any, request: RunRequest) -> tuple[float, list[list[Sample]]]:
    """Seconds of decoding, and the answers by wave."""
    (question,) = request.questions
    decoder = make_decoder(lm, request.exit_head, request.template)
    waves = [
        [(layer, number) for layer in layers_of(request) for number in range(start, stop)]
        for start, stop in wave_bounds(request.num_samples, FIRST_WAVE)
    ]
    stored = StoredQuestion(question, decoder.prompt_for(question))
    answers: list[list[Sample]] = [[]]
    began = time.perf_counter()
    for _, progress in decoder.decode_many([DecodeRequest(stored, request.sampling, waves)]):
        answers[-1] += progress.finished
        if progress.wave_done:
            answers.append([])
    return time.perf_counter() - began, answers[:-1]


def print_ratios(name: str, lm: Any, asked: RunRequest, speed: MachineSpeed, temperatures: Sequence[float]) -> None:
    """Foretell and run at each temperature."""
    for temperature in temperatures:
        request = replace(asked, sampling=replace(asked.sampling, temperature=temperature))
        told = foretell(request, layers_of(request), FIRST_WAVE, speed)
        assert told is not None
        taken, _ = run(lm, request)
        ratio = taken / told.middle
        print(
            f"| {name} | {temperature:g} | {told.low:.1f} to {told.high:.1f} | {taken:.1f} | {ratio:.2f} |", flush=True
        )


if __name__ == "__main__":
    main()
