"""A sweep by one and by two workers of a Ray cluster: ``OMP_NUM_THREADS=1 python -m bench.cluster``, some minutes.

One thread each. The clock starts when every worker has the model in memory and has answered some questions: kernels are
compiled for each number of rows. Both must write the same parts.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console

from bench.machine import describe
from hcl_core.cluster.ray_cluster import ClusterSettings, cluster_workers
from hcl_core.sweeps.cells import Plan
from hcl_core.sweeps.folder import SweepFolder
from hcl_core.sweeps.plan import read_plan
from hcl_core.sweeps.running import ClusterEngine, Failed, SweepEngine, run_sweep

_SPEC = """
models: [smollm2-135m]
questions: [{{set: starter, limit: {questions}}}]
temperatures: [{temperature}]
layers: "{layers}"
samples: {samples}
max_new_tokens: 20
"""
# Another temperature: nothing of the warm-up is taken over.
_WARM_UP, _MEASURED = 1.0, 0.6


def main() -> None:
    """Measure, and print a row for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=120)
    parser.add_argument("--layers", default="10:30:4")
    parser.add_argument("--samples", type=int, default=20)
    options = parser.parse_args()
    if torch.get_num_threads() != 1:
        parser.error(f"one thread is measured: set OMP_NUM_THREADS=1; there are {torch.get_num_threads()}")
    console = Console(width=120)
    console.print(describe("ray"), highlight=False)
    seconds: dict[str, float] = {}
    parts: list[dict[str, bytes]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        warm_up, measured = (
            plan_of(folder, options, temperature, questions)
            for temperature, questions in ((_WARM_UP, 24), (_MEASURED, options.questions))
        )
        for number in (1, 2):
            with cluster_workers(ClusterSettings(workers=number)) as workers:
                workers.wait_for(number)
                out = folder / str(number)
                seconds[f"{number} worker{'s' * (number > 1)}"] = measure(
                    out, ClusterEngine(workers), warm_up, measured
                )
            parts.append(parts_of(out))
    if len(parts[0]) != options.questions or parts[0] != parts[1]:
        raise SystemExit("the parts differ")
    for what, taken in seconds.items():
        gain = seconds["1 worker"] / taken
        console.print(f"| {what} | {taken:.1f} | {taken / options.questions:.3f} | {gain:.2f} |", highlight=False)


def plan_of(folder: Path, options: argparse.Namespace, temperature: float, questions: int) -> Plan:
    """A sweep with one cell."""
    text = _SPEC.format(questions=questions, temperature=temperature, layers=options.layers, samples=options.samples)
    file = folder / f"{temperature}.yaml"
    file.write_text(text, encoding="utf-8")
    return read_plan(file)


def measure(out: Path, engine: SweepEngine, warm_up: Plan, measured: Plan) -> float:
    """Seconds of the measured sweep, after the warm-up."""
    sweep(out.with_name(f"{out.name}-warm"), engine, warm_up)
    began = time.perf_counter()
    sweep(out, engine, measured)
    return time.perf_counter() - began


def sweep(out: Path, engine: SweepEngine, plan: Plan) -> None:
    for event in run_sweep(SweepFolder(out), plan, engine=engine):
        if isinstance(event, Failed):
            raise event.error


def parts_of(folder: Path) -> dict[str, bytes]:
    """The parts of a sweep, by their paths in it."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.glob("*/samples/*.parquet")}


if __name__ == "__main__":
    main()
