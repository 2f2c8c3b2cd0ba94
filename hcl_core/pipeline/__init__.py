"""From a request to stored scores: the request, the run, and the scores of a run folder."""

from hcl_core.pipeline.events import Decoding, Event, Finished, Started, WaveDone
from hcl_core.pipeline.prepared import Followed, PreparedRun, new_manifest, with_prompts
from hcl_core.pipeline.runner import run
from hcl_core.pipeline.waves import wave_bounds

__all__ = [
    "Decoding",
    "Event",
    "Finished",
    "Followed",
    "PreparedRun",
    "Started",
    "WaveDone",
    "new_manifest",
    "run",
    "wave_bounds",
    "with_prompts",
]
