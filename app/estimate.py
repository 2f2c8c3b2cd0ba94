"""How long a run would take, from how long others took: as a range, before it is started."""

import math
from collections.abc import Sequence

from hcl_core.models.catalogue import find_model
from hcl_core.pipeline.request import RunRequest
from hcl_core.runs.manifest import Manifest


def estimate_seconds(
    request: RunRequest, exit_layers: Sequence[int], manifests: Sequence[Manifest]
) -> tuple[float, float] | None:
    """Least and most seconds of decoding, scaled from the run most like it.

    Blocks and readouts grow with the layers that are asked for; the answers of a layer share their beginnings, so
    the cost grows with their number at least like its root and at most in proportion. Another catalogue model is
    scaled by its parameters, which leaves the machine's memory out: each end is twice as far then. Longer answers
    cost the root of their limit's growth, since most end before it.

    Args:
        request: What would be run.
        exit_layers: That it asks for.
        manifests: Of finished runs, shipped ones among them.

    Returns:
        ``None`` where no run is like it.
    """
    known = [each for each in manifests if each.decode_seconds > 0 and each.finished_at and _size(each.settings.model)]
    if not known or not _size(request.model):
        return None
    nearest = min(known, key=lambda each: _distance(request, each))
    settings = nearest.settings
    scale = len(request.questions) / nearest.num_questions
    scale *= sum(exit_layers) / sum(settings.exit_layers)
    scale *= _size(request.model) / _size(settings.model)
    scale *= max(request.sampling.max_new_tokens / settings.sampling.max_new_tokens, 1) ** 0.5
    ratio = request.num_samples / settings.num_samples
    seconds, spread = nearest.decode_seconds * scale, 1.5
    if settings.model != request.model:
        spread *= 2
    low, high = sorted((seconds * ratio, seconds * math.sqrt(ratio)))
    return low / spread, high * spread


def _size(model: str) -> int:
    """Millions of parameters; 0 where they are not known."""
    model_found = find_model(model)
    return model_found.parameters if model_found else 0


def _distance(request: RunRequest, manifest: Manifest) -> tuple[bool, bool, float, float]:
    settings = manifest.settings
    wants_linear = request.exit_head in ("auto", "linear")
    return (
        settings.model != request.model,
        (settings.exit_head == "linear") != wants_linear,
        abs(settings.sampling.temperature - request.sampling.temperature),
        abs(math.log(request.num_samples / settings.num_samples)),
    )
