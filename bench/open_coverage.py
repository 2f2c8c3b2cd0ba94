"""How often the intervals of open questions hold the truth: ``python -m bench.open_coverage``.

As ``bench.coverage``, for questions without accepted answers: the populations are made up here, and no number of the
method was chosen on those called ``held_out``.
"""

import argparse
from dataclasses import dataclass
from itertools import product

import numpy as np

from bench.coverage import EQUAL, NUM_DRAWS, NUM_SAMPLES, SET_LAYERS, Row, print_rows
from hcl_core.scores.best_layers import TIE, find_best, share_of_best
from hcl_core.scores.draws import draw_questions, draw_scores
from hcl_core.scores.intervals import summarise_draws
from hcl_core.scores.metrics import NOT_ATTEMPTED, FloatArray, OutcomeTable, balance, score_layers

SHAPES = ("few ideas", "many ideas", "one dominant", "all alike")
FAMILIES = ("tuning", "held_out")
SET_SIZES = (3, 10, 30)
QUANTITIES = {"plausibility": "plausibility_ci", "creativity": "creativity_ci", "HCB": "hcb_ci"}
_WORDINGS = 3


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """What the layers would answer in the long run.

    Attributes:
        shares: ``[E, K + 1]`` of each idea, and in the last column of answers that are no attempt.
        probabilities: ``[E, K, 3]`` of three wordings of each idea, equally frequent, under the whole model.
    """

    shares: FloatArray
    probabilities: FloatArray

    def truth(self, num_samples: int) -> tuple[FloatArray, FloatArray]:
        """Expected plausibility, and plausible ideas over answers: ``[E]`` each."""
        plausible = self.shares[:, :-1] * self.probabilities.mean(axis=2)
        ideas = 1 - (1 - plausible) ** num_samples
        return plausible.sum(axis=1), ideas.sum(axis=1) / num_samples

    def answers(self, num_samples: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Outcomes and log-probabilities of one run: ``[E, num_samples]`` each."""
        num_layers, num_ideas = len(self.shares), self.shares.shape[1] - 1
        below = self.shares.cumsum(axis=1)[:, None] < rng.random((num_layers, num_samples, 1))
        ideas = below[:, :, :-1].sum(axis=2)
        wording = rng.integers(_WORDINGS, size=ideas.shape)
        layers = np.arange(num_layers)[:, None]
        chosen = self.probabilities[layers, np.minimum(ideas, num_ideas - 1), wording]
        return np.where(ideas == num_ideas, NOT_ATTEMPTED, ideas), np.log(chosen)


def make_depths(is_alike: bool, num_layers: int, rng: np.random.Generator) -> FloatArray:
    """How probable the whole model finds the layers' answers, as log-odds: ``[E]``; early ones are improbable."""
    return np.linspace(-4.5, rng.uniform(-1.5, 0.5), num_layers) if is_alike else rng.uniform(-4.5, 0.5, num_layers)


def make_question(
    family: str, shape: str, is_alike: bool, depths: FloatArray, rng: np.random.Generator
) -> OpenQuestion:
    """A question whose layers are as probable as ``depths [E]``; ``is_alike``: neighbours give alike answers."""
    num_layers, is_tuning = len(depths), family == "tuning"
    base: FloatArray = np.ones(1)
    if shape == "few ideas":
        base = rng.dirichlet(np.full(rng.integers(3, 7), 3.0))
    elif shape == "many ideas":
        ranks = np.arange(1, rng.integers(40, 200), dtype=np.float64)
        base = ranks ** -(1.0 if is_tuning else rng.uniform(0.3, 1.2))
    elif shape == "one dominant":
        most = rng.uniform(0.7, 0.97)
        base = np.append(most, (1 - most) * rng.dirichlet(np.ones(rng.integers(4, 20))))
    shape_of = (num_layers, len(base))
    moves = rng.normal(0, 0.3, shape_of).cumsum(axis=0) if is_alike else rng.normal(0, 1, shape_of)
    shares = base / base.sum() * np.exp(moves)
    silent = rng.choice([0, 0.1]) if is_tuning else rng.beta(0.3, 4)
    shares = np.column_stack([shares / shares.sum(axis=1, keepdims=True) * (1 - silent), np.full(num_layers, silent)])
    spread = 0.6 if is_tuning else rng.uniform(0.2, 1.2)
    of_idea = rng.normal(0, spread, (len(base), _WORDINGS))
    if shape == "all alike":
        of_idea[:] = 0
    return OpenQuestion(shares, 1 / (1 + np.exp(-(depths[:, None, None] + of_idea))))


def measure_run(
    row: Row, asked: list[OpenQuestion], population: list[OpenQuestion], num_samples: int, seed: int
) -> None:
    """Ask the questions once and compare the intervals with the population's truth."""
    rng = np.random.default_rng(seed)
    outcomes, logprobs = (
        np.stack(each) for each in zip(*(one.answers(num_samples, rng) for one in asked), strict=True)
    )
    layers = tuple(range(1, outcomes.shape[1] + 1))
    table = OutcomeTable(
        layers,
        outcomes.astype(np.int16),
        np.full(outcomes.shape, 0.5, np.float32),
        is_open=True,
        plausibilities=logprobs.astype(np.float32),
    )
    plausible, creativity = (
        np.mean(each, axis=0) for each in zip(*(one.truth(num_samples) for one in population), strict=True)
    )
    hcb = balance(creativity, plausible, EQUAL)
    draws = draw_scores(table, draw_questions(len(asked), NUM_DRAWS, seed), seed)
    sure, scores = summarise_draws(draws, EQUAL), score_layers(table, EQUAL)
    for (name, field), true in zip(QUANTITIES.items(), (plausible, creativity, hcb), strict=True):
        low, high = np.array([getattr(layer, field) for layer in sure.layers]).T
        row.add(name, ((low - TIE <= true) & (true <= high + TIE)).mean())
        row.add(f"{name} width", (high - low).mean())
        row.add(f"{name} width 0", (high - low < TIE).mean())
    ranking = draws.ranking(EQUAL)
    best, is_best = find_best(ranking, layers, True), hcb >= hcb.max() - TIE
    chosen = layers.index(best.optimal_layer or 0)
    row.add("holds", any(is_best[layers.index(layer)] for layer in best.best_set))
    row.add("size", len(best.best_set))
    if best.kind == "clear":
        row.add("clear wrong", not is_best[chosen])
    row.add("score - truth", scores[chosen].hcb_score - hcb[chosen])
    row.add_calibration(share_of_best(ranking).mean(axis=0), is_best / is_best.sum())


def make_row(
    family: str, shapes: tuple[str, ...], is_alike: bool, num_questions: int, num_samples: int, runs: int
) -> Row:
    """Runs of so many questions each: one question is new every time, several are drawn from a thousand."""
    row, names = Row(), [*FAMILIES, *SHAPES]
    seeds = [names.index(family), *map(names.index, shapes), is_alike, num_questions, num_samples]
    rng = np.random.default_rng(seeds)

    def make(depths: FloatArray) -> OpenQuestion:
        return make_question(family, str(rng.choice(shapes)), is_alike, depths + rng.normal(0, 0.7), rng)

    set_depths = make_depths(is_alike, SET_LAYERS, rng)
    population = [make(set_depths) for _ in range(1000 if num_questions > 1 else 0)]
    for number in range(runs):
        if num_questions == 1:
            population = [make(make_depths(is_alike, SET_LAYERS, rng))]
        asked = [population[place] for place in rng.integers(len(population), size=num_questions)]
        measure_run(row, asked, population, num_samples, number)
    return row


def main() -> None:
    """Print the tables of ``docs/method.md``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100, help="of each row; a third of it for thirty questions")
    parser.add_argument("--family", choices=FAMILIES, default="held_out")
    options = parser.parse_args()
    rows: dict[str, Row] = {}
    for is_alike, layers in ((True, "alike"), (False, "independent")):
        for shape, num_samples in product(SHAPES, NUM_SAMPLES):
            name = f"1 question, {shape}, {layers}, {num_samples}"
            rows[name] = make_row(options.family, (shape,), is_alike, 1, num_samples, options.runs)
        for num_questions, num_samples in product(SET_SIZES, NUM_SAMPLES):
            runs = options.runs if num_questions < 30 else max(options.runs // 3, 2)
            name = f"{num_questions} questions, {layers}, {num_samples}"
            rows[name] = make_row(options.family, SHAPES, is_alike, num_questions, num_samples, runs)
    print_rows(
        rows,
        (*QUANTITIES, *(f"{name} width 0" for name in QUANTITIES), "holds", "size", "clear wrong", "score - truth"),
    )


if __name__ == "__main__":
    main()
