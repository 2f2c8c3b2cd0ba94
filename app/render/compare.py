"""Several runs over each other on the tab Compare."""

from app.figures.compared import compared_curves
from app.handlers.compare import ComparedRun, Comparison
from app.handlers.links import Link
from app.language import Translator
from app.render import Parts
from app.views.base import sentence
from app.views.comparison import comparison as comparison_view
from app.views.program_code import compare_programs
from app.views.runs import link_box
from app.views.share import programs_box
from app.views.verdicts import own_elsewhere
from hcl_core.runs.manifest import is_run_id


def comparison_parts(comparison: Comparison, by_share: bool, words: Translator) -> Parts:
    """What was found, the curves, and the address.

    Args:
        comparison: Of the chosen runs.
        by_share: Whether a layer is drawn at its share of the model's depth.
        words: The page's.
    """
    runs, measure = comparison.runs, comparison.measure
    if not runs:
        return {"text": f'<p class="hcl-note">{words("choose_runs")}</p>', "chart": None, "link": ""}
    notes = [*(sentence(note, words) for note in comparison.notes), own_elsewhere(comparison.num_own, words)]
    names = [run.name for run in runs]
    query = Link("compare", compared=comparison.ids, measure=measure, by_share=by_share).query()
    stored = [each for each in comparison.ids if is_run_id(each)]  # the others are published curves
    programs = programs_box(compare_programs(*stored[:2]), words) if len(stored) > 1 else ""
    return {
        "text": comparison_view(comparison.comparisons, measure, names, _differing(runs), notes, words),
        "chart": _chart(comparison, by_share, words),
        "link": link_box(query, words) + programs,
    }


def _chart(comparison: Comparison, by_share: bool, words: Translator) -> Parts | None:
    drawn = [(index, run.curve) for index, run in enumerate(comparison.runs) if run.curve]
    if not drawn:
        return None
    numbers = {index: number for number, (index, _) in enumerate(drawn)}
    differences = [
        (numbers[index], each.exit_layers, each.differences[comparison.measure])
        for index, each in comparison.comparisons
        if index in numbers and 0 in numbers
    ]
    return compared_curves([curve for _, curve in drawn], differences, words, by_share, comparison.measure)


def _differing(runs: tuple[ComparedRun, ...]) -> dict[str, list[object]]:
    """Settings that are not the same in all runs; a published curve has its model and temperature alone."""
    settings = [run.settings for run in runs]
    names = [name for name in settings[0] | settings[-1] if len({str(each.get(name, "–")) for each in settings}) > 1]
    return {name: [each.get(name, "–") for each in settings] for name in names}
