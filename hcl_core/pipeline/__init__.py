"""From what was asked for to stored scores: the request, the run, and scores of what a folder holds."""

from hcl_core.pipeline.runner import (
    Decoding,
    Event,
    Finished,
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
    "Started",
    "WaveDone",
    "new_manifest",
    "run",
    "wave_bounds",
    "with_prompts",
]
