"""What endpoints return: plain records for JSON and for tables, with ``None`` where there is no number."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, TypedDict

from app.library import StoredRun
from app.outcomes import Scored
from app.question_view import QuestionView
from hcl_core.judges.names import asked_judge
from hcl_core.models.head_records import HeadChoice
from hcl_core.models.lens_records import LensTable
from hcl_core.records import Question
from hcl_core.runs.answers import LayerAnswers
from hcl_core.runs.manifest import Manifest
from hcl_core.scores.best_layers import BestLayers
from hcl_core.scores.comparison import RunComparison
from hcl_core.settings.layers import format_layers
from hcl_core.strict_json import finite
from hcl_core.transfer.export import score_table

# Of a row, as JSON: texts, numbers, and lists of them.
Row = dict[str, Any]


class Verdict(TypedDict):
    """Which layers may be the best; see ``BestLayers``."""

    kind: str
    optimal_layer: int | None
    best_set: list[int]
    best_set_probability: float
    equal_layers: list[int]
    expected_hcb: float | None


class Head(TypedDict):
    """Which exit head read the layers, and what has to be known of it; see ``HeadChoice``."""

    asked: str
    taken: str
    reason: str
    note: str | None


class RunResult(TypedDict):
    """One question of a run."""

    run_id: str
    question_id: str
    question: str
    accept: list[str]
    settings: Row
    complete: bool
    num_answers: int
    num_wanted: int
    exit_head: Head
    verdict: Verdict
    scores: list[Row]
    answers: list[Row]


class StoredResult(TypedDict):
    """A stored run, or one question of it."""

    run_id: str
    settings: Row
    num_questions: int
    questions: list[Row]
    exit_head: Head
    verdict: Verdict
    scores: list[Row]
    answers: list[Row]
    samples: list[Row]


class ScoreResult(TypedDict):
    """Scores under one balance."""

    run_id: str
    creativity_weight: float
    scaling: str
    verdict: Verdict
    scores: list[Row]


class LensResult(TypedDict):
    """What every layer says at each token of an answer."""

    prompt: str
    tokens: list[str]
    settles: list[int]
    exit_head: Head | None
    cells: list[Row]


class RunsResult(TypedDict):
    """Stored runs."""

    num_runs: int
    runs: list[Row]


class CompareResult(TypedDict):
    """The first run minus the second."""

    runs: list[str]
    settings_that_differ: Row
    num_questions: int
    optimal_layers: list[int | None]
    p_same_optimal: float | None
    rank_correlation: Row
    layers: list[Row]


class StatusResult(TypedDict):
    """What the page can do now."""

    version: str
    public: bool
    models: list[Row]
    running: int
    waiting: int
    limits: Row


def settings_of(manifest: Manifest) -> Row:
    """What a run was asked for, as the parameters of ``run`` that make it again."""
    settings = manifest.settings
    return {
        "model": settings.model,
        "layers": format_layers(settings.exit_layers),
        "samples": settings.num_samples,
        **asdict(settings.sampling),
        "exit_head": manifest.asked_exit_head,
        "judge": asked_judge(manifest.judge),
        "strategy": settings.strategy,
        "template": settings.template.name,
    }


def head_of(manifest: Manifest) -> Head:
    """Of a run; those older than the record of the choice know the head's name alone."""
    name = manifest.settings.exit_head
    return head_record(manifest.head_choice) or {"asked": name, "taken": name, "reason": "", "note": None}


def head_record(choice: HeadChoice | None) -> Head | None:
    """As a record."""
    if choice is None:
        return None
    return {"asked": choice.asked, "taken": choice.taken, "reason": choice.reason, "note": choice.describe()}


def verdict_of(scored: Scored) -> Verdict:
    """Which layers may be the best."""
    best: BestLayers = scored.uncertainty.best
    return {
        "kind": best.kind,
        "optimal_layer": scored.best,
        "best_set": list(best.best_set),
        "best_set_probability": best.probability,
        "equal_layers": list(best.equal_layers),
        "expected_hcb": finite(best.expected_hcb),
    }


def score_rows(scored: Scored) -> list[Row]:
    """A row a layer: each score, and ``..._low`` and ``..._high`` of its 95% interval."""
    rows: list[Row] = score_table(scored.scores, scored.uncertainty.layers, scored.is_open).to_pylist()
    return rows


def answer_rows(layers: Iterable[LayerAnswers]) -> list[Row]:
    """A row for each different answer of a layer, the most frequent first."""
    return [
        {
            "exit_layer": layer.exit_layer,
            "answer": answer.text,
            "count": answer.count,
            "outcome": answer.outcome,
            "idea": answer.idea,
            "idea_number": answer.cluster_id,
            "confidence": answer.confidence,
        }
        for layer in layers
        for answer in layer.answers
    ]


def sample_rows(view: QuestionView) -> list[Row]:
    """A row for each sample."""
    return [
        {
            "exit_layer": sample.exit_layer,
            "sample": sample.sample_idx,
            "answer": sample.answer,
            "outcome": view.verdicts[sample.key].outcome,
            "reason": view.verdicts[sample.key].reason,
            "idea_number": view.ideas.get(sample.key),
            "confidence": sample.confidence,
            "finish_reason": sample.finish_reason,
            "completion": sample.completion_text,
        }
        for sample in view.samples
    ]


def question_rows(questions: Iterable[Question]) -> list[Row]:
    """A row for each question."""
    return [{"id": each.id, "text": each.text, "accept": accepted_of(each)} for each in questions]


def accepted_of(question: Question) -> list[str]:
    """The accepted answers as ``run`` takes them."""
    return [" | ".join(names) for names in question.ideas]


def run_row(run: StoredRun, question: str | None) -> Row:
    """A stored run in a list; ``question`` is the text of the only one."""
    manifest = run.manifest
    return {
        "run_id": manifest.id,
        "name": run.title.name,
        "question": question,
        "question_set": manifest.question_set,
        "num_questions": manifest.num_questions,
        **settings_of(manifest),
        "created_at": manifest.created_at,
        "is_shipped": run.is_shipped,
    }


def lens_cells(table: LensTable) -> list[Row]:
    """A row for each layer and token."""
    return [
        {
            "exit_layer": layer + 1,
            "position": position,
            "token": token,
            "top_tokens": table.top_token_texts[layer][position],
            "top_probabilities": table.top_probabilities[layer, position].tolist(),
            "entropy": float(table.entropy[layer, position]),
            "final_rank": int(table.final_rank[layer, position]),
            "text_rank": int(table.text_rank[layer, position]),
            "kl_to_last": float(table.kl_to_last[layer, position]),
        }
        for layer in range(table.num_hidden_layers)
        for position, token in enumerate(table.token_texts)
    ]


def comparison_rows(comparison: RunComparison) -> list[Row]:
    """A row a layer that both runs have: each difference, and ``..._low`` and ``..._high`` of its 95% interval."""
    return [{name: finite(value) for name, value in row.items()} for row in comparison.rows()]


def rank_rows(comparison: RunComparison) -> Mapping[str, Row]:
    """By score, how alike both runs order the layers."""
    return {
        name: {"estimate": finite(rank.estimate), "low": finite(rank.drawn[0]), "high": finite(rank.drawn[1])}
        for name, rank in comparison.rank_correlation.items()
    }
