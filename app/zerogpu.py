"""A page on a ZeroGPU Space: the package ``spaces`` lends a GPU for one task at a time, in a forked process.

The models are placed on the GPU that ``spaces`` stands in for when the program starts; what a task brings comes back
as arrays (``hcl_core.tasks``). Judging, storing and everything else happens here, with a copy of each model on the CPU
that makes prompts and tokens and computes nothing.
"""

import importlib
import math
import re
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hcl_core import registry
from hcl_core.errors import GpuError, SettingsError
from hcl_core.folders import cache_folder
from hcl_core.models.catalogue import find_model
from hcl_core.pipeline.apart import ApartDecoder, ApartLikelihood, Compute, answers_of
from hcl_core.pipeline.estimate import MachineSpeed, expected_seconds, foretell
from hcl_core.pipeline.prepared import PreparedRun
from hcl_core.pipeline.request import RunRequest
from hcl_core.tasks import LensTask, Task, Told

if TYPE_CHECKING:
    from hcl_core.decode.model.checkpoints import Checkpoint
    from hcl_core.decode.model.language_model import LanguageModel
    from hcl_core.models.lens_records import LensTable

# Seconds in which the process is forked and the weights are moved, before the first token.
_START_SECONDS = 10
# The most that is asked for at a stretch: the default of ``spaces``. What a visitor is granted depends on who they are.
MOST_SECONDS = 60
# What a task is given whose work is not foretold: a lens, answers read again, a strategy other than early exit.
_PLAIN_SECONDS = 30
_WAIT = re.compile(r"Try again in ((?:\d+ days?, )?\d+:\d\d:\d\d)")

# Does a task with the model of that name; the number is its seconds.
Lent = Callable[[str, Task, int], Generator[Told, None, None]]


def is_zero_gpu(environment: Mapping[str, str]) -> bool:
    """Whether the program runs on a ZeroGPU Space, as ``spaces`` itself decides it."""
    return environment.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


@dataclass(frozen=True, slots=True)
class _Placed:
    """A model in its two copies.

    Attributes:
        on_gpu: Used by tasks alone.
        on_cpu: Used by the page, never to compute.
        checkpoint: The weights of both.
    """

    on_gpu: "LanguageModel"
    on_cpu: "LanguageModel"
    checkpoint: "Checkpoint"


class LentGpu:
    """The models of a ZeroGPU Space, and a GPU for each task.

    Construct it in the main thread, before torch is imported and before the page is launched: ``spaces`` stands in for
    CUDA in that thread alone, and keeps what is on it when the page is launched.

    Attributes:
        speed: What tasks have taken.

    Args:
        names: Of the models, in the catalogue.
        speed_file: Where what tasks have taken is kept, see ``MachineSpeed``.
    """

    def __init__(self, names: Sequence[str], speed_file: Path) -> None:
        lend = importlib.import_module("spaces").GPU
        self._placed = {name: _place(name) for name in names}
        self.speed = MachineSpeed(speed_file)
        do_task = registry.do_task  # imported before the fork

        def do(model: str, task: Task, seconds: int) -> Generator[Told, None, None]:
            yield from do_task(self._placed[model].on_gpu, task)

        self._lent: Lent = lend(do, duration=_duration)

    @classmethod
    def of_settings(cls, names: str) -> "LentGpu":
        """With the models that the page's owner names, with commas between.

        Raises:
            SettingsError: One of them is not in the catalogue.
            HclError: One of them cannot be loaded.
        """
        known = {name.strip(): find_model(name.strip()) for name in names.split(",") if name.strip()}
        if unknown := [name for name, model in known.items() if model is None]:
            raise SettingsError(f"HCL_ZEROGPU_MODELS must name models that `models` lists; got {unknown[0][:80]!r}")
        placed = [model.name for model in known.values() if model is not None]
        return cls(placed, cache_folder() / "speed-gpu.json")

    def load(self, name: str, dtype: str) -> "tuple[LanguageModel, Checkpoint]":
        """The copy for the page, as ``registry.load_model`` returns it; raises ``SettingsError`` for other models."""
        placed = self._placed[self._name_of(name)]
        return placed.on_cpu, placed.checkpoint

    def has(self, name: str) -> bool:
        """Whether the model was placed."""
        return (known := find_model(name)) is not None and known.name in self._placed

    def apart(self, ready: PreparedRun, request: RunRequest, check: Callable[[], None]) -> PreparedRun:
        """``ready``, with everything computed on the GPU.

        Args:
            ready: Of the copy for the page.
            request: What was asked for.
            check: Raises where nobody wants the answers any more.
        """
        name, settings = self._name_of(request.model), ready.manifest.settings
        num_tokens = ready.manifest.num_total_samples * request.sampling.max_new_tokens
        expected = expected_seconds(request, settings.exit_layers, None)
        foretold = foretell(request, settings.exit_layers, None, self.speed)
        a_token = foretold.high / num_tokens if foretold is not None else _PLAIN_SECONDS / num_tokens
        compute = self._compute(name, a_token, None if expected is None else expected / num_tokens)
        asked = (request.exit_head, request.template, request.strategy)
        most_tokens = max(1, int((MOST_SECONDS - _START_SECONDS) / a_token))
        return replace(
            ready,
            manifest=replace(ready.manifest, device=self._placed[name].on_gpu.device_name),
            decoder=ApartDecoder(ready.decoder, compute, asked, most_tokens, check),
            whole_model=ready.whole_model and ApartLikelihood(self._compute(name), request.template),
        )

    def look(self, model: str, task: LensTask) -> "LensTable":
        """The token lens, computed on the GPU."""
        with closing(self._compute(self._name_of(model))(task, 0)) as told:
            (table,) = answers_of(told)
        return table  # type: ignore[return-value]  # of a LensTask

    def _compute(self, name: str, a_token: float | None = None, reference: float | None = None) -> Compute:
        """Tasks with a model.

        Args:
            name: Of the model.
            a_token: Foretold seconds a token; ``None``: unknown.
            reference: The same on the reference machine, to learn from; ``None``: unknown.
        """

        def compute(task: Task, num_tokens: int) -> Generator[Told, None, None]:
            seconds = _PLAIN_SECONDS if a_token is None else _START_SECONDS + math.ceil(a_token * num_tokens)
            began = 0.0
            try:
                with closing(self._lent(name, task, min(seconds, MOST_SECONDS))) as told:
                    for each in told:
                        began = began or time.monotonic()
                        yield each
            except Exception as error:
                if (known := _explained(error)) is None:
                    raise
                raise known from error
            if reference is not None:
                self.speed.learn(name, time.monotonic() - began, reference * num_tokens)

        return compute

    def _name_of(self, name: str) -> str:
        known = find_model(name)
        if known is None or known.name not in self._placed:
            raise SettingsError(f"this page has a GPU for {', '.join(self._placed)} alone; got {name[:80]!r}")
        return known.name


def _place(name: str) -> _Placed:
    on_gpu, checkpoint = registry.load_model(name)
    on_cpu, _ = registry.load_model(name, on_gpu.dtype_name, "cpu")
    return _Placed(on_gpu, on_cpu, checkpoint)


def _duration(model: str, task: Task, seconds: int) -> int:
    """What ``spaces`` asks for: the seconds that the task was given."""
    return seconds


def _explained(error: Any) -> GpuError | None:
    """An error of ``spaces`` in words of ours, found by its title; ``None`` for any other."""
    title, text = str(getattr(error, "title", "")), str(error)
    if title in ("ZeroGPU quota exceeded", "ZeroGPU pending credits exceeded"):
        if (wait := _WAIT.search(text)) is not None:
            return GpuError(f"your GPU time is spent for now: try again in {wait[1]} (hours, minutes, seconds)")
        return GpuError("the GPU time of this page or of yours is spent for now: try again later")
    if title in ("ZeroGPU queue timeout", "ZeroGPU client error"):
        return GpuError("no GPU was free within a minute: try again in a while")
    if title == "ZeroGPU illegal duration":
        return GpuError("this needs the GPU for longer than it is lent: ask for fewer layers, answers or tokens")
    if title == "ZeroGPU worker error" and "aborted" in text:
        return GpuError(
            "the GPU's time was up before the answers were finished: press Run to go on with what is stored"
        )
    return None
