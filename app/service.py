"""What the page may do: which models there are, a visitor's run, a visitor's token lens."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cachetools import LRUCache

from app import library
from app.limits import check_public_model, check_public_request
from app.live import LiveEvent, LiveRun
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
# Seconds between two checks whether a visitor who waits for the model has pressed Stop.
_STOP_CHECK_SECONDS = 0.25
# Visitors whose last run and last lens are in memory.
_MOST_VISITORS = 64
# Questions whose text measures are in memory.
_MOST_MEASURED = 64
# Visitors whose Stop is still to be heeded.
_MOST_STOPPING = 1_000


class StoppedError(Exception):
    """The visitor stopped the run."""


class Service:
    """One for the whole program: the loaded model, the judge and the embedder, shared by all visitors.

    Attributes:
        sets: The question sets that each visitor has.
        is_public: See below.

    Args:
        is_public: Whether others than the owner of the machine can reach the page; see ``app.limits``.
        dtype: Number format of the weights; see ``registry.load_model``.
    """

    def __init__(self, is_public: bool = False, dtype: str = "auto") -> None:
        self.is_public, self._dtype = is_public, dtype
        self.sets = QuestionSets(is_public)
        # Held from loading to the last event: one model in memory, one run at a time.
        self._model_lock = threading.Lock()
        self._loaded: tuple[str, CausalLM, Checkpoint] | None = None
        self._embeddings = Embeddings(registry.load_embedder)
        # Guards the caches: the page calls from many threads.
        self._lock = threading.RLock()
        self._stopping: LRUCache[str, bool] = LRUCache(_MOST_STOPPING)
        self._live: LRUCache[str, LiveRun] = LRUCache(_MOST_VISITORS)
        self._lenses: LRUCache[str, LensTable] = LRUCache(_MOST_VISITORS)
        self._measured: LRUCache[tuple[str, str, str], tuple[TextMeasures, ...]] = LRUCache(_MOST_MEASURED)

    def warm_up(self) -> None:
        """Read what a first visit shows, so that it is there when the browser asks; then clear the old trash away."""
        for run in self.stored_runs()[:1]:
            QuestionView.load(run, library.questions_of(run)[0].question.id)
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

    def run(self, request: RunRequest, visitor: str) -> Iterator[LiveEvent]:
        """Load the model if need be and do the run, wave by wave, until ``stop(visitor)``.

        Raises:
            HclError: Anything that the visitor can mend.
            StoppedError: The visitor stopped it; whole waves are stored.
        """
        if self.is_public:
            check_public_request(request)
        try:
            for event in self._run_events(request, visitor):
                if self._is_stopping(visitor):
                    raise StoppedError
                yield event
        finally:
            self.clear_stop(visitor)

    def clear_stop(self, visitor: str) -> None:
        """The visitor has pressed Run, or their run has ended: a Stop of before is for no later run."""
        with self._lock:
            self._stopping.pop(visitor, None)

    def stop(self, visitor: str) -> None:
        """End the visitor's run, under way or still waiting, at its next decode step.

        Not through Gradio's ``cancels``: right after a stopped run, it loses track of the next one.
        """
        with self._lock:
            self._stopping[visitor] = True

    def live_run(self, visitor: str) -> LiveRun:
        """The visitor's run under way, or their last one; raises ``RunFolderError`` if there is none."""
        with self._lock:
            live = self._live.get(visitor)
        if live is None:
            raise RunFolderError("this run is no longer in memory: press Run to go on with it")
        return live

    def forget(self, visitor: str) -> None:
        """The visitor has left: their run ends at its next step."""
        self.stop(visitor)
        with self._lock:
            self._live.pop(visitor, None)
            self._lenses.pop(visitor, None)
        self.sets.forget(visitor)

    def read_layers(
        self, model: str, exit_head: str, prompt: str, whole_text: bool, max_new_tokens: int, visitor: str
    ) -> LensTable:
        """The most probable tokens of every layer along the model's own greedy answer to ``prompt``.

        Raises:
            HclError: Anything that the visitor can mend.
            StoppedError: The visitor stopped waiting.
        """
        if self.is_public:
            check_public_model(model)
        if not prompt.strip():
            raise SettingsError("the token lens needs a prompt: type one, or take a question's")
        most = _LENS_BYTES // 4 if whole_text else _LENS_BYTES
        if (size := len(prompt.encode())) > most:
            raise SettingsError(f"this prompt has {size:,} bytes; the token lens takes {most:,} here: shorten it")
        try:
            with self._model_held(visitor):
                lm, _ = self._model(model)
                head = registry.load_exit_head(exit_head, lm)
                table = registry.read_layers_along_answer(
                    lm, head, "prompt", prompt, max_new_tokens=max_new_tokens, whole_text=whole_text
                )
        finally:
            self.clear_stop(visitor)
        with self._lock:
            self._lenses[visitor] = table
        return table

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

    def _is_stopping(self, visitor: str) -> bool:
        with self._lock:
            return visitor in self._stopping

    def _run_events(self, request: RunRequest, visitor: str) -> Iterator[LiveEvent]:
        with self._model_held(visitor):
            ready = prepare(request, *self._model(request.model), self._embeddings)
            folder = RunFolder(runs_folder() / ready.manifest.run_id)
            live = LiveRun(folder, ready.manifest, ready.questions, ready.scorer)
            with self._lock:
                self._live[visitor] = live
            for event in pipeline.run(folder, ready, first_wave=_FIRST_WAVE):
                yield LiveEvent(event, live)

    @contextmanager
    def _model_held(self, visitor: str) -> Iterator[None]:
        """No other visitor's work with the model meanwhile; raises ``StoppedError`` if the visitor stops waiting."""
        while not self._model_lock.acquire(timeout=_STOP_CHECK_SECONDS):
            if self._is_stopping(visitor):
                raise StoppedError
        try:
            yield
        finally:
            self._model_lock.release()

    def _model(self, name: str) -> "tuple[CausalLM, Checkpoint]":
        if self._loaded is None or self._loaded[0] != name:
            self._loaded = None  # free the old weights before the new ones come
            self._loaded = (name, *registry.load_model(name, self._dtype))
        return self._loaded[1], self._loaded[2]
