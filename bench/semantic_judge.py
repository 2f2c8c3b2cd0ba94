"""Fit the semantic judge's four weights on the tuned half of a labelled set: ``python -m bench.semantic_judge FILE``.

Writes ``assets/judges/semantic.json``. In ten-fold cross-validation over questions, each threshold gains some answers
that are right and loses some that are wrong; of those within 5% of the best balance the strictest is taken, since to
call a wrong answer right is the worse mistake. ``judge-eval FILE --half held-out`` looks at the other half.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hcl_core import registry
from hcl_core.judges.alias import NOTHING_FOUND, AliasJudge
from hcl_core.judges.semantic import FEATURES, features
from hcl_core.pipeline.judge_eval import LabelledQuestion, read_labelled

OUT = Path(__file__).parents[1] / "assets" / "judges" / "semantic.json"
THRESHOLDS = np.arange(0.40, 0.86, 0.05)


def main() -> None:
    """Fit, report and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="a set of EVOUNA's schema")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    labelled, _ = read_labelled(options.file, "tuned")
    rows, is_right, groups = open_answers(labelled)
    model = make_pipeline(StandardScaler(), LogisticRegression())
    folds = GroupKFold(10)
    held_out = cross_val_predict(model, rows, is_right, groups=groups, cv=folds, method="predict_proba")[:, 1]
    gains = [int(((held_out >= bar) & is_right).sum() - ((held_out >= bar) & ~is_right).sum()) for bar in THRESHOLDS]
    threshold = max(
        float(bar.round(2)) for bar, gain in zip(THRESHOLDS, gains, strict=True) if gain >= 0.95 * max(gains)
    )
    print(f"{len(rows)} answers without an accepted answer, {is_right.sum()} of them right to people")
    for bar, gain in zip(THRESHOLDS, gains, strict=True):
        called = held_out >= bar
        rightly, wrongly = (called & is_right).sum(), (called & ~is_right).sum()
        print(f"threshold {bar:.2f}: {rightly} rightly, {wrongly} wrongly, gain {gain}")
    scaler, regression = model.fit(rows, is_right)
    weights = regression.coef_[0] / scaler.scale_
    entry = {
        "made_by": f"python -m bench.semantic_judge {options.file.name}",
        "fitted_on": {
            "questions": len(labelled),
            "answers": len(rows),
            "blake2b": hashlib.blake2b(options.file.read_bytes(), digest_size=8).hexdigest(),
        },
        "alias_judge": AliasJudge.stamp,
        "weights": {name: round(float(weight), 4) for name, weight in zip(FEATURES, weights, strict=True)},
        "bias": round(float(regression.intercept_[0] - weights @ scaler.mean_), 4),
        "threshold": threshold,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(entry, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {options.out.name}: threshold {threshold}")


def open_answers(labelled: list[LabelledQuestion]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, people's labels and question numbers of the answers in which the alias judge finds nothing."""
    judge, embedder = AliasJudge(), registry.load_embedder()
    rows, is_right, groups = [], [], []
    for number, each in enumerate(labelled):
        judgements = judge.judge(each.question, list(each.answers.values()))
        by_model = zip(each.answers, judgements, strict=True)
        undecided = [model for model, judgement in by_model if judgement.reason == NOTHING_FOUND]
        if undecided:
            rows += features(each.question, [each.answers[model] for model in undecided], embedder.embed)
            is_right += [each.is_right[model] for model in undecided]
            groups += [number] * len(undecided)
    return np.array(rows), np.array(is_right), np.array(groups)


if __name__ == "__main__":
    main()
