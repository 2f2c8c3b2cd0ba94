"""Views of a run's samples: which run folder holds the verdicts that somebody asks for, and where its samples are.

A view is a run folder named by its id, see ``runs.view``. Views of the same samples have the same run id, and their
parts are the same files under several names, so each can be deleted alone. A folder without a view id, as older
versions wrote it, is named by its run id and holds one view too.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hcl_core.errors import DiskError, RunBusyError, RunFolderError, RunReadOnlyError
from hcl_core.folders import precomputed_folder
from hcl_core.judges.names import judge_stamp
from hcl_core.pipeline.scorer import stamps_of
from hcl_core.records import StoredQuestion
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest
from hcl_core.runs.view import view_id

_log = logging.getLogger(__name__)


def view_id_of(manifest: Manifest, questions: Sequence[StoredQuestion], stamp: str) -> str:
    """The id of the view that a judge with that stamp makes of a run, by the manifest's idea finder and embedder."""
    return view_id((each.question for each in questions), stamps_of(stamp, manifest)[1], manifest.preset)


def stored_view_id(folder: RunFolder) -> str:
    """The id of the view that a folder holds: of its verdicts, or, without any, of those that its judge makes now.

    Raises:
        RunFolderError: Its manifest or its questions cannot be read.
    """
    manifest, made_by = folder.manifest(), folder.stamps()[1]
    questions = folder.questions()
    if made_by is None:
        return view_id_of(manifest, questions, judge_stamp(manifest.judge) or manifest.judge)
    return view_id((each.question for each in questions), made_by, manifest.preset)


def check_same_view(folder: RunFolder, manifest: Manifest) -> None:
    """Raise ``RunFolderError`` if ``folder`` holds another view than that of ``manifest``, of the same samples."""
    if manifest.view_id is None or not folder.exists or folder.half_manifest() is not None:
        return
    if (held := folder.manifest().view_id or stored_view_id(folder)) != manifest.view_id:
        raise RunFolderError(
            f"{folder.path} holds these answers with other right answers or another judge ({held}), and keeps them: "
            "choose another folder"
        )


def place_of(manifest: Manifest, questions: Sequence[StoredQuestion], runs: Path) -> tuple[RunFolder, Manifest]:
    """The folder in ``runs`` for the view of ``manifest``, and the manifest as it is to be written there.

    A folder of an older version, which is named by the run id, goes on to be used if it holds this view.
    """
    older = RunFolder(runs / manifest.run_id)
    try:
        if older.exists and older.manifest().run_id == manifest.run_id and stored_view_id(older) == manifest.view_id:
            return older, replace(manifest, view_id=None)
    except RunFolderError as error:
        _log.warning("%s is left as it is: %s", older.path, error)
    return RunFolder(runs / manifest.id), manifest


def find_samples(run_id: str, beside: RunFolder, runs: Path) -> RunFolder | None:
    """The run in ``runs``, or else that came with the program, with the most parts of the samples of that run id.

    ``None`` without any but ``beside``.
    """
    best: tuple[int, RunFolder] | None = None
    for root in (runs, precomputed_folder()):
        for path in sorted(root.iterdir()) if root.is_dir() else ():
            folder = RunFolder(path)
            if path.name.startswith(".") or path == beside.path or not _is_of(folder, run_id):
                continue
            num_parts = len(folder.parts.files())
            if num_parts and (best is None or num_parts > best[0]):
                best = num_parts, folder
    return best[1] if best else None


def _is_of(folder: RunFolder, run_id: str) -> bool:
    try:
        # Most of the other manifests are not parsed.
        return run_id.encode() in folder.manifest_content() and folder.manifest().run_id == run_id
    except (OSError, RunFolderError):  # damaged, or gone meanwhile
        return False


def view_by(folder: RunFolder, judge: str, stamp: str, ideas: str, runs: Path) -> RunFolder | None:
    """The folder for the verdicts of a judge on the samples of ``folder``; made in ``runs`` if it is a new view.

    Args:
        folder: A run; it stays as it is.
        judge: Name of the judge.
        stamp: Of the judge.
        ideas: Name of the idea finder.
        runs: Folder of runs.

    Returns:
        ``folder`` itself if it holds that view, or none yet; ``None`` if a new one cannot be written.
    """
    manifest, questions = folder.manifest(), folder.questions()
    asked = replace(manifest, judge=judge, ideas=ideas)
    wanted = view_id_of(asked, questions, stamp)
    held = manifest.view_id or stored_view_id(folder)
    if wanted == held or (manifest.view_id is None and folder.stamps() == (None, None)):
        return folder
    asked = replace(asked, view_id=wanted, finished_at=None if folder.bad_parts() else manifest.finished_at)
    place, written = place_of(asked, questions, runs)
    try:
        with place.writing():
            if not place.exists:
                place.create(written, questions)
            take_all(place, folder)
    except (DiskError, RunBusyError, RunReadOnlyError) as error:
        _log.warning("%s: its verdicts are not stored: %s", place.path, error)
        return None
    return place


def take_all(place: RunFolder, source: RunFolder) -> None:
    """Take over what ``place`` lacks of the samples of another view, and the texts of their tokens."""
    if place.parts.fit(source.parts):
        for file in place.parts.missing(source.parts):
            place.parts.take(file)
        place.add_token_texts(source.token_texts())
