"""Two runs of the same questions: how much they differ, and how sure that is."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hcl_core.api.judging import Judged
from hcl_core.api.runs import Run, open_run
from hcl_core.records import Scaling, Weights
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import differing_settings
from hcl_core.scores.comparison import RunComparison, compare_runs

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """First run minus second, on the questions and layers that both have.

    Attributes:
        differences: One row an exit layer: the difference of each score, and its 95% interval as two columns
            ``..._low`` and ``..._high``.
        num_questions: In both, and answered in both.
        optimal_layers: Of the first and the second; ``None`` where no layer has a right answer.
        p_same_optimal: Probability that the same layer is the best of both, in [0, 1]; ``None`` where a run has no
            right answer.
        settings_that_differ: By name, each with both values.
    """

    differences: "pd.DataFrame"
    num_questions: int
    optimal_layers: tuple[int | None, int | None]
    p_same_optimal: float | None
    settings_that_differ: dict[str, list[object]]


def compare(first: Run | str | Path, second: Run | str | Path) -> Comparison:
    """Compare two runs of the same questions, with the weights and the scaling of the first.

    Args:
        first: A run, or its folder or zip file.
        second: The same.

    Raises:
        SettingsError: They have no question or no layer in common.
        RunFolderError: There is no run in a folder.
    """
    import pandas as pd

    runs = [each if isinstance(each, Run) else open_run(each) for each in (first, second)]
    sides = [Judged(RunFolder(run.folder), run.manifest, run.table) for run in runs]
    made = compare_judged(sides[0], sides[1], runs[0].weights, runs[0].scaling)
    return Comparison(
        pd.DataFrame(made.rows()),
        made.num_questions,
        made.optimal_layers,
        made.p_same_optimal,
        differing_settings(runs[0].manifest, runs[1].manifest),
    )


def compare_judged(first: Judged, second: Judged, weights: Weights, scaling: Scaling) -> RunComparison:
    """Two judged runs, as ``scores.comparison.compare_runs`` has it."""
    # Ids and texts: two question files may both number their questions from 1.
    questions = [[(each.question.id, each.question.text) for each in run.folder.questions()] for run in (first, second)]
    return compare_runs((first.table, second.table), (questions[0], questions[1]), weights, scaling)
