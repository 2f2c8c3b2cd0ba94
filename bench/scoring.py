"""Time of scores and intervals, without a model: ``python -m bench.scoring``."""

import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from hcl_core.folders import precomputed_folder
from hcl_core.pipeline.stored import read_outcomes
from hcl_core.records import Weights
from hcl_core.runs.folder import RunFolder
from hcl_core.scores.intervals import NUM_REPLICATES, uncertainty
from hcl_core.scores.metrics import INCORRECT, OutcomeTable, score_layers

REPEATS = 5
SHAPE = (100, 30, 50)


def main() -> None:
    """Print medians of the bootstrap, and of opening and scoring each shipped run."""
    rng = np.random.default_rng(0)
    outcomes = np.where(rng.random(SHAPE) < 0.5, rng.integers(0, 6, SHAPE), INCORRECT).astype(np.int16)
    table = OutcomeTable(tuple(range(1, SHAPE[1] + 1)), outcomes, np.full(SHAPE, 0.5, np.float32))
    seconds = median(lambda: uncertainty(table, Weights()))
    print(f"bootstrap, {NUM_REPLICATES:,} replicates of {' x '.join(map(str, SHAPE))}: {seconds:.2f} s")
    for path in sorted(precomputed_folder().iterdir()):
        if (path / "questions.jsonl").is_file():
            folder = RunFolder(path)
            seconds = median(partial(open_and_score, folder))
            print(f"{path.name}: opened and scored in {seconds:.2f} s")


def open_and_score(folder: RunFolder) -> None:
    """What the page does first with a stored run."""
    table = read_outcomes(folder)
    assert table is not None, f"{folder.path} has no verdicts of this version's judge"
    score_layers(table, Weights())


def median(work: Callable[[], object]) -> float:
    """Seconds that ``work`` takes, the median of a few times."""
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


if __name__ == "__main__":
    main()
