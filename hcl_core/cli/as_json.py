"""The objects that the terminal prints with ``--json``."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hcl_core.pipeline.judge_eval import JudgeReport
from hcl_core.pipeline.judge_precision import Precision
from hcl_core.records import Scaling, Weights, of_kind
from hcl_core.runs.manifest import Manifest, differing_settings
from hcl_core.scores.comparison import RunComparison
from hcl_core.scores.intervals import Difference, uncertainty
from hcl_core.scores.metrics import OutcomeTable, score_layers
from hcl_core.strict_json import finite


def scores_as_json(manifest: Manifest, table: OutcomeTable, weights: Weights, scaling: Scaling) -> dict[str, Any]:
    """The output of ``score --json`` without measures."""
    scores, sure = score_layers(table, weights, scaling), uncertainty(table, weights, scaling)
    layers = []
    for score, intervals in zip(scores, sure.layers, strict=True):
        entry: dict[str, object] = {
            name: finite(value) for name, value in of_kind(asdict(score), table.is_open).items()
        }
        for name, value in of_kind(asdict(intervals), table.is_open).items():
            entry[name] = [finite(bound) for bound in value] if isinstance(value, tuple) else value
        layers.append(entry)
    return {
        "run_id": manifest.run_id,
        "id": manifest.id,
        "model": manifest.settings.model,
        "complete": manifest.finished_at is not None,
        "judge": manifest.judge,
        "scaling": scaling,
        "layers": layers,
        "optimal_layer": sure.best.optimal_layer,
        "verdict": sure.best.kind,
        "best_set": list(sure.best.best_set),
        "best_set_probability": sure.best.probability,
        "equal_layers": list(sure.best.equal_layers),
        "expected_hcb": finite(sure.best.expected_hcb),
    } | ({"open": True} if table.is_open else {})


def comparison_as_json(manifests: Sequence[Manifest], comparison: RunComparison) -> dict[str, object]:
    """The output of ``compare --json`` for two runs."""
    return {
        "runs": [manifest.id for manifest in manifests],
        "settings_that_differ": differing_settings(*manifests),
        "num_questions": comparison.num_questions,
        "optimal_layers": list(comparison.optimal_layers),
        "p_same_optimal": comparison.p_same_optimal,
        "rank_correlation": {
            name: {"estimate": finite(rank.estimate), "drawn": [finite(bound) for bound in rank.drawn]}
            for name, rank in comparison.rank_correlation.items()
        },
        "layers": [
            {"exit_layer": layer}
            | {name: difference_as_json(by_layer[index]) for name, by_layer in comparison.differences.items()}
            for index, layer in enumerate(comparison.exit_layers)
        ],
    }


def difference_as_json(difference: Difference) -> dict[str, object]:
    """A difference and its 95% interval."""
    return {"difference": finite(difference.estimate), "ci": [finite(bound) for bound in difference.interval]}


def report_as_json(report: JudgeReport, num_left_out: int) -> dict[str, object]:
    """The agreement in the output of ``judge-eval --json``."""
    models = {model: asdict(each) | {"kappa": finite(each.kappa)} for model, each in report.models.items()}
    return {
        "models": models,
        "mean_agreement": finite(report.mean_agreement),
        "num_left_out": num_left_out,
        "judgements_per_second": round(report.judgements_per_second),
    }


def precision_as_json(precisions: Sequence[Precision]) -> list[dict[str, float]]:
    """The chance hits of early layers in the output of ``judge-eval --json``, one entry a temperature."""
    return [asdict(each) | {"chance_hits": each.chance_hits} for each in precisions]
