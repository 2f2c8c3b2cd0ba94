"""Exit heads from the page, fitted or taken in: one at a time a visitor, in turn with the runs of the first device."""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from app.jobs import Job, Jobs
from app.live import Notice, Ready
from app.models_in_memory import LoadedModel, ModelsInMemory
from app.places import Caller, Places
from hcl_core import registry
from hcl_core.errors import LimitError, SettingsError
from hcl_core.models.head_records import FitProgress, FitSettings, HeadConfig, HeadTrial
from hcl_core.pipeline.estimate import Foretold, MachineSpeed, foretell_fit

_Event = TypeVar("_Event")


@dataclass(frozen=True, slots=True)
class Fitted:
    """The end of a fit.

    Attributes:
        file: Of the head; ``auto`` finds it there.
        config: What the head says of itself.
    """

    file: Path
    config: HeadConfig


@dataclass(frozen=True, slots=True)
class TakenIn:
    """A head that came from somebody else is kept.

    Attributes:
        trial: How well it reads the model.
        is_used: Whether ``auto`` takes it: else the one that was fitted for the model's own weights.
    """

    trial: HeadTrial
    is_used: bool


class HeadFits:
    """What fits heads, and takes them in.

    Args:
        models: That are in memory, or can be loaded.
        jobs: What the visitors' buttons have started.
        places: Of the page.
        speed: Of this machine.
        is_allowed: Not on a public page, whose disk and processor are its owner's, nor where a GPU is lent.
    """

    def __init__(
        self, models: ModelsInMemory, jobs: Jobs, places: Places, speed: MachineSpeed, is_allowed: bool
    ) -> None:
        self._models, self._jobs, self._places, self._speed = models, jobs, places, speed
        self.is_allowed = is_allowed

    def foretell(self, model: str, settings: FitSettings) -> Foretold | None:
        """How long a fit would take; ``None`` where that is not known."""
        return foretell_fit(model, settings.num_tokens, self._speed)

    def fit(
        self, model: str, settings: FitSettings, visitor: str, address: str = ""
    ) -> Generator[Notice | FitProgress | Fitted, None, None]:
        """Fit a head for the model; stopped, the next fit with the same settings goes on from there.

        Raises:
            HclError: Anything that the visitor can mend.
            StoppedError: The visitor stopped it.
        """
        if not self.is_allowed:
            raise LimitError("this page fits no exit heads: run the program yourself for it")

        def work(loaded: LoadedModel, job: Job) -> Generator[FitProgress | Fitted, None, None]:
            file, events = registry.fit_head(loaded.first.lm, loaded.checkpoint.revision, settings, None)
            with closing(events):
                while True:
                    # A batch of texts at a time: runs of others take their steps in between.
                    event = loaded.first.scheduler.call(lambda: next(events))
                    if isinstance(event, HeadConfig):
                        yield Fitted(file, event)
                        return
                    yield event
                    job.check()

        yield from self._with_model(model, visitor, address, work)

    def take_in(
        self, model: str, file: Path, replace: bool, visitor: str, address: str = ""
    ) -> Generator[Notice | TakenIn, None, None]:
        """Check a head that somebody else fitted against the model, and keep it; see ``registry.import_head``.

        Raises:
            HeadIsThereError: There is another one, and ``replace`` is false.
            HclError: Anything that the visitor can mend.
            StoppedError: The visitor stopped it before the check began.
        """
        if not self.is_allowed:
            raise LimitError("this page takes in no exit heads: run the program yourself for it")
        registry.check_shared(file)  # before a model is loaded for it

        def work(loaded: LoadedModel, _: Job) -> Generator[TakenIn, None, None]:
            def check() -> TakenIn:
                kept, trial = registry.import_head(file, loaded.first.lm, replace=replace)
                return TakenIn(trial, registry.find_head(loaded.first.lm) in (None, kept))

            yield loaded.first.scheduler.call(check)

        yield from self._with_model(model, visitor, address, work)

    def _with_model(
        self, model: str, visitor: str, address: str, work: Callable[[LoadedModel, Job], Generator[_Event, None, None]]
    ) -> Generator[Notice | _Event, None, None]:
        """``work`` with the model in memory, once it is there."""
        if not model.strip():
            raise SettingsError("choose the model of the exit head")
        with (
            self._places.take(Caller(visitor, address)),
            self._jobs.work(visitor, "fit_head") as job,
            (yield from self._models.take(model, job)) as loaded,
        ):
            job.check()
            yield Ready()
            with closing(work(loaded, job)) as events:
                yield from events
