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
from hcl_core.scores.draws import NUM_DRAWS, draw_questions, draw_scores
from hcl_core.scores.intervals import summarise_draws, uncertainty
from hcl_core.scores.metrics import INCORRECT, OutcomeTable, score_layers

REPEATS = 5
SHAPES = ((1, 30, 50), (174, 30, 50))


def main() -> None:
    """Print medians of the intervals, and of opening and scoring each shipped run."""
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        outcomes = np.where(rng.random(shape) < 0.5, rng.integers(0, 6, shape), INCORRECT).astype(np.int16)
        table = OutcomeTable(tuple(range(1, shape[1] + 1)), outcomes, np.full(shape, 0.5, np.float32))
        drawn = draw_scores(table, draw_questions(shape[0]))
        fresh, again = (
            median(partial(uncertainty, table, Weights())),
            median(partial(summarise_draws, drawn, Weights())),
        )
        name = " x ".join(map(str, shape))
        print(f"{NUM_DRAWS:,} draws of {name}: {1000 * fresh:.0f} ms; other weights {1000 * again:.0f} ms")
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
