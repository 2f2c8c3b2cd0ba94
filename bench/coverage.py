"""How often the 95% intervals hold the truth: ``python -m bench.coverage``.

A population of questions is made whose truth is known; runs are drawn from it; the share of runs whose interval
holds the truth is the coverage, which should be 95%. No rule of ``hcl_core/intervals.py`` was chosen on this one.
"""

import argparse

import numpy as np

from hcl_core.records import Weights
from hcl_core.scores.intervals import draw_questions, paired_difference, percentile_intervals, resample
from hcl_core.scores.metrics import INCORRECT, OutcomeTable, hcb_score, min_max_scale

NUM_LAYERS, NUM_MEANINGS, NUM_QUESTIONS = 6, 12, 40_000
SIZES = ((10, 50), (20, 50), (40, 20), (100, 10), (174, 50))
EQUAL = Weights()


class Population:
    """Questions of which a layer answers some: harder ones less often, deeper layers more often.

    A question's odds of a right answer are logistic-normal, its right meanings follow a power law of its own; three
    of ten questions have one right meaning only.

    Args:
        num_samples: Answers a question and layer in each run.
        seed: Of the population.
    """

    def __init__(self, num_samples: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        skill = rng.normal(0, 1.6, NUM_QUESTIONS)[:, None] + np.linspace(-2.5, 1.0, NUM_LAYERS)[None]
        right = 1 / (1 + np.exp(-skill - rng.normal(0, 0.5, skill.shape)))
        meanings = np.arange(1, NUM_MEANINGS + 1)[None] ** -rng.uniform(0.5, 3, NUM_QUESTIONS)[:, None]
        meanings[rng.random(NUM_QUESTIONS) < 0.3] = np.eye(NUM_MEANINGS)[0]
        meanings /= meanings.sum(axis=1, keepdims=True)
        self.num_samples = num_samples
        self.odds = np.concatenate([right[:, :, None] * meanings[:, None], 1 - right[:, :, None]], axis=2)
        self.hallucination = 1 - right.mean(axis=0)
        self.clusters = (1 - (1 - self.odds[:, :, :NUM_MEANINGS]) ** num_samples).sum(axis=2).mean(axis=0)
        self.hcb = hcb_score(min_max_scale(self.clusters), self.hallucination, EQUAL)

    def run(self, num_questions: int, rng: np.random.Generator) -> OutcomeTable:
        """The outcomes of one run."""
        odds = self.odds[rng.integers(len(self.odds), size=num_questions)].cumsum(axis=2)
        uniforms = rng.random((num_questions, NUM_LAYERS, self.num_samples, 1))
        places = (uniforms > odds[:, :, None, :]).sum(axis=3)
        outcomes = np.where(places >= NUM_MEANINGS, INCORRECT, places).astype(np.int16)
        return OutcomeTable(tuple(range(1, NUM_LAYERS + 1)), outcomes, np.full(outcomes.shape, 0.5, np.float32))


def coverage(num_questions: int, num_samples: int, num_runs: int, seed: int = 11) -> dict[str, float]:
    """Share of runs whose interval holds the truth, by quantity; means over layers."""
    population, rng = Population(num_samples, seed), np.random.default_rng(seed + 1)
    hits: dict[str, list[float]] = {}
    for number in range(num_runs):
        table = population.run(num_questions, rng)
        replicates = resample(table, draw_questions(num_questions, 400, seed * 7 + number), seed * 7 + number)
        for name, drawn, truth in (
            ("hallucination", replicates.hallucination_rate, population.hallucination),
            ("clusters", replicates.creativity_raw, population.clusters),
            ("HCB", replicates.hcb_score(EQUAL), population.hcb),
        ):
            low, high = np.array(percentile_intervals(drawn, num_questions)).T
            hits.setdefault(name, []).append(float(((low <= truth) & (truth <= high)).mean()))
            low, high = paired_difference((0, 0), (drawn[:, -1], drawn[:, -3]), num_questions).interval
            hits.setdefault(f"{name}, two layers", []).append(low <= truth[-1] - truth[-3] <= high)
    return {name: float(np.mean(mine)) for name, mine in hits.items()}


def main() -> None:
    """Print the table of ``docs/method.md``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    options = parser.parse_args()
    for place, (num_questions, num_samples) in enumerate(SIZES):
        shares = coverage(num_questions, num_samples, options.runs)
        if place == 0:
            print("| questions x answers | " + " | ".join(shares) + " |\n" + "|---" * (len(shares) + 1) + "|")
        print(
            f"| {num_questions} x {num_samples} | " + " | ".join(f"{share:.3f}" for share in shares.values()) + " |",
            flush=True,
        )


if __name__ == "__main__":
    main()
