"""Visitors of one page at once, and one after another: ``OMP_NUM_THREADS=2 taskset -c 0,1 python -m bench.serve``.

Threads stand for visitors; each goes through ``app.service`` as from the page, with the same questions (15 layers, 24
answers of up to 20 tokens). All in one process, with the model loaded: ten visitors with ten different questions, one
after another and then at once with other seeds of the same cost; then fifty with the same question, within ten seconds.
"""

import argparse
import math
import os
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.live import LiveEvent
from bench.machine import describe
from hcl_core import pipeline

if TYPE_CHECKING:
    from app.service import Service
    from hcl_core.pipeline.request import RunRequest

LAYERS, SAMPLES, TOKENS = "2:30:2", 24, 20


@dataclass(frozen=True, slots=True)
class Visit:
    """What a visitor saw; seconds from their press of Run.

    Attributes:
        first_wave: When the first answers came.
        finished: When the last ones came.
    """

    first_wave: float
    finished: float


def main() -> None:
    """Print both ways of ten visitors, and what fifty equal requests cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=10)
    parser.add_argument("--equal", type=int, default=50, help="visitors with the same question")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    os.environ["HCL_RUNS"] = tempfile.mkdtemp()
    from app.service import Service

    service = Service()
    visit_all(service, requests(1, seed=1_000), 0)  # loads the model, and warms up
    print(f"{describe()}; {options.visitors} questions, layers {LAYERS}, {SAMPLES} answers of {TOKENS} tokens\n")
    print("| repeat | one after another, s | at once, s | ratio | first wave of each, s | latest |")
    print("|---|---|---|---|---|---|")
    for repeat in range(options.repeats):
        print(row(service, options.visitors, repeat), flush=True)
    print(f"\n{equal(service, options.equal)}")


def row(service: "Service", num_visitors: int, repeat: int) -> str:
    """One repeat; both ways do the same work, for the questions are the same and the seeds of the samples are not."""
    began = time.perf_counter()
    for request in requests(num_visitors, seed=2 * repeat):
        visit_all(service, [request], 0)
    in_turn, began = time.perf_counter() - began, time.perf_counter()
    visits = visit_all(service, requests(num_visitors, seed=2 * repeat + 1), 0)
    at_once = time.perf_counter() - began
    waves = sorted(visit.first_wave for visit in visits)
    cells = [repeat + 1, f"{in_turn:.1f}", f"{at_once:.1f}", f"{in_turn / at_once:.2f}"]
    cells += [" ".join(f"{wave:.1f}" for wave in waves), f"{waves[-1]:.1f}"]
    return f"| {' | '.join(map(str, cells))} |"


def equal(service: "Service", num_visitors: int) -> str:
    """Equal requests that arrive within ten seconds: how often the question was decoded, and what visitors saw."""
    from hcl_core.decode.engine import EngineDecoder

    decoded: list[str] = []
    policy = EngineDecoder.policy

    def counted(self, request):  # type: ignore[no-untyped-def]
        decoded.append(request.stored.question.id)
        return policy(self, request)

    EngineDecoder.policy = counted  # type: ignore[method-assign]
    visits = visit_all(service, requests(1, seed=500) * num_visitors, 10)
    return (
        f"{num_visitors} equal requests within 10 s: {len(decoded)} decode; all finished at most "
        f"{max(visit.finished for visit in visits):.1f} s after their request"
    )


def visit_all(service: "Service", asked: "Sequence[RunRequest]", within: float) -> list[Visit]:
    """A visitor for each request, their presses spread evenly over ``within`` seconds."""
    visits: list[Visit] = []

    def visit(number: int, request: "RunRequest") -> None:
        time.sleep(within * number / len(asked))
        began, first_wave = time.perf_counter(), math.nan
        for live in service.run(request, f"visitor {number}", "explore"):
            if not isinstance(live, LiveEvent) or not math.isnan(first_wave):
                continue
            if isinstance(live.event, pipeline.WaveDone | pipeline.Finished):
                live.run.view(live.run.questions[0].question.id)  # as the page shows it
                first_wave = time.perf_counter() - began
        visits.append(Visit(first_wave, time.perf_counter() - began))

    visitors = [threading.Thread(target=visit, args=each) for each in enumerate(asked)]
    for thread in visitors:
        thread.start()
    for thread in visitors:
        thread.join()
    if len(visits) < len(asked):
        raise RuntimeError("a visitor failed; see above")
    return visits


def requests(number: int, seed: int) -> "list[RunRequest]":
    """So many questions of the starter set."""
    from hcl_core.pipeline.request import RunRequest
    from hcl_core.records import SamplingSettings
    from hcl_core.registry import load_questions
    from hcl_core.settings.layers import parse_layer_choice
    from hcl_core.settings.prompts import load_template

    sampling = SamplingSettings(max_new_tokens=TOKENS)
    return [
        RunRequest(
            "smollm2-135m",
            (question,),
            "starter",
            parse_layer_choice(LAYERS),
            SAMPLES,
            replace(sampling, seed=seed),
            load_template(),
        )
        for question in load_questions("starter").load(number)
    ]


if __name__ == "__main__":
    main()
