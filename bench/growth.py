"""Memory of a process that does one live run after another: ``python -m bench.growth``, about a quarter of an hour.

Runs go through ``app.service`` as from the page: a generator whose steps are computed by changing worker threads, with
other visitors waiting for the model. Resident memory is read after each run, in a process of its own for each setting
of the allocator: as the C library is, with few arenas, with freed memory given back after each run, and with both.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from unittest import mock

import psutil

from bench.machine import describe

if TYPE_CHECKING:
    from hcl_core.pipeline.request import RunRequest

ALLOCATORS = ("neither", "arenas", "trim", "both")
TEMPERATURES = (0.6, 1.0, 1.4)
NUM_VISITORS, NUM_THREADS = 4, 40
LAYERS, SAMPLES, TOKENS = "2:30:2", 32, 16
# Runs that reach the plateau; growth is counted from there.
WARM_UP = 6


def main() -> None:
    """Print a line a setting: MiB after each run, and the growth after the warm-up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=24)
    parser.add_argument("--allocators", nargs="+", choices=ALLOCATORS, default=ALLOCATORS)
    parser.add_argument("--here", choices=ALLOCATORS, help="measure one setting in this process, and print JSON")
    options = parser.parse_args()
    if options.here:
        print(json.dumps(measure(options.here, options.runs)))
        return
    print(f"{describe()}; {options.runs} runs of {SAMPLES} answers at layers {LAYERS}, T {TEMPERATURES} in turn\n")
    print(f"| allocator | after run 1, MiB | after run {WARM_UP} | highest after | last | growth |")
    print("|---|---|---|---|---|---|")
    for allocator in options.allocators:
        command = [sys.executable, "-m", "bench.growth", "--here", allocator, "--runs", str(options.runs)]
        finished = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        after = json.loads(finished.stdout.splitlines()[-1])
        plateau, highest = after[WARM_UP - 1], max(after[WARM_UP:])
        cells = [allocator, *(f"{size:,.0f}" for size in (after[0], plateau, highest, after[-1]))]
        print(f"| {' | '.join(cells)} | {highest / plateau - 1:+.0%} |", flush=True)


def measure(allocator: str, num_runs: int) -> list[float]:
    """Resident MiB after each run."""
    from hcl_core.allocator import limit_arenas
    from hcl_core.pipeline import runner

    if allocator in ("arenas", "both"):
        limit_arenas()
    if allocator in ("neither", "arenas"):
        mock.patch.object(runner, "release_freed_memory", lambda: None).start()
    os.environ["HCL_RUNS"] = tempfile.mkdtemp()
    return live_runs(num_runs)


def live_runs(num_runs: int) -> list[float]:
    """The measurement in a process that is set up."""
    from app.service import Service

    service, requests = Service(), itertools.islice(all_requests(), num_runs)
    resident: list[float] = []
    lock = threading.Lock()
    with ThreadPoolExecutor(NUM_THREADS) as steps:

        def visit(visitor: str) -> None:
            while True:
                with lock:
                    if (request := next(requests, None)) is None:
                        return
                # As Gradio does: each step of the generator in some thread of the pool.
                events = service.run(request, visitor, "explore")
                while steps.submit(next, events, None).result() is not None:
                    pass
                with lock:
                    resident.append(psutil.Process().memory_info().rss / 2**20)

        visitors = [threading.Thread(target=visit, args=(f"visitor {number}",)) for number in range(NUM_VISITORS)]
        for thread in visitors:
            thread.start()
        for thread in visitors:
            thread.join()
    return resident


def all_requests() -> "Iterator[RunRequest]":
    """Runs of one question each, no two with the same seed."""
    from hcl_core.pipeline.request import RunRequest
    from hcl_core.records import SamplingSettings
    from hcl_core.registry import load_questions
    from hcl_core.settings.layers import parse_layer_choice
    from hcl_core.settings.prompts import load_template

    questions = load_questions("starter").load()
    for number, question in enumerate(itertools.cycle(questions)):
        sampling = SamplingSettings(TEMPERATURES[number % 3], max_new_tokens=TOKENS, seed=number)
        yield RunRequest(
            "smollm2-135m", (question,), "starter", parse_layer_choice(LAYERS), SAMPLES, sampling, load_template()
        )


if __name__ == "__main__":
    main()
