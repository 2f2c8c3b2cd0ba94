"""The models in memory: as many as fit. For another one, the one that was not used for longest is let go."""

import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

from app.jobs import Job, Jobs
from app.live import Loading, Waiting
from hcl_core import registry
from hcl_core.allocator import release_freed_memory
from hcl_core.errors import NotEnoughMemoryError

if TYPE_CHECKING:
    from hcl_core.decode.model.checkpoints import Checkpoint
    from hcl_core.decode.model.language_model import LanguageModel
    from hcl_core.decode.scheduler import Scheduler, Turn

# Loads the model of a name on each device, as ``registry.load_replicas`` does.
Load = Callable[[str], "tuple[tuple[LanguageModel, ...], Checkpoint]"]


@dataclass(frozen=True, eq=False, slots=True)
class Replica:
    """A model on one device.

    Attributes:
        lm: The model.
        scheduler: Everybody computes with it through this.
    """

    lm: "LanguageModel"
    scheduler: "Scheduler"


@dataclass(eq=False, slots=True)
class LoadedModel:
    """A model in memory; it stays at least until each of its users has left its ``with`` block.

    Attributes:
        name: As the visitor chose it.
        replicas: Of the model, by the number of their device; all are loaded and let go together.
        checkpoint: The weights that they were loaded from.
    """

    name: str
    replicas: tuple[Replica, ...]
    checkpoint: "Checkpoint"
    _changed: threading.Condition
    _num_users: int = field(default=0, init=False)

    def use(self) -> "LoadedModel":
        """The model, for a ``with`` block."""
        with self._changed:
            self._num_users += 1
        return self

    @property
    def first(self) -> Replica:
        """The replica that says what is the same on each: tokens, prompts, the id of a run."""
        return self.replicas[0]

    @property
    def is_used(self) -> bool:
        """Whether it must stay."""
        return self._num_users > 0

    def __enter__(self) -> "LoadedModel":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self._num_users -= 1
            self._changed.notify_all()


class ModelsInMemory:
    """The models that visitors use or have used, each with a scheduler on each device.

    Args:
        load: See ``Load``; always for the same devices.
        jobs: With the queue for loading.
        seconds_left: Estimate of the time after which nobody uses the model of that name; ``None`` where unknown.
    """

    def __init__(self, load: Load, jobs: Jobs, seconds_left: Callable[[str], float | None]) -> None:
        self._load_replicas, self._jobs, self._seconds_left = load, jobs, seconds_left
        self._changed = threading.Condition()
        self._models: dict[str, LoadedModel] = {}  # the one that was not used for longest in front
        # Of each device; made with the first model, so that a page without one loads no torch.
        self._turns: tuple[Turn, ...] = ()
        self._somebody_needs_room = False
        self._loading: tuple[str, float] | None = None  # name, and when it began
        self._load_seconds: dict[str, float] = {}  # of each name's last load

    @property
    def names(self) -> tuple[str, ...]:
        """Of the models in memory."""
        return tuple(self._models)

    def find(self, name: str) -> LoadedModel | None:
        """The model of that name, if it is in memory."""
        return self._models.get(name)

    def take(self, name: str, job: Job) -> Generator[Waiting | Loading, None, LoadedModel]:
        """Wait for a model, and load it if need be; what a visitor is told meanwhile. The caller uses it in ``with``.

        Raises:
            HclError: It cannot be loaded.
            StoppedError: The job was stopped.
        """
        if (model := self._use(name, is_first=False)) is not None:
            return model
        with self._jobs.queued(job) as places:
            for num_before in places:
                yield Waiting(num_before, self._seconds_to_load(name))
            if (model := self._use(name, is_first=True)) is not None:
                return model
            yield Loading(name)
            return (yield from self._load(name, job))

    def _use(self, name: str, is_first: bool) -> LoadedModel | None:
        """The model if it is in memory, and nobody but the first in the queue waits for its room."""
        with self._changed:
            if (model := self._models.get(name)) is None or (self._somebody_needs_room and not is_first):
                return None
            self._models[name] = self._models.pop(name)
            return model.use()

    def _load(self, name: str, job: Job) -> Generator[Waiting, None, LoadedModel]:
        while True:
            job.check()
            self._loading = (name, time.monotonic())
            try:
                lms, checkpoint = self._load_replicas(name)
                self._load_seconds[name] = time.monotonic() - self._loading[1]
                break
            except NotEnoughMemoryError:
                if not self._models:
                    raise
            finally:
                self._loading = None
            yield from self._make_room(job)
        self._turns = self._turns or tuple(registry.Turn() for _ in lms)
        replicas = [Replica(lm, registry.Scheduler(turn)) for lm, turn in zip(lms, self._turns, strict=True)]
        with self._changed:
            model = self._models[name] = LoadedModel(name, tuple(replicas), checkpoint, self._changed)
            return model.use()

    def _make_room(self, job: Job) -> Generator[Waiting, None, None]:
        """Let the model go that was not used for longest; where all are used, wait until one is not.

        Meanwhile newcomers queue behind this job, also for models in memory: else it could wait forever.
        """
        with self._changed:
            self._somebody_needs_room = True
        try:
            if self._unused() is None:
                known = [seconds for name in self._models if (seconds := self._seconds_left(name)) is not None]
                yield Waiting(0, min(known, default=None), "memory")
            with self._changed:
                job.wait_for(self._changed, lambda: self._unused() is not None)
                if (name := self._unused()) is not None:
                    del self._models[name]
        finally:
            self._somebody_needs_room = False
        release_freed_memory()

    def _unused(self) -> str | None:
        return next((name for name, model in self._models.items() if not model.is_used), None)

    def _seconds_to_load(self, name: str) -> float | None:
        """Time left until the model of that name is there, where it is being loaded, and not for the first time."""
        if (loading := self._loading) is None or loading[0] != name or name not in self._load_seconds:
            return None
        return max(0.0, self._load_seconds[name] - (time.monotonic() - loading[1]))
