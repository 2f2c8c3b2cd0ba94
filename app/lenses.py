"""The token lenses of visitors: each look in turn with the runs of everybody, and the last one of each visitor."""

import threading
import time
from collections.abc import Generator

from cachetools import LRUCache

from app.jobs import JobKind, Jobs
from app.limits import check_public_head, check_public_model
from app.live import Notice, Ready
from app.models_in_memory import ModelsInMemory
from app.places import Caller, Places, SecondsBook
from app.shared_runs import SharedRuns
from app.weights import Weights
from app.zerogpu import LentGpu
from hcl_core import registry
from hcl_core.errors import RunFolderError, SettingsError
from hcl_core.models.lens_records import RESID_POST, LensTable, head_at
from hcl_core.tasks import LensTask

# Bytes of a prompt that is read through the token lens, each a token at most; with its own tokens shown, a quarter.
_MOST_BYTES = 4_000
# Visitors whose last lens is in memory.
_MOST_VISITORS = 128


class Lenses:
    """What reads prompts through the token lens.

    Args:
        models: That are in memory, or can be loaded.
        runs: Of all visitors: a look is at the device that computes for the fewest.
        jobs: What the visitors' buttons have started.
        places: Of the page.
        seconds: Of models that callers have had.
        weights: Those that come in packages.
        gpu: What computes on a ZeroGPU Space; ``None`` elsewhere.
        is_public: Whether others than the owner of the machine can reach the page.
    """

    def __init__(
        self,
        models: ModelsInMemory,
        runs: SharedRuns,
        jobs: Jobs,
        places: Places,
        seconds: SecondsBook,
        weights: Weights,
        gpu: LentGpu | None,
        is_public: bool,
    ) -> None:
        self._models, self._runs, self._jobs, self._places, self._seconds = models, runs, jobs, places, seconds
        self._weights, self._gpu, self._is_public = weights, gpu, is_public
        self._lock = threading.Lock()
        self._last: LRUCache[str, LensTable] = LRUCache(_MOST_VISITORS)

    def look(
        self,
        model: str,
        exit_head: str,
        prompt: str,
        whole_text: bool,
        max_new_tokens: int,
        visitor: str,
        address: str = "",
        kind: JobKind = "lens",
        site: str = RESID_POST,
    ) -> Generator[Notice | LensTable, None, None]:
        """The most probable tokens of every layer along the model's own greedy answer to ``prompt``, at the end.

        Raises:
            HclError: Anything that the visitor can mend.
            StoppedError: The visitor stopped it.
        """
        yield from self._weights.arrive(self._jobs, visitor, kind)
        if self._is_public:
            check_public_model(model)
            check_public_head(exit_head)
        head_name = head_at(site, exit_head)
        if not prompt.strip():
            raise SettingsError("the token lens needs a prompt: type one, or take a question's")
        most = _MOST_BYTES // 4 if whole_text else _MOST_BYTES
        if (size := len(prompt.encode())) > most:
            raise SettingsError(f"this prompt has {size:,} bytes; the token lens takes {most:,} here: shorten it")
        caller = Caller(visitor, address)
        with (
            self._places.take(caller),
            self._jobs.work(visitor, kind) as job,
            (yield from self._models.take(model, job)) as loaded,
            self._seconds.account(caller, 0.0) as account,
        ):
            job.check()
            yield Ready()

            replica = loaded.replicas[self._runs.least_used_device]

            def read() -> LensTable:
                job.check()
                began = time.monotonic()
                try:
                    head = registry.load_exit_head(head_name, replica.lm)
                    return registry.read_layers_along_answer(
                        replica.lm,
                        head,
                        "prompt",
                        prompt,
                        max_new_tokens=max_new_tokens,
                        whole_text=whole_text,
                        site=site,
                    )
                finally:
                    account.taken = time.monotonic() - began

            if self._gpu is not None:
                table = self._gpu.look(model, LensTask(exit_head, prompt, max_new_tokens, whole_text, site))
            else:
                table = replica.scheduler.call(read)
            with self._lock:
                job.check()  # nothing is kept of a visitor who has left meanwhile
                if kind != "program":  # which has no screen
                    self._last[visitor] = table
        yield table

    def last(self, visitor: str) -> LensTable:
        """The visitor's last one; raises ``RunFolderError`` if it is gone."""
        with self._lock:
            table = self._last.get(visitor)
        if table is None:
            raise RunFolderError("this look is no longer in memory: press Look again")
        return table

    def forget(self, visitor: str) -> None:
        """Nothing of the visitor's is kept; their jobs have been stopped."""
        with self._lock:
            self._last.pop(visitor, None)
