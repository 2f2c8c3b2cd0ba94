"""Joins the shards of a sweep into one folder, whose samples are to the byte those of a sweep that was not divided.

That is exact, since the noise of a sample belongs to its question, layer and number, whoever draws it.
"""

import filecmp
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hcl_core import registry
from hcl_core.atomic import atomic_folder
from hcl_core.errors import RunFolderError
from hcl_core.judges.names import NO_JUDGE
from hcl_core.pipeline.scorer import Embeddings
from hcl_core.pipeline.stored import rescore
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import now
from hcl_core.runs.tables import KEY
from hcl_core.sweeps.folder import StoredCell, StoredSweep, SweepFolder


def merge_sweeps(folders: Sequence[SweepFolder], out: Path) -> SweepFolder:
    """Write the sweep ``out`` with the samples of all ``folders``.

    Its runs are judged and finished where no language model is needed for that; the same `sweep` command finishes the
    others, and samples what no folder has.

    Raises:
        RunFolderError: ``out`` exists; a folder holds no sweep or a damaged part; two hold different runs for one cell,
            or different samples of one question.
        DiskError: The disk is full, read-only or failing.
    """
    if out.exists():
        raise RunFolderError(f"{out} exists already: choose another folder for what is merged")
    cells = _cells(folders)
    embeddings = Embeddings(registry.load_embedder)
    with atomic_folder(out) as temporary:
        for run_id in dict.fromkeys(cell.run_id for cell in cells if cell.run_id is not None):
            runs = [RunFolder(folder.path / run_id) for folder in folders if (folder.path / run_id).is_dir()]
            _merge_run(runs, RunFolder(temporary / run_id), embeddings)
        SweepFolder(temporary).write(StoredSweep(tuple(cells)))
    return SweepFolder(out)


def _cells(folders: Sequence[SweepFolder]) -> list[StoredCell]:
    """Every cell of the folders once, as a whole sweep has it."""
    cells: dict[str, StoredCell] = {}
    shards: dict[str, list[StoredCell]] = {}
    for folder in folders:
        for cell in folder.read().cells:
            shards.setdefault(cell.key, []).append(cell)
            known = cells.setdefault(cell.key, cell)
            if None not in (cell.run_id, known.run_id) and cell.run_id != known.run_id:
                raise RunFolderError(
                    f"{folder.path}: {cell.describe()} is another run there ({cell.run_id}) than before "
                    f"({known.run_id}): its model, exit head or number format differ"
                )
            cells[cell.key] = known if known.run_id is not None else cell
    merged = []
    for key, cell in cells.items():
        run = next((found for each in folders if (found := each.run_of(cell)) is not None and found.exists), None)
        wanted = run.manifest().num_total_samples if run else sum(each.num_wanted for each in shards[key])
        foretold = [each.foretold_seconds for each in shards[key]]
        seconds = None if None in foretold else sum(each for each in foretold if each is not None)
        merged.append(replace(cell, num_wanted=wanted, foretold_seconds=seconds, problem=None))
    return merged


def _merge_run(runs: Sequence[RunFolder], target: RunFolder, embeddings: Embeddings) -> None:
    """Write ``target`` with the parts of ``runs`` in the order of the questions, as one run would have stored them."""
    runs = [run for run in runs if run.exists]
    if not runs:
        return
    for run in runs:
        if bad := run.bad_parts():
            raise RunFolderError(f"{bad[0].file} is damaged: the `sweep` command of its shard samples it again")
    manifests, stored = [run.manifest() for run in runs], runs[0].questions()
    if len({(each.run_id, each.view_id) for each in manifests}) > 1 or any(run.questions() != stored for run in runs):
        raise RunFolderError(
            f"{runs[-1].path}: its questions, right answers or judge differ from those of {runs[0].path}"
        )
    order = {each.question.id: index for index, each in enumerate(stored)}
    parts: list[tuple[int, int, Path]] = []
    for number, run in enumerate(runs):
        for file in run.parts.files():
            first = run.parts.read_part(file, KEY).column("question_id")[0].as_py()
            if not any(filecmp.cmp(file, other, shallow=False) for _, _, other in parts if other.parent != file.parent):
                parts.append((order[first], number, file))
    parts.sort(key=lambda part: part[:2])
    seconds = sum(each.decode_seconds for each in manifests)
    manifest = target.create(replace(manifests[0], finished_at=None, decode_seconds=seconds), stored)
    for index, (_, _, file) in enumerate(parts):
        shutil.copyfile(file, target.parts.path / f"part-{index:05d}.parquet")
    for run in runs:
        target.add_token_texts(run.token_texts())
    num_samples = len(target.sample_table(KEY))  # refuses a sample that stands in two parts
    if manifest.judge == NO_JUDGE or manifest.judge.startswith("llm:"):
        return  # plausibility needs the run's model, and a grader is asked only when somebody says so
    rescore(target, registry.load_judge(manifest.judge, embeddings.of), embeddings)
    if num_samples == manifest.num_total_samples:
        target.finish(now())
