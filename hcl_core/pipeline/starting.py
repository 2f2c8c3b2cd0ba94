"""From a request and a loaded model to a run under way, in the folder where it belongs."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hcl_core import registry
from hcl_core.folders import runs_folder
from hcl_core.pipeline.events import Event
from hcl_core.pipeline.prepared import PreparedRun
from hcl_core.pipeline.request import RunRequest, prepare
from hcl_core.pipeline.runner import run
from hcl_core.pipeline.scorer import Embeddings
from hcl_core.pipeline.views import find_samples, place_of
from hcl_core.runs.folder import RunFolder

if TYPE_CHECKING:
    from hcl_core.decode.model.checkpoints import Checkpoint
    from hcl_core.decode.model.language_model import LanguageModel


def start(
    request: RunRequest,
    lm: "LanguageModel",
    checkpoint: "Checkpoint",
    out: Path | None = None,
    at_once: int | None = None,
    *,
    runs: Path | None = None,
    embeddings: Embeddings | None = None,
    wants: Callable[[str], bool] | None = None,
    others: "Sequence[LanguageModel]" = (),
) -> tuple[RunFolder, Generator[Event, None, None]]:
    """The folder of a run, and its events; nothing is decoded or written before the first of them is asked for.

    Args:
        request: The settings.
        lm: The model.
        checkpoint: Its weights.
        out: The run's folder; ``None``: one among ``runs``, named by the run's id.
        at_once: See ``runner.run``.
        runs: Where runs are kept, and their samples looked for; ``None``: with the user's.
        embeddings: Of a caller that starts several runs; the sentence embedder is loaded once for all.
        wants: See ``runner.run``.
        others: See ``request.prepare``.

    Raises:
        HclError: As ``request.prepare``.
    """
    prepared = prepare(request, lm, checkpoint, embeddings or Embeddings(registry.load_embedder), others)
    return start_prepared(prepared, out, at_once, runs=runs, wants=wants)


def start_prepared(
    prepared: PreparedRun,
    out: Path | None = None,
    at_once: int | None = None,
    *,
    runs: Path | None = None,
    wants: Callable[[str], bool] | None = None,
) -> tuple[RunFolder, Generator[Event, None, None]]:
    """``start`` for a run that is prepared."""
    runs = runs_folder() if runs is None else runs
    if out is None:
        folder, manifest = place_of(prepared.manifest, prepared.questions, runs)
        prepared = replace(prepared, manifest=manifest)
    else:
        folder = RunFolder(out)
    source = None if folder.exists else find_samples(prepared.manifest.run_id, folder, runs)
    return folder, run(folder, prepared, at_once=at_once, source=source, wants=wants)
