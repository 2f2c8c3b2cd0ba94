"""What the page may do: which models there are, a visitor's run, a visitor's token lens."""

import hashlib
import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from cachetools import LRUCache

from app import library
from app.jobs import JobKind, Jobs
from app.limits import check_public_model, check_public_request
from app.live import LiveEvent, LiveRun, Loading, Notice, Ready, Waiting
from app.question_view import QuestionView
from app.sets import QuestionSets
from hcl_core import pipeline, registry
from hcl_core.errors import RunFolderError, SettingsError
from hcl_core.folders import runs_folder
from hcl_core.models.catalogue import CATALOGUE
from hcl_core.models.lens_records import LensTable
from hcl_core.pipeline.request import RunRequest, prepare
from hcl_core.pipeline.scorer import Embeddings
from hcl_core.runs import trash
from hcl_core.runs.folder import RunFolder
from hcl_core.scores.measures import TextMeasures, measure_texts
from hcl_core.settings.prompts import PromptTemplate

if TYPE_CHECKING:
    from hcl_core.decode.model.causal_lm import CausalLM
    from hcl_core.decode.model.checkpoints import Checkpoint

# Small first waves show something soon; each further one doubles.
_FIRST_WAVE = 8
# Bytes of a prompt that is read through the token lens, each a token at most; with its own tokens shown, a quarter.
_LENS_BYTES = 4_000
# Visitors whose last run and last lens are in memory.
_MOST_VISITORS = 64
# Questions whose text measures are in memory.
_MOST_MEASURED = 64


class Service:
    """One for the whole program: the loaded model, the judge and the embedder, shared by all visitors.

    Attributes:
        sets: The question sets that each visitor has.
        jobs: What the visitors' buttons have started.
        is_public: See below.

    Args:
        is_public: Whether others than the owner of the machine can reach the page; see ``app.limits``.
        dtype: Number format of the weights; see ``registry.load_model``.
    """

    def __init__(self, is_public: bool = False, dtype: str = "auto") -> None:
        self.is_public, self._dtype = is_public, dtype
        self.sets, self.jobs = QuestionSets(is_public), Jobs()
        self._loaded: tuple[str, CausalLM, Checkpoint] | None = None
        self._embeddings = Embeddings(registry.load_embedder)
        # Guards the caches: the page calls from many threads.
        self._lock = threading.RLock()
        self._live: LRUCache[tuple[str, JobKind], LiveRun] = LRUCache(_MOST_VISITORS)
        self._lenses: LRUCache[str, LensTable] = LRUCache(_MOST_VISITORS)
        self._measured: LRUCache[tuple[str, str, str], tuple[TextMeasures, ...]] = LRUCache(_MOST_MEASURED)

    def warm_up(self) -> None:
        """Read what a first visit shows, so that it is there when the browser asks; then clear the old trash away."""
        for run in self.stored_runs()[:1]:
            QuestionView.load(run, library.questions_of(run)[0].question.id)
        for run in self.stored_runs():
            library.question_id_of(run, "")
        if not self.is_public:
            trash.empty_trash(runs_folder())

    def loaded_model(self) -> str | None:
        """Name of the model in memory."""
        loaded = self._loaded
        return loaded[0] if loaded else None

    def model_choices(self) -> list[tuple[str, str]]:
        """Label and name of the models that can be chosen."""
        return [
            (f"{model.name} · {model.num_hidden_layers} layers", model.name)
            for model in CATALOGUE
            if not self.is_public or registry.is_available(model)
        ]

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

    def run(
        self, request: RunRequest, visitor: str, kind: JobKind = "explore"
    ) -> Generator[Notice | LiveEvent, None, None]:
        """Wait for the model, load it if need be and do the run, wave by wave, until it is stopped.

        Raises:
            HclError: Anything that the visitor can mend.
            StoppedError: The visitor stopped it; whole waves are stored.
        """
        if self.is_public:
            check_public_request(request)
        with self.jobs.work(visitor, kind) as job, self.jobs.queued(job) as places:
            yield from self._until_loaded(places, request.model)
            ready = prepare(request, *self._model(request.model), self._embeddings)
            folder = RunFolder(runs_folder() / ready.manifest.run_id)
            live = LiveRun(folder, ready.manifest, ready.questions, ready.scorer)
            with self._lock:
                job.check()  # nothing is kept of a visitor who has left meanwhile
                self._live[visitor, kind] = live
            with closing(pipeline.run(folder, ready, first_wave=_FIRST_WAVE)) as events:
                for event in events:
                    job.check()
                    yield LiveEvent(event, live)

    def live_run(self, visitor: str, run_id: str) -> LiveRun:
        """The visitor's run of that id, under way or their last one; raises ``RunFolderError`` if there is none."""
        with self._lock:
            own = [live for (owner, _), live in self._live.items() if owner == visitor]
        for live in own:
            if live.manifest.run_id == run_id:
                return live
        raise RunFolderError("this run is no longer in memory: press Run to go on with it")

    def forget(self, visitor: str) -> None:
        """The visitor has left: their jobs end at their next step, and nothing of theirs is kept."""
        with self._lock:
            self.jobs.forget(visitor)
            for key in [key for key in self._live if key[0] == visitor]:
                del self._live[key]
            self._lenses.pop(visitor, None)
        self.sets.forget(visitor)

    def read_layers(
        self, model: str, exit_head: str, prompt: str, whole_text: bool, max_new_tokens: int, visitor: str
    ) -> Generator[Notice | LensTable, None, None]:
        """The most probable tokens of every layer along the model's own greedy answer to ``prompt``, at the end.

        Raises:
            HclError: Anything that the visitor can mend.
            StoppedError: The visitor stopped it.
        """
        if self.is_public:
            check_public_model(model)
        if not prompt.strip():
            raise SettingsError("the token lens needs a prompt: type one, or take a question's")
        most = _LENS_BYTES // 4 if whole_text else _LENS_BYTES
        if (size := len(prompt.encode())) > most:
            raise SettingsError(f"this prompt has {size:,} bytes; the token lens takes {most:,} here: shorten it")
        with self.jobs.work(visitor, "lens") as job, self.jobs.queued(job) as places:
            yield from self._until_loaded(places, model)
            lm, _ = self._model(model)
            job.check()
            yield Ready()
            head = registry.load_exit_head(exit_head, lm)
            table = registry.read_layers_along_answer(
                lm, head, "prompt", prompt, max_new_tokens=max_new_tokens, whole_text=whole_text
            )
            with self._lock:
                job.check()
                self._lenses[visitor] = table
        yield table

    def live_lens(self, visitor: str) -> LensTable:
        """The visitor's last token lens; raises ``RunFolderError`` if it is gone."""
        with self._lock:
            table = self._lenses.get(visitor)
        if table is None:
            raise RunFolderError("this look is no longer in memory: press Look again")
        return table

    def text_measures(self, view: QuestionView) -> tuple[TextMeasures, ...]:
        """The measures of one question's texts, by layer; the embedder is loaded for the first ones."""
        outcomes = hashlib.blake2b(view.outcomes.table.outcomes.tobytes(), digest_size=16).hexdigest()
        key = (view.manifest.run_id, view.stored.question.id, outcomes)
        with self._lock:
            measured = self._measured.get(key)
        if measured is None:
            by_layer: dict[int, dict[int, str]] = {}
            for sample in view.samples:
                by_layer.setdefault(sample.exit_layer, {})[sample.sample_idx] = sample.answer
            measured = tuple(measure_texts(view.outcomes.table, [by_layer], self._embeddings.of))
            with self._lock:
                self._measured[key] = measured
        return measured

    def exact_prompt(self, model: str, question: str, template: PromptTemplate) -> str | None:
        """The text that would be sent; ``None`` where only the model's tokenizer knows and is not in memory."""
        loaded = self._loaded
        if not template.is_chat:
            return template.render(question)
        return template.render(question, loaded[1].wrap_chat) if loaded and loaded[0] == model else None

    def _until_loaded(self, places: Iterator[int], model: str) -> Iterator[Notice]:
        """What a visitor is told before their work begins: the place in the queue, and that the model is loaded."""
        yield from map(Waiting, places)
        if self.loaded_model() != model:
            yield Loading(model)

    def _model(self, name: str) -> "tuple[CausalLM, Checkpoint]":
        if self._loaded is None or self._loaded[0] != name:
            self._loaded = None  # free the old weights before the new ones come
            self._loaded = (name, *registry.load_model(name, self._dtype))
        return self._loaded[1], self._loaded[2]
