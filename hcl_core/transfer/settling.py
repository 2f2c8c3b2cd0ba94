"""Where a run that comes from elsewhere is stored: under which id, and beside what is there."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pyarrow as pa

from hcl_core.errors import RunFolderError
from hcl_core.folders import precomputed_folder
from hcl_core.judges.person import person_verdicts_json, read_person_verdicts
from hcl_core.pipeline.views import find_samples, stored_view_id
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.tables import KEY
from hcl_core.transfer.vetting import PERSONS

Outcome = Literal["stored", "view", "there", "other"]


def settle(copy: RunFolder, into: Path) -> tuple[str, Outcome]:
    """Name of the folder in ``into`` for a run that was checked, and what it means to store it there.

    A run gets the view id that its content makes, unless it is an older one that has none and needs none: its run id
    stands for no other verdicts here. ``ImportedRun.outcome`` says what the outcomes are.
    """
    manifest, view = copy.manifest(), stored_view_id(copy)
    here, shipped = (_view_in(root / manifest.run_id) for root in (into, precomputed_folder()))
    is_taken = here is not None or shipped not in (None, view) or (into / view).exists()
    name = view if here != view and (manifest.view_id is not None or is_taken) else manifest.run_id
    if name == view and manifest.view_id != view:
        _give_id(copy, view)
    target = RunFolder(into / name)
    if target.exists:
        return name, "there" if _has_same_answers(target, copy) else "other"
    beside = find_samples(manifest.run_id, target, into)
    if beside is None or _view_in(beside.path) in (None, view):
        return name, "stored"
    copy.parts.share(beside.parts)
    return name, "view"


def _view_in(path: Path) -> str | None:
    """The view that a run folder holds; ``None`` where there is none, or a damaged one."""
    folder = RunFolder(path)
    try:
        return stored_view_id(folder) if folder.exists else None
    except RunFolderError:
        return None


def _give_id(copy: RunFolder, view: str) -> None:
    """Write another view id to a run, and to a person's verdicts on it."""
    persons, before = copy.path / PERSONS, copy.manifest()
    if persons.exists():
        given = read_person_verdicts(persons, before.id)
        persons.write_text(person_verdicts_json(view, given), encoding="utf-8")
    copy.write_manifest(replace(before, view_id=view))


def _has_same_answers(first: RunFolder, second: RunFolder) -> bool:
    """Whether two runs have the same samples with the same answers; ``False`` where the first is damaged."""
    try:
        return bool(_answers(first).equals(_answers(second)))
    except RunFolderError:
        return False


def _answers(folder: RunFolder) -> pa.Table:
    table = folder.sample_table([*KEY, "answer"])
    table = table.set_column(0, KEY[0], table[KEY[0]].cast(pa.string()))
    return table.sort_by([(name, "ascending") for name in KEY]).combine_chunks()
