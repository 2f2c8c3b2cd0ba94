"""From a request to stored scores: the request, the run, and the scores of a run folder."""

from hcl_core.pipeline.runner import (
    Decoding,
    Event,
    Finished,
    PreparedRun,
    Started,
    WaveDone,
    new_manifest,
    run,
    wave_bounds,
    with_prompts,
)

__all__ = [
    "Decoding",
    "Event",
    "Finished",
    "PreparedRun",
    "Started",
    "WaveDone",
    "new_manifest",
    "run",
    "wave_bounds",
    "with_prompts",
]
