"""How often the intervals hold the truth, and whether ``p_optimal`` is what it says: ``python -m bench.coverage``.

Questions are made whose truth is known (``bench.populations``); runs are drawn from them and scored; each row is the
share of runs, over layers, whose interval holds the truth, and what became of the best layers. ``--keep FILE`` writes
each row to a file and takes it from there when asked again.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from bench.populations import FAMILIES, SHAPES, TrueQuestion, make_question, make_set, run_of
from hcl_core.folders import precomputed_folder
from hcl_core.pipeline.stored import read_outcomes
from hcl_core.records import Weights
from hcl_core.runs.folder import RunFolder
from hcl_core.scores.best_layers import TIE, find_best, share_of_best
from hcl_core.scores.draws import ScoreDraws, draw_questions, draw_scores
from hcl_core.scores.intervals import interval_of
from hcl_core.scores.metrics import FloatArray, creativity_raw, hallucination_rate, hcb_score, mean_known, min_max_scale
from hcl_core.scores.metrics import scaled_creativity as creativity_of

EQUAL = Weights()
NUM_DRAWS = 600
NUM_LAYERS = 16
SET_LAYERS = 12
NUM_SAMPLES = (10, 24, 56)
# Of sets; large ones take fewer runs, by this factor.
SET_SIZES = {3: 1, 5: 1, 10: 1, 30: 2, 174: 4}
BINS = (0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1.001)
QUANTITIES = ("hallucination", "ideas", "creativity", "HCB")

# Creativity of ``[..., E]`` from the ideas found and those over the possible.
SCALES: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "possible": lambda ideas, possible: possible,
    "found": lambda ideas, possible: ideas / np.maximum(ideas.max(axis=-1, keepdims=True), 1e-12),
    "min_max": lambda ideas, possible: min_max_scale(ideas),
}


@dataclass
class Row:
    """What was counted over some runs.

    Attributes:
        values: By name, one a run.
        bins: ``[bin][sum of p_optimal, layers that are the best, layers]``.
    """

    values: dict[str, list[float]] = field(default_factory=dict)
    bins: list[list[float]] = field(default_factory=lambda: [[0.0, 0.0, 0.0] for _ in BINS[1:]])

    def add(self, name: str, value: float) -> None:
        """One run's."""
        self.values.setdefault(name, []).append(float(value))

    def mean(self, name: str) -> float:
        """Over runs; NaN of none."""
        return float(np.mean(self.values[name])) if self.values.get(name) else float("nan")

    def add_calibration(self, p_optimal: FloatArray, is_best: FloatArray) -> None:
        """One run's layers."""
        for place, (low, high) in enumerate(zip(BINS, BINS[1:], strict=False)):
            inside = (p_optimal >= low) & (p_optimal < high)
            sums = (p_optimal[inside].sum(), is_best[inside].sum(), inside.sum())
            self.bins[place] = [mine + float(new) for mine, new in zip(self.bins[place], sums, strict=True)]


def truth_of(
    questions: list[TrueQuestion], num_samples: int, is_open: bool
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Wrong share, expected ideas and ideas over those possible, means over questions: ``[E]`` each."""
    wrong = np.mean([each.hallucination_rate for each in questions], axis=0)
    creative = [each for each in questions if each.num_accepted_ideas != 1]
    ideas = np.array([each.num_ideas(num_samples) for each in creative])
    most = [num_samples if is_open else min(num_samples, each.num_accepted_ideas) for each in creative]
    return wrong, ideas.mean(axis=0), (ideas / np.array(most)[:, None]).mean(axis=0)


def measure_run(row: Row, draws: ScoreDraws, truth: tuple[FloatArray, FloatArray, FloatArray], scale: str) -> None:
    """Add one run to ``row``: its intervals against the truth, and its best layers."""
    table, scaled = draws.table, SCALES[scale]
    seen = (
        hallucination_rate(table.outcomes),
        creativity_raw(table.outcomes[table.has_creativity]),
        creativity_of(table, "possible"),
    )
    drawn = (draws.hallucination_rate, draws.creativity_raw, draws.creativity_possible)
    columns = []
    for wrong, ideas, possible in (drawn, seen, truth):
        creativity = scaled(ideas, possible)
        columns.append((wrong, ideas, creativity, hcb_score(creativity, wrong, EQUAL)))
    sizes = (draws.num_questions, *(draws.num_creative_questions,) * 3)
    for name, size, most, mine, score, true in zip(
        QUANTITIES, sizes, (1, table.outcomes.shape[2], 1, 1), *columns, strict=True
    ):
        low, high = np.array(interval_of(mine, score, size, (0, most))).T
        row.add(name, ((low - TIE <= true) & (true <= high + TIE)).mean())
    ranking, scores, true_hcb = (each[3] for each in columns)
    p_optimal, best = share_of_best(ranking).mean(axis=0), find_best(ranking, table.exit_layers, True)
    is_best = true_hcb >= true_hcb.max() - TIE
    chosen = table.exit_layers.index(best.optimal_layer or 0)
    row.add("holds", any(is_best[table.exit_layers.index(layer)] for layer in best.best_set))
    row.add("size", len(best.best_set))
    if best.kind == "clear":
        row.add("clear wrong", not is_best[chosen])
    highest = int(np.argmax(scores))
    row.add("score - truth", scores[highest] - true_hcb[highest])
    row.add("mean - truth", best.expected_hcb - true_hcb[chosen])
    row.add_calibration(p_optimal, is_best / is_best.sum())


def question_row(
    family: str, shape: str, is_alike: bool, num_samples: int, is_open: bool, scale: str, runs: int
) -> Row:
    """Runs of one question each, a new question every time."""
    row, rng = Row(), np.random.default_rng([FAMILIES.index(family), SHAPES.index(shape), is_alike, num_samples])
    for number in range(runs):
        questions = [make_question(family, shape, is_alike, NUM_LAYERS, rng)]
        table = run_of(questions, num_samples, is_open, rng)
        if (table.outcomes >= 0).any():
            draws = draw_scores(table, draw_questions(1, NUM_DRAWS, number), number)
            measure_run(row, draws, truth_of(questions, num_samples, is_open), scale)
    return row


def set_row(family: str, is_alike: bool, num_questions: int, num_samples: int, scale: str, runs: int) -> Row:
    """Runs of some questions of one population."""
    row, seeds = Row(), [FAMILIES.index(family), is_alike, num_questions, num_samples]
    population, rng = make_set(family, is_alike, 1000, SET_LAYERS, 7), np.random.default_rng(seeds)
    truth = truth_of(population, num_samples, False)
    for number in range(runs):
        questions = [population[place] for place in rng.integers(len(population), size=num_questions)]
        table = run_of(questions, num_samples, False, rng)
        if (table.outcomes[table.has_creativity] >= 0).any():
            draws = draw_scores(table, draw_questions(num_questions, NUM_DRAWS, number), number)
            measure_run(row, draws, truth, scale)
    return row


def halves_row(run_id: str) -> Row:
    """Both halves of each shipped question's answers: their scores differ by chance alone."""
    row, table = Row(), read_outcomes(RunFolder(precomputed_folder() / run_id))
    assert table is not None, f"{run_id} has no verdicts of today's judge"
    half = table.outcomes.shape[2] // 2
    for question in range(len(table.outcomes)):
        mine = table.part([question])
        halves = [
            type(mine)(mine.exit_layers, cells, np.ones(cells.shape, np.float32), mine.num_accepted_ideas)
            for cells in (mine.outcomes[:, :, :half], mine.outcomes[:, :, half : 2 * half])
        ]
        if not all((each.outcomes >= 0).any() for each in halves):
            continue
        drawn = [draw_scores(each, draw_questions(1, NUM_DRAWS), seed) for seed, each in enumerate(halves)]
        columns = [
            (each.hallucination_rate, each.creativity_raw, each.creativity(), each.hcb_score(EQUAL)) for each in drawn
        ]
        for name, first, second in zip(QUANTITIES, *columns, strict=True):
            low, high = np.quantile(first - second, [0.025, 0.975], axis=0)
            if not np.isnan(low).all():  # a question with one accepted idea has no creativity
                row.add(name, ((low <= TIE) & (high >= -TIE)).mean())
        best = [find_best(each.ranking(EQUAL), table.exit_layers, each.has_creativity()) for each in drawn]
        for one, other in (best, best[::-1]):
            row.add("holds", other.optimal_layer in one.best_set)
            row.add("size", len(one.best_set))
            if one.kind == "clear":
                row.add("clear wrong", one.optimal_layer not in other.best_set)
    return row


def rows(scale: str, family: str, runs: int) -> dict[str, Callable[[], Row]]:
    """Every row of a family: its name, and how it is made."""
    made: dict[str, Callable[[], Row]] = {}
    for is_alike, layers in ((True, "alike"), (False, "independent")):
        for shape, num_samples in product(SHAPES, NUM_SAMPLES):
            for is_open, known in ((False, ""), (True, ", open")) if scale == "possible" else ((False, ""),):
                name = f"1 question, {shape}, {layers}, {num_samples}{known}"
                made[name] = partial(question_row, family, shape, is_alike, num_samples, is_open, scale, runs)
        for num_questions, num_samples in product(SET_SIZES, NUM_SAMPLES):
            fewer = max(runs // SET_SIZES[num_questions], 2)
            name = f"{num_questions} questions, {layers}, {num_samples}"
            made[name] = partial(set_row, family, is_alike, num_questions, num_samples, scale, fewer)
    return made


COLUMNS = (*QUANTITIES, "holds", "size", "clear wrong", "score - truth", "mean - truth")


def print_rows(made: dict[str, Row], columns: Sequence[str] = COLUMNS) -> None:
    """A line a row, then the mean and the extremes, then how well ``p_optimal`` is calibrated."""
    print("| questions, layers, answers | " + " | ".join(columns) + " | clear |\n" + "|---" * (len(columns) + 2) + "|")
    for name, row in made.items():
        cells = [f"{row.mean(column):.3f}" for column in columns]
        print(f"| {name} | {' | '.join(cells)} | {len(row.values.get('clear wrong', []))} |")
    means = [np.array([row.mean(column) for row in made.values()]) for column in columns]
    cells = [f"{mean_known(each).item():.3f}" for each in means]
    print(f"| mean of the rows | {' | '.join(cells)} | |")
    clear = [value for row in made.values() for value in row.values.get("clear wrong", [])]
    print(f"\n`clear` and wrong: {np.mean(clear) if clear else np.nan:.3f} of {len(clear)}")
    for label, is_mine in (("one question", "1 question,"), ("sets", "questions,")):
        bins = np.sum([row.bins for name, row in made.items() if is_mine in name] or [Row().bins], axis=0)
        shares = [
            f"{total[0] / total[2]:.2f}: {total[1] / total[2]:.2f} ({total[2]:.0f})" for total in bins if total[2]
        ]
        print(f"p_optimal, {label}: share that is the best (layers) " + ", ".join(shares))


def make_rows(scale: str, family: str, runs: int, keep: Path | None, only: str) -> dict[str, Row]:
    """The rows whose name has ``only`` in it; those in ``keep`` already are read from it."""
    lines = keep.read_text().splitlines() if keep and keep.exists() else []
    kept = {entry["row"]: Row(entry["values"], entry["bins"]) for entry in map(json.loads, lines)}
    made = {}
    for name, make in rows(scale, family, runs).items():
        if only not in name:
            continue
        key = f"{family}, {scale}, {runs}: {name}"
        made[name] = kept.get(key) or make()
        if keep and key not in kept:
            with keep.open("a") as file:
                file.write(json.dumps({"row": key, "values": made[name].values, "bins": made[name].bins}) + "\n")
    return made


def main() -> None:
    """Print the tables of ``docs/method.md``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100, help="of each row; fewer of large sets")
    parser.add_argument("--family", choices=FAMILIES, default="held_out")
    parser.add_argument("--scale", choices=SCALES, default="possible", help="of creativity")
    parser.add_argument("--only", default="", help="rows with this in their name")
    parser.add_argument("--keep", type=Path, help="file of finished rows")
    parser.add_argument("--halves", action="store_true", help="halves of the shipped answers instead")
    options = parser.parse_args()
    if options.halves:
        print_rows({f"1 question, {run_id}": halves_row(run_id) for run_id in ("0be6b1cadd189061", "a9a4b3a8654fe9da")})
    else:
        print_rows(make_rows(options.scale, options.family, options.runs, options.keep, options.only))


if __name__ == "__main__":
    main()
