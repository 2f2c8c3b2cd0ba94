"""How opening the page grows with the runs that are stored: ``python -m bench.library --runs 1000``.

Copies of a shipped run of the whole starter set, without their answers, stand in for a user's own runs.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.handlers import shown_question
from app.handlers.run_list import RunFilter, list_runs
from app.language import Translator
from app.service import Service
from app.visit import Visit
from hcl_core.folders import precomputed_folder
from hcl_core.runs.folder import RunFolder

SHIPPED, QUESTION = "0be6b1cadd189061", "Name a planet in our solar system."


def copy_runs(folder: Path, number: int) -> None:
    """Write ``number`` runs, each with its own id."""
    manifest = RunFolder(precomputed_folder() / SHIPPED).manifest()
    for index in range(number):
        path = folder / f"{index:016x}"
        path.mkdir(parents=True)
        shutil.copy(precomputed_folder() / SHIPPED / "questions.jsonl", path)
        RunFolder(path).write_manifest(replace(manifest, run_id=path.name))


def milliseconds(work: Callable[[], Any]) -> float:
    """Of one call."""
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)


def main() -> None:
    """Print the time of each step, first and again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HCL_RUNS"] = folder
        copy_runs(Path(folder), options.runs)
        service = Service()
        visit = Visit(Translator("en"), service, "visitor")
        steps: dict[str, Callable[[], Any]] = {
            "list of runs": lambda: list_runs(visit),
            "list of runs with a word": lambda: list_runs(visit, RunFilter("fitted")),
            "runs that asked a question": lambda: shown_question.run_choices(visit, QUESTION),
        }
        print(f"{options.runs:,} runs of 174 questions; warm-up {milliseconds(service.warm_up) / 1000:.1f} s")
        for name, step in steps.items():
            print(f"{name}: {milliseconds(step):.0f} ms, again {milliseconds(step):.0f} ms")


if __name__ == "__main__":
    main()
