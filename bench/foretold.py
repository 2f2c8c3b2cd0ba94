"""Times that the page foretells, against those that runs take: ``python -m bench.foretold``.

One run at T 0.6 teaches the page how fast this machine is, as a visitor's first run does. Then each temperature and
head is foretold and run, with a question that neither that run nor ``assets/sharing.json`` has seen.
"""

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from app.estimate import MachineSpeed, expected_seconds, foretell
from bench.machine import describe
from bench.serve import requests
from hcl_core.pipeline.request import RunRequest
from hcl_core.pipeline.waves import wave_bounds
from hcl_core.ports import DecodeRequest
from hcl_core.records import StoredQuestion
from hcl_core.registry import load_model, load_questions, make_decoder
from hcl_core.settings.layers import LayerRange

FIRST_WAVE, LAYERS = 8, tuple(range(16, 31))


def main() -> None:
    """Print a line for each temperature and head."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--question", type=int, default=13, help="number in the starter set")
    options = parser.parse_args()
    os.environ["HCL_CACHE"] = os.environ.get("HCL_CACHE") or tempfile.mkdtemp()
    lm, _ = load_model("smollm2-135m", "float32")
    question = load_questions("starter").load(None)[options.question]
    asked = replace(requests(1, seed=0)[0], questions=(question,), layers=LayerRange(16, 30, 1), num_samples=56)
    speed = MachineSpeed(Path(tempfile.mkdtemp()) / "speed.json")

    def run(request: RunRequest) -> float:
        decoder = make_decoder(lm, request.exit_head, request.template)
        waves = [
            [(layer, number) for layer in LAYERS for number in range(start, stop)]
            for start, stop in wave_bounds(request.num_samples, FIRST_WAVE)
        ]
        stored = StoredQuestion(question, decoder.prompt_for(question))
        began = time.perf_counter()
        for _ in decoder.decode_many([DecodeRequest(stored, request.sampling, waves)]):
            pass
        return time.perf_counter() - began

    first = replace(asked, questions=tuple(load_questions("starter").load(1)))
    untaught = foretell(first, LAYERS, FIRST_WAVE, speed)
    expected = expected_seconds(first, LAYERS, FIRST_WAVE)
    assert untaught is not None and expected is not None
    run(first)  # the warm-up
    taken = run(first)
    speed.learn(first.model, taken, expected)
    print(f"{describe()}; {len(LAYERS)} layers, {asked.num_samples} answers")
    print(f"before any run: {untaught.low:.1f} to {untaught.high:.1f} s foretold, {taken:.1f} s taken\n")
    print("| head | T | foretold, s | taken, s | taken / middle of what was foretold |")
    print("|---|---|---|---|---|")
    for head in ("linear", "shared"):
        for temperature in (0.0, 0.3, 0.6, 0.9, 1.2, 1.5):
            sampling = replace(asked.sampling, temperature=temperature)
            request = replace(asked, exit_head=head, sampling=sampling)
            told = foretell(request, LAYERS, FIRST_WAVE, speed)
            assert told is not None
            taken = run(request)
            ratio = taken / (told.low * told.high) ** 0.5
            print(f"| {head} | {temperature:g} | {told.low:.1f} to {told.high:.1f} | {taken:.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
