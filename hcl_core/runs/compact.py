"""A copy of a finished run in few and small files, as the runs are that ship with the program."""

import shutil
from pathlib import Path

from hcl_core.atomic import atomic_folder
from hcl_core.errors import RunFolderError
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.tables import stamped, write_compact

_OPTIONAL = ("measures.parquet", "plausibility.parquet", "tokens.parquet")


def write_compact_copy(folder: RunFolder, target: Path) -> RunFolder:
    """Copy a finished run to ``target``: one part, its samples in key order.

    Raises:
        RunFolderError: The run is not finished, or ``target`` exists.
    """
    if folder.manifest().finished_at is None:
        raise RunFolderError(f"{folder.path} is not complete: give its `run` command again to finish it")
    if target.exists():
        raise RunFolderError(f"{target} exists already")
    with atomic_folder(target) as copy:
        (copy / "samples").mkdir()
        for name in ("manifest.json", "questions.jsonl", "layer_scores.parquet", *_OPTIONAL):
            if name not in _OPTIONAL or (folder.path / name).is_file():
                shutil.copyfile(folder.path / name, copy / name)
        tables = {
            "samples/part-00000.parquet": folder.sample_table(),
            "verdicts.parquet": folder.verdict_table(),
            "clusters.parquet": folder.cluster_table(),
        }
        question_order = {stored.question.id: index for index, stored in enumerate(folder.questions())}
        for (name, table), stamp in zip(tables.items(), (None, *folder.stamps()), strict=True):
            if table is None:
                raise RunFolderError(f"{folder.path} has no {name}: `score` makes it again")
            write_compact(copy / name, stamped(table, stamp), question_order)
    return RunFolder(target)
