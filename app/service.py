"""What the page may do: which models there are, and a visitor's run."""

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

from cachetools import LRUCache

from app import library
from app.head_fits import HeadFits
from app.jobs import JobKind, Jobs
from app.lenses import Lenses
from app.limits import check_public_request, check_seconds
from app.live import LiveEvent, LiveRun, Notice
from app.measured_texts import MeasuredTexts
from app.models_in_memory import LoadedModel, ModelsInMemory, Replica
from app.places import Caller, Places, RunClock, SecondsBook
from app.question_view import QuestionView
from app.sets import QuestionSets
from app.settings import PageSettings
from app.shared_run import SharedRun
from app.shared_runs import SharedRuns
from app.store import RunStore
from app.verdict_book import VerdictBook
from app.watching.counts import counted
from app.weights import Weights
from app.zerogpu import LentGpu
from hcl_core import pipeline, registry
from hcl_core.errors import RunFolderError
from hcl_core.folders import runs_folder
from hcl_core.models.catalogue import CATALOGUE, DEFAULT_MODEL, CatalogueModel
from hcl_core.pipeline.estimate import Foretold, MachineSpeed, RunTimer, foretell
from hcl_core.pipeline.prepared import PreparedRun
from hcl_core.pipeline.request import RunRequest, on_replica, prepare
from hcl_core.pipeline.scorer import Embeddings
from hcl_core.pipeline.views import find_samples, place_of
from hcl_core.runs import trash
from hcl_core.settings.prompts import PromptTemplate

# Answers a layer of the first wave of a run, divided by the runs on its device: small first waves show something soon.
_FIRST_WAVE = 8
# How much larger each further wave is; with other runs on its device, few large ones take less of the model's time.
_GROWTH, _GROWTH_IN_COMPANY = 2, 32
# Visitors whose last run is in memory.
_MOST_VISITORS = 128


class Service:
    """One for the whole program: the models, the runs under way and the embedder, shared by all visitors.

    Attributes:
        sets: The question sets that each visitor has.
        jobs: What the visitors' buttons have started.
        models: In memory.
        head_fits: What fits exit heads.
        lenses: What reads prompts through the token lens.
        measured_texts: What measures the texts of questions.
        own_verdicts: What visitors say of answers.
        weights: Those that come in packages.
        settings: See below.
        is_public: Whether others than the owner of the machine can reach the page; see ``app.limits``.
        places: Of the runs and looks of all visitors.

    Args:
        settings: The owner's, with the limits of a public page; ``None``: those of a page of one's own.
        dtype: Number format of the weights; see ``registry.load_replicas``.
        gpu: What computes on a ZeroGPU Space; ``None`` elsewhere.
        weights: See the attribute; ``None``: none are fetched.
        device: That models are loaded on, or several, as ``registry.load_replicas`` takes them; no matter with ``gpu``.
    """

    def __init__(
        self,
        settings: PageSettings | None = None,
        dtype: str = "auto",
        gpu: LentGpu | None = None,
        weights: Weights | None = None,
        device: str = "auto",
    ) -> None:
        self.settings = settings = settings or PageSettings(public=False, proxies=0)
        self.is_public = is_public = settings.is_public
        self._gpu = gpu
        self.sets, self.jobs, self.places = QuestionSets(is_public), Jobs(), Places(settings)
        most_waiting = settings.most_seconds_waiting if is_public else None
        self._runs = SharedRuns(settings.most_runs_at_once, most_waiting, num_devices=len(device.split(",")))
        self._seconds = SecondsBook(settings)
        self._store = RunStore(settings.most_bytes_stored, self._is_in_use) if is_public else None
        load = gpu.load if gpu else lambda name: registry.load_replicas(name, dtype, device)
        self.models = ModelsInMemory(load, self.jobs, self._runs.seconds_left)
        self.weights = weights or Weights(is_public)
        self._embeddings = Embeddings(registry.load_embedder)
        self._speed = MachineSpeed(runs_folder() / ".speed.json")
        may_fit = not is_public and gpu is None
        self.head_fits = HeadFits(self.models, self.jobs, self.places, self._speed, may_fit)
        self.lenses = Lenses(
            self.models, self._runs, self.jobs, self.places, self._seconds, self.weights, gpu, is_public
        )
        self.measured_texts = MeasuredTexts(self._embeddings.of)
        self.own_verdicts = VerdictBook(is_public, self._embeddings.of)
        # Guards what follows: the page calls from many threads.
        self._lock = threading.RLock()
        self._live: LRUCache[tuple[str, JobKind], LiveRun] = LRUCache(_MOST_VISITORS)

    def warm_up(self) -> None:
        """Read what a first visit shows, so that it is there when the browser asks; then clear the old trash away."""
        for run in self.stored_runs()[:1]:
            QuestionView.load(run, library.questions_of(run)[0].question.id)
        for run in self.stored_runs():
            library.question_id_of(run, "")
        if not self.is_public:
            trash.empty_trash(runs_folder())

    def offered_models(self) -> list[CatalogueModel]:
        """Models that can be chosen by name."""
        return [
            model
            for model in CATALOGUE
            # The usual one, though it may not be here: a list without it could not name what is chosen.
            if (model is DEFAULT_MODEL or not self.is_public or registry.is_available(model))
            and (self._gpu is None or self._gpu.has(model.name))
        ]

    @property
    def num_waiting(self) -> int:
        """Jobs that wait for a model, or load one, and runs in line."""
        return self.jobs.num_queued + self._runs.num_waiting

    @property
    def allows_any_model(self) -> bool:
        """Whether a Hub id or a local folder may be typed."""
        return not self.is_public

    def stored_runs(self) -> list[library.StoredRun]:
        """Finished stored runs that a visitor may see, the one to show first in front."""
        return [run for run in self.all_runs() if run.manifest.finished_at]

    def all_runs(self) -> list[library.StoredRun]:
        """The same, with those that are not finished."""
        return library.stored_runs(with_own=not self.is_public)

    def check_allowed(self, request: RunRequest) -> None:
        """Raise ``SettingsError`` for a run that nobody may start on this page, whoever asks and whenever."""
        if self.is_public:
            layers = check_public_request(request, self.settings)
            check_seconds(self.foretell(request, layers), self.settings)

    def run(
        self, request: RunRequest, visitor: str, kind: JobKind = "explore", address: str = ""
    ) -> Generator[Notice | LiveEvent, None, None]:
        """Load the model if need be and do the run, or join it if it is under way, wave by wave, until it is stopped.

        Args:
            request: What is asked for.
            visitor: Id of the browser's session.
            kind: Of the job.
            address: Where the visitor calls from.

        Raises:
            HclError: Anything that the visitor can mend.
            LimitError: It is more than the page gives to one run, visitor or address, or has left.
            StoppedError: The visitor stopped it; whole waves are stored.
        """
        yield from self.weights.arrive(self.jobs, visitor, kind)
        self.check_allowed(request)
        caller = Caller(visitor, address)
        with (
            self.places.take(caller),
            self.jobs.work(visitor, kind) as job,
            (yield from self.models.take(request.model, job)) as model,
        ):
            job.check()

            def start(shared: SharedRun) -> Generator[Notice | LiveEvent, None, None]:
                return counted(self._events(request, model, shared, caller))

            with closing(self._runs.watch(request, job, start)) as events:
                for event in events:
                    if isinstance(event, LiveEvent):
                        with self._lock:
                            job.check()  # nothing is kept of a visitor who has left meanwhile
                            if kind != "program":  # which has no screen
                                self._live[visitor, kind] = event.run
                    yield event

    def _events(
        self, request: RunRequest, model: LoadedModel, shared: SharedRun, caller: Caller
    ) -> Generator[Notice | LiveEvent, None, None]:
        """The events of a run, which its thread takes; it is on the account of the first who asked for it."""
        first = model.first
        foretold = self.foretell(request, request.layers.resolve(first.lm.num_hidden_layers))
        shared.foretold = foretold.middle if foretold else None
        most_seconds = self.settings.most_seconds_a_run if self.is_public else None
        clock = RunClock(most_seconds, lambda: self._runs.num_sharing(shared))
        with model.use(), self._seconds.account(caller, shared.foretold or 0.0) as account:

            def check() -> None:
                shared.check()
                clock.check()
                account.taken = clock.seconds

            # In the scheduler's thread: tokenizers must not be used by two threads at once. By the first replica,
            # whichever answers: the same request has the same id.
            ready = first.scheduler.call(lambda: prepare(request, first.lm, model.checkpoint, self._embeddings))
            folder, manifest = place_of(ready.manifest, ready.questions, runs_folder())
            ready = replace(ready, manifest=manifest)
            yield from self._runs.wait_for_folder(folder.path.name, shared)
            followed = self._runs.followed_by(shared, manifest.run_id, folder)
            if followed is None:  # who follows another run decodes nothing
                yield from self._runs.wait_for_turn(shared)
            ready = self._in_turn(ready, request, model, model.replicas[shared.device], check)
            source = None if followed or folder.exists else find_samples(manifest.run_id, folder, runs_folder())
            live = LiveRun(folder, ready.manifest, ready.questions, ready.scorer)
            num_runs = self._runs.num_sharing(shared)
            first_wave = max(1, _FIRST_WAVE // num_runs)
            growth = _GROWTH if num_runs == 1 else _GROWTH_IN_COMPANY
            timer = RunTimer(self._speed, request, ready.manifest.settings.exit_layers, first_wave)
            try:
                with closing(
                    pipeline.run(folder, ready, first_wave, growth=growth, source=source, followed=followed)
                ) as events:
                    for event in events:
                        timer.add(event, is_alone=self._runs.num_under_way == 1)
                        yield LiveEvent(event, live)
            finally:
                if self._store is not None:
                    self._store.add(folder.path.name)

    def _in_turn(
        self,
        ready: PreparedRun,
        request: RunRequest,
        model: LoadedModel,
        replica: Replica,
        check: Callable[[], None],
    ) -> PreparedRun:
        """``ready``, computed in turn with the runs of others: by ``replica``, or by a GPU that is lent."""
        if self._gpu is not None:
            return self._gpu.apart(ready, request, check)
        scheduler = replica.scheduler
        if replica is not model.first:
            ready = scheduler.call(partial(on_replica, ready, request, replica.lm))
        return replace(
            ready,
            decoder=registry.ScheduledDecoder(ready.decoder, scheduler, check),
            whole_model=ready.whole_model and registry.ScheduledLikelihood(ready.whole_model, scheduler),
        )

    @property
    def num_runs_under_way(self) -> int:
        """Of all visitors; runs that wait for their turn are not among them."""
        return self._runs.num_under_way

    def is_under_way(self, run_id: str) -> bool:
        """Whether a run is decoded now, for whomever."""
        return self._runs.is_written(run_id)

    def _is_in_use(self, run_id: str) -> bool:
        """Whether a run is written, or on the screen of a visitor who has run it."""
        with self._lock:
            is_shown = any(live.manifest.id == run_id for live in self._live.values())
        return is_shown or self.is_under_way(run_id)

    def foretell(self, request: RunRequest, exit_layers: Sequence[int]) -> Foretold | None:
        """How long a run would take if no other is under way; ``None`` where that is not known."""
        speed = self._gpu.speed if self._gpu else self._speed
        return foretell(request, exit_layers, _FIRST_WAVE, speed)

    def live_run(self, visitor: str, run_id: str) -> LiveRun:
        """The visitor's run of that id, under way or their last one; raises ``RunFolderError`` if there is none."""
        with self._lock:
            own = [live for (owner, _), live in self._live.items() if owner == visitor]
        for live in own:
            if live.manifest.id == run_id:
                return live
        raise RunFolderError("this run is no longer in memory: press Run to go on with it")

    def has_live_run(self, visitor: str, run_id: str) -> bool:
        """Whether ``live_run`` has that run."""
        with self._lock:
            return any(owner == visitor and live.manifest.id == run_id for (owner, _), live in self._live.items())

    def forget(self, visitor: str) -> None:
        """The visitor has left: their jobs end at their next step, and nothing of theirs is kept."""
        with self._lock:
            self.jobs.forget(visitor)
            for key in [key for key in self._live if key[0] == visitor]:
                del self._live[key]
        self.lenses.forget(visitor)
        self.sets.forget(visitor)
        self.own_verdicts.forget(visitor)

    def exact_prompt(self, model: str, question: str, template: PromptTemplate) -> str | None:
        """The text that would be sent; ``None`` where only the model's tokenizer knows and is not in memory."""
        if not template.is_chat:
            return template.render(question)
        loaded = self.models.find(model)
        return template.render(question, loaded.first.lm.wrap_chat) if loaded else None
