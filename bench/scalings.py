"""Ways to scale creativity, compared: ``python -m bench.scalings``.

How well each one's HCB intervals and ``p_optimal`` hold on ``bench.populations``, and where the balance slider moves
the best layer for questions with 3 and with 195 accepted ideas. ``--keep FILE`` as in ``bench.coverage``.
"""

import argparse
from pathlib import Path

import numpy as np

from bench.coverage import SCALES, Row, make_rows
from bench.populations import TrueQuestion, make_question
from hcl_core.records import Weights
from hcl_core.scores.metrics import hcb_score

NUM_SAMPLES = 24
NUM_LAYERS = 16
NUM_QUESTIONS = 2000
STEPS = np.linspace(0, 1, 21)


def turns(question: TrueQuestion, scale: str) -> tuple[float, float]:
    """The creativity weights between which the best layer goes from the most accurate to the most creative one.

    Both are NaN where these are the same layer.
    """
    ideas = question.num_ideas(NUM_SAMPLES)
    creativity = SCALES[scale](ideas, ideas / min(NUM_SAMPLES, question.num_accepted_ideas))
    best = [
        int(np.argmax(hcb_score(creativity, question.hallucination_rate, Weights(share, 1 - share)).round(9)))
        for share in STEPS.round(2).tolist()
    ]
    if best[0] == best[-1]:
        return np.nan, np.nan
    left = next(place for place, layer in enumerate(best) if layer != best[0])
    came = next(place for place, layer in enumerate(best) if set(best[place:]) == {best[-1]})
    return float(STEPS[left]), float(STEPS[came])


def slider(scale: str, num_accepted_ideas: int) -> str:
    """Medians of ``turns`` over made questions whose layers are not alike."""
    rng = np.random.default_rng(0)
    shape = "few_large" if num_accepted_ideas == 3 else "many_rare"
    found: list[tuple[float, float]] = []
    while len(found) < NUM_QUESTIONS:
        question = make_question("held_out", shape, False, NUM_LAYERS, rng)
        if shape == "many_rare" or question.odds.shape[1] == num_accepted_ideas + 1:
            found.append(turns(TrueQuestion(question.odds, num_accepted_ideas), scale))
    left, came = np.nanmedian(found, axis=0)
    return f"{left:.2f} to {came:.2f}"


def summary(rows: dict[str, Row]) -> list[str]:
    """Coverage of creativity and HCB, worst row of HCB, calibration, and what becomes of the best layer."""
    hcb = [row.mean("HCB") for row in rows.values()]
    clear = [value for row in rows.values() for value in row.values.get("clear wrong", [])]
    bins = np.sum([row.bins for row in rows.values()], axis=0)
    gaps = [abs(total[0] - total[1]) / total[2] for total in bins if total[2] >= 50]
    means = [np.mean([row.mean(name) for row in rows.values()]) for name in ("creativity", "holds", "score - truth")]
    return [
        f"{means[0]:.3f}",
        f"{np.mean(hcb):.3f}",
        f"{min(hcb):.3f}",
        f"{max(gaps):.3f}",
        f"{means[1]:.3f}",
        f"{np.mean(clear):.3f} of {len(clear)}",
        f"{means[2]:+.3f}",
    ]


def main() -> None:
    """Print the table of ``docs/method.md``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=60, help="of each row; fewer of large sets")
    parser.add_argument("--keep", type=Path, help="file of finished rows")
    options = parser.parse_args()
    print(
        "| scaling | creativity holds | HCB holds | worst row | p_optimal off by at most | set holds the best "
        "| clear and wrong | score - truth | slider, 3 ideas | slider, 195 ideas |\n" + "|---" * 10 + "|"
    )
    for scale in SCALES:
        rows = make_rows(scale, "held_out", options.runs, options.keep, "")
        known = {name: row for name, row in rows.items() if "open" not in name}
        print(f"| {scale} | " + " | ".join([*summary(known), slider(scale, 3), slider(scale, 195)]) + " |", flush=True)


if __name__ == "__main__":
    main()
