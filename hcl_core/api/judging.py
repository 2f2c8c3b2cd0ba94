"""The verdicts on a stored run: read, or made again where they are missing, old, or asked of another judge."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from hcl_core import registry
from hcl_core.errors import SettingsError
from hcl_core.folders import runs_folder
from hcl_core.ideas.names import check_idea_finder
from hcl_core.judges.names import full_judge_name
from hcl_core.pipeline.scorer import Embeddings, Scorer
from hcl_core.pipeline.stored import read_outcomes, rescore
from hcl_core.pipeline.views import view_by
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest
from hcl_core.scores.metrics import OutcomeTable


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A run with its verdicts.

    Attributes:
        folder: The run's, or that of another view of its samples.
        manifest: Names the judge and the idea finder of the outcomes, even if these could not be stored.
        table: The outcomes.
        scorer: Has the verdicts that were made now; ``None`` where they were stored.
    """

    folder: RunFolder
    manifest: Manifest
    table: OutcomeTable
    scorer: Scorer | None = None


def judged(
    folder: RunFolder,
    judge: str | None = None,
    ideas: str | None = None,
    working: AbstractContextManager[object] | None = None,
) -> Judged:
    """A run, judged again if its verdicts are missing, or by another judge or idea finder.

    Verdicts of another judge, another version of it or another idea finder are a view of their own, in the folder of
    the user's runs.

    Args:
        folder: The run.
        judge: Name of a judge; ``None``: the run's.
        ideas: Name of an idea finder; ``None``: the run's.
        working: Entered while answers are judged.

    Raises:
        SettingsError: There is no such judge or idea finder, or it does not fit the run's questions.
        RunFolderError: There is no run, or it is damaged.
    """
    manifest = folder.manifest()
    name = manifest.judge if judge is None else full_judge_name(judge)
    ideas = ideas or manifest.ideas
    check_idea_finder(ideas)
    if folder.bad_parts():  # the log says which are left out
        manifest = replace(manifest, finished_at=None)
    if (name, ideas) == (manifest.judge, manifest.ideas) and (table := read_outcomes(folder)) is not None:
        return Judged(folder, manifest, table)
    if judge is None and name.startswith("llm:"):  # unless it is named, no request is sent to an endpoint
        raise SettingsError(
            f"{folder.path} was judged by {name}, and its verdicts are missing or old: give --judge {name} to ask "
            f'that model again (in Python, judge="{name}"), or another judge'
        )
    embeddings = Embeddings(registry.load_embedder)
    loaded = registry.load_judge(name, embeddings.of)
    place = view_by(folder, loaded.name, loaded.stamp, ideas, runs_folder())
    if place is not None and place.path != folder.path and (table := read_outcomes(place)) is not None:
        return Judged(place, place.manifest(), table)
    with working or nullcontext():
        scorer = rescore(place or folder, loaded, embeddings, ideas, is_stored=place is not None)
    return Judged(place or folder, replace(manifest, judge=loaded.name, ideas=ideas), scorer.table, scorer)
