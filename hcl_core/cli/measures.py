"""The measures of ``--measures``: their names, and their values by layer."""

from collections.abc import Callable, Sequence
from dataclasses import asdict

from hcl_core import registry
from hcl_core.cli.progress import bars
from hcl_core.errors import SettingsError
from hcl_core.pipeline.plausibility import measure_plausibility, read_plausibility
from hcl_core.pipeline.scorer import Embeddings
from hcl_core.pipeline.stored import measure
from hcl_core.pipeline.storing import store_if_writable, store_layer_scores
from hcl_core.ports import AnswerLikelihood
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest
from hcl_core.scores.measures import MEASURE_NAMES, MODEL_MEASURES, TEXT_MEASURES, measure_outcomes, plausibility
from hcl_core.scores.metrics import OutcomeTable

MEASURES_HELP = (
    f"More columns: all, or some of {', '.join(MEASURE_NAMES)}. all has plausibility only where the run has it stored."
)
_ALL = "all"


def parse_measures(text: str | None) -> list[str]:
    """Names of the measures in ``text``; ``["all"]`` for all; raises ``SettingsError`` for an unknown one."""
    names = [part.strip() for part in text.split(",")] if text is not None else []
    if unknown := [name for name in names if name not in MEASURE_NAMES and names != [_ALL]]:
        raise SettingsError(f"measures must be all, or some of {', '.join(MEASURE_NAMES)}; got {unknown[0]!r}")
    return names


def measure_columns(
    folder: RunFolder,
    manifest: Manifest,
    table: OutcomeTable,
    names: Sequence[str],
    load_model: Callable[[], AnswerLikelihood],
) -> dict[str, list[float]]:
    """Values by layer of the measures in ``names``, by name.

    Args:
        folder: The run.
        manifest: Of it.
        table: Its outcomes; of open questions, a plausibility that is computed is written to it, too.
        names: From ``parse_measures``.
        load_model: The run's model; called only for a measure that needs it and is not stored. The embedder is loaded
            only for measures that need it, too.
    """
    wants_all = list(names) == [_ALL]
    wanted = set(MEASURE_NAMES if wants_all else names)
    rows: list[dict[str, float]] = [asdict(layer) for layer in measure_outcomes(table, manifest.cost)]
    if wanted & set(TEXT_MEASURES):
        embeddings = Embeddings(registry.load_embedder)
        with bars() as progress:
            task = progress.add_task("Measuring", total=manifest.num_questions, unit="questions")
            texts = measure(folder, table, embeddings, lambda done: progress.update(task, completed=done))
        rows = [row | asdict(layer) for row, layer in zip(rows, texts, strict=True)]
    if wanted & set(MODEL_MEASURES):
        values = read_plausibility(folder)
        if values is None and not wants_all:
            model = load_model()
            with bars() as progress:
                task = progress.add_task("Reading answers", total=manifest.num_questions, unit="questions")
                values = measure_plausibility(folder, model, lambda done: progress.update(task, completed=done))
            if table.is_open:
                table.plausibilities[:] = values
                store_if_writable(folder, "scores", lambda: store_layer_scores(folder, table))
        if values is not None:
            rows = [row | {"plausibility": mean} for row, mean in zip(rows, plausibility(values), strict=True)]
    return {name: [row[name] for row in rows] for name in (MEASURE_NAMES if wants_all else names) if name in rows[0]}
