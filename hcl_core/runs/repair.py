"""Make a run folder readable again: damaged files are moved out of the way, and none is deleted."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from hcl_core.errors import RunFolderError, file_and_cause
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.half_manifest import mend_manifest
from hcl_core.runs.set_aside import set_aside
from hcl_core.runs.tables import KEY
from hcl_core.runs.verify import verify_run


def repair_run(folder: RunFolder) -> list[Path]:
    """Write a manifest that was cut off anew, and move damaged files and repeated parts to ``set_aside``.

    A run that lacks samples afterwards is no longer marked as finished: the same ``run`` command samples them.

    Returns:
        Where each file now is that was moved.

    Raises:
        RunBusyError: Another process is writing to the run.
        RunFolderError: There is no run, or too little of the manifest is left.
        DiskError: The disk is full, read-only or failing.
    """
    if not folder.exists:
        folder.manifest()  # raises, before a lock is left where no run is
    with folder.writing():
        moved = _mend_manifest(folder)
        problems = [problem for problem in verify_run(folder) if problem.can_be_set_aside]
        moved += [set_aside(folder.path / problem.file, folder.path) for problem in problems]
        manifest = folder.manifest()
        if manifest.finished_at is not None and len(folder.sample_table(KEY)) != manifest.num_total_samples:
            folder.write_manifest(replace(manifest, finished_at=None))
    return moved


def _mend_manifest(folder: RunFolder) -> list[Path]:
    """Replace a manifest that was cut off; what was left of it is set aside."""
    fields = folder.half_manifest()
    if fields is None:
        return []
    file, questions = folder.path / "manifest.json", folder.path / "questions.jsonl"
    try:
        created_at = datetime.fromtimestamp(questions.stat().st_mtime, UTC).isoformat(timespec="seconds")
        manifest = mend_manifest(fields, folder.read_questions(), created_at)
    except (OSError, RunFolderError) as error:
        raise RunFolderError(
            f"{file}: too little is left to write it anew ({file_and_cause(error)}): give the same `run` command again"
        ) from None
    moved = set_aside(file, folder.path)
    folder.write_manifest(manifest)
    return [moved]
