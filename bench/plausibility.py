"""Does plausibility say something true? ``python -m bench.plausibility precomputed/0be6b1cadd189061 --questions 20``.

By layer, over questions evenly spread over a run: plausibility, the share of right answers, and their rank correlation.
Within a question and layer: how often a right answer is more plausible than a wrong one.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import rankdata, spearmanr

from hcl_core import registry
from hcl_core.pipeline.stored import read_outcomes
from hcl_core.records import Sample
from hcl_core.runs.folder import RunFolder
from hcl_core.scores.measures import plausibility
from hcl_core.scores.metrics import FloatArray, OutcomeTable, hallucination_rate

_SHOWN_LAYERS, _NUM_SHOWN = (6, 18, 24, 30), 3


def read_answers(folder: RunFolder, indices: Sequence[int]) -> tuple[FloatArray, list[list[Sample]]]:
    """Mean log-probabilities ``[len(indices), E, N]`` of the answers to some questions of a run, and the answers."""
    settings = folder.manifest().settings
    model = registry.load_whole_model(settings)
    columns = {layer: column for column, layer in enumerate(settings.exit_layers)}
    values: FloatArray = np.full((len(indices), len(columns), settings.num_samples), np.nan)
    questions, answers = folder.questions(), []
    for row, index in enumerate(indices):
        samples = folder.samples(questions[index].question.id)
        measured = model.mean_logprobs(questions[index], [sample.completion_token_ids for sample in samples])
        for sample, value in zip(samples, measured, strict=True):
            values[row, columns[sample.exit_layer], sample.sample_idx] = value
        answers.append(samples)
        print(f"{row + 1} of {len(indices)}", end="\r", flush=True)
    return values, answers


def share_right_above_wrong(values: FloatArray, is_right: np.ndarray) -> tuple[float, int]:
    """Mean share of pairs whose right answer is more plausible, over cells that have both kinds, and those cells.

    Args:
        values: ``[cells, N]``.
        is_right: Likewise.
    """
    shares = []
    for row, right in zip(values, is_right, strict=True):
        num_right, num_wrong = int(right.sum()), int((~right).sum())
        if num_right and num_wrong:
            ranks = rankdata(row)  # of a tie both count half
            shares.append((ranks[right].sum() - num_right * (num_right + 1) / 2) / (num_right * num_wrong))
    return float(np.mean(shares)), len(shares)


def print_answers(values: FloatArray, answers: list[list[Sample]], exit_layers: tuple[int, ...]) -> None:
    """The most and the least plausible answers of some layers."""
    for layer in _SHOWN_LAYERS:
        column = exit_layers.index(layer)
        cells = {
            (round(float(values[row, column, sample.sample_idx]), 2), sample.answer[:60])
            for row, samples in enumerate(answers)
            for sample in samples
            if sample.exit_layer == layer
        }
        ranked = sorted(cells)
        print(f"layer {layer}: least {ranked[:_NUM_SHOWN]}\n  most {ranked[-_NUM_SHOWN:]}")


def print_layers(table: OutcomeTable, values: FloatArray) -> None:
    """A row a layer, and the rank correlations."""
    is_right = table.outcomes >= 0
    rates = 1 - hallucination_rate(table.outcomes)
    means = np.array(plausibility(values))
    print("layer  right  plausibility  of right  of wrong")
    right, wrong = (np.array(plausibility(np.where(chosen, values, np.nan))) for chosen in (is_right, ~is_right))
    for row in zip(table.exit_layers, rates, means, right, wrong, strict=True):
        print("{:5d}  {:5.2f}  {:12.2f}  {:8.2f}  {:8.2f}".format(*row))
    for first in (1, len(means) // 2 + 1):
        correlation = spearmanr(rates[first - 1 :], means[first - 1 :]).statistic
        print(f"rank correlation with the share of right answers, layers from {first}: {correlation:.2f}")
    shape = (-1, is_right.shape[2])
    share, num_cells = share_right_above_wrong(values.reshape(shape), is_right.reshape(shape))
    print(f"right above wrong within a question and layer: {share:.2f} of pairs, {num_cells} question-layers")


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--questions", type=int, default=20)
    options = parser.parse_args()
    folder = RunFolder(options.run)
    table = read_outcomes(folder)
    if table is None:
        raise SystemExit("judge this run first")
    indices = np.linspace(0, len(table.outcomes) - 1, options.questions).round().astype(int).tolist()
    values, answers = read_answers(folder, indices)
    print_layers(table.part(indices), values)
    print_answers(values, answers, table.exit_layers)


if __name__ == "__main__":
    main()
