"""What the page may do: which models there are, a live run, a look through the token lens."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from app import library
from app.sets import QuestionSets
from hcl_core import pipeline, registry
from hcl_core.errors import RunFolderError, SettingsError
from hcl_core.folders import runs_folder
from hcl_core.models.catalogue import CATALOGUE, DEFAULT_MODEL, find_model
from hcl_core.models.lens_records import LensTable
from hcl_core.pipeline.request import RunRequest, prepare
from hcl_core.pipeline.scorer import Embeddings, Scorer
from hcl_core.records import Question, StoredQuestion
from hcl_core.runs import trash
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest
from hcl_core.scores.measures import TextMeasures, measure_texts
from hcl_core.settings.prompts import PromptTemplate

if TYPE_CHECKING:
    from hcl_core.decode.model.causal_lm import CausalLM
    from hcl_core.decode.model.checkpoints import Checkpoint

# Small first waves show something soon; each further one doubles.
_FIRST_WAVE = 8
# Tokens that one run may ask for on a page that others can reach: 30 layers x 100 answers x 40 tokens.
_PUBLIC_TOKENS = 120_000
# Bytes of a prompt that is read through the token lens, each a token at most; with its own tokens shown, a quarter.
_LENS_BYTES = 4_000
# Seconds between two looks at whether a visitor who waits for their turn has stopped waiting.
_PATIENCE = 0.25
# Visitors whose last run is kept in memory, for its stopped and half-done answers.
_MOST_VISITORS = 64
# Questions whose texts have been measured.
_MOST_MEASURED = 64
_MOST_STOPPING = 1_000
# Letters of the questions and accepted answers that one run may bring to a page that others can reach.
_PUBLIC_LETTERS = 100_000


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class StoppedError(Exception):
    """The visitor stopped the run."""


@dataclass(frozen=True, slots=True)
class LiveRun:
    """A run under way, or the last one of a visitor.

    Attributes:
        folder: Where it is stored.
        manifest: Of it.
        questions: With their prompts.
        scorer: Up to date with the last wave.
    """

    folder: RunFolder
    manifest: Manifest
    questions: tuple[StoredQuestion, ...]
    scorer: Scorer

    def look(self, question_id: str) -> library.Look:
        """At one of its questions; raises ``RunFolderError`` if it has no answers to that yet."""
        stored = next((each for each in self.questions if each.question.id == question_id), None)
        if stored is None or not self.scorer.samples[question_id]:
            raise RunFolderError("that question has no answers yet: wait for its first wave")
        return library.Look.at_live(self.manifest, stored, self.scorer, self.folder.token_texts())


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """An event of a run, and the run as the event leaves it."""

    event: pipeline.Event
    run: LiveRun


class Service:
    """One for the whole program: the loaded model, the judge and the embedder, shared by all visitors.

    Attributes:
        sets: The question sets that each visitor has.
        is_public: See below.

    Args:
        is_public: Whether others than the owner of the machine can reach the page. They may use only the
            models that are on the machine, by their catalogue names, and only so much at a time: any other
            name could be a folder of the owner's, a download with the owner's token, or one that fills the disk.
        dtype: How models are kept; see ``registry.load_model``.
    """

    def __init__(self, is_public: bool = False, dtype: str = "auto") -> None:
        self.is_public, self._dtype = is_public, dtype
        self.sets = QuestionSets(is_public)
        # Held from loading to the last event: one model in memory, one run at a time.
        self._turn = threading.Lock()
        self._stopping: OrderedDict[str, None] = OrderedDict()
        self._loaded: tuple[str, CausalLM, Checkpoint] | None = None
        self._embeddings = Embeddings(registry.load_embedder)
        self._live: OrderedDict[str, LiveRun] = OrderedDict()
        self._lenses: OrderedDict[str, LensTable] = OrderedDict()
        self._measured: OrderedDict[tuple[str, str, str], tuple[TextMeasures, ...]] = OrderedDict()

    def warm_up(self) -> None:
        """Read what a first visit shows, so that it is there when the browser asks; then clear the old trash away."""
        for run in self.stored_runs()[:1]:
            library.look_at(run, library.questions_of(run)[0].question.id)
        if not self.is_public:
            trash.empty_trash(runs_folder())

    def loaded_model(self) -> str | None:
        """Name of the model in memory."""
        loaded = self._loaded
        return loaded[0] if loaded else None

    def run(self, request: RunRequest, visitor: str) -> Iterator[LiveEvent]:
        """Load the model if need be and do the run, wave by wave, until ``stop(visitor)``.

        Raises:
            HclError: Anything that the visitor can mend.
            StoppedError: The visitor stopped it; whole waves are stored.
        """
        self._check_public(request)
        try:
            for event in self._run_in_turn(request, visitor):
                if visitor in self._stopping:
                    raise StoppedError
                yield event
        finally:
            self._stopping.pop(visitor, None)

    def begin(self, visitor: str) -> None:
        """The visitor has pressed Run: a Stop from now on is meant for what comes."""
        self._stopping.pop(visitor, None)

    def stop(self, visitor: str) -> None:
        """End the visitor's run, under way or still waiting, at its next decode step.

        Not through Gradio's ``cancels``: right after a stopped run, it loses track of the next one.
        """
        _keep(self._stopping, visitor[:100], None, _MOST_STOPPING)

    def live_run(self, visitor: str) -> LiveRun:
        """The visitor's run under way, or their last one; raises ``RunFolderError`` if there is none."""
        live = self._live.get(visitor)
        if live is None:
            raise RunFolderError("this run is no longer in memory: press Run to go on with it")
        return live

    def forget(self, visitor: str) -> None:
        """The visitor has left: their run ends at its next step."""
        self.stop(visitor)
        self._live.pop(visitor, None)
        self._lenses.pop(visitor, None)
        self.sets.forget(visitor)

    def _run_in_turn(self, request: RunRequest, visitor: str) -> Iterator[LiveEvent]:
        with self._my_turn(visitor):
            ready = prepare(request, *self._model(request.model), self._embeddings)
            folder = RunFolder(runs_folder() / ready.manifest.run_id)
            live = LiveRun(folder, ready.manifest, ready.questions, ready.scorer)
            _keep(self._live, visitor, live, _MOST_VISITORS)
            for event in pipeline.run(folder, ready, first_wave=_FIRST_WAVE):
                yield LiveEvent(event, live)

    @contextmanager
    def _my_turn(self, visitor: str) -> Iterator[None]:
        """Hold the model; raises ``StoppedError`` if the visitor stops waiting for it."""
        while not self._turn.acquire(timeout=_PATIENCE):
            if visitor in self._stopping:
                raise StoppedError
        try:
            yield
        finally:
            self._turn.release()

    def look_through_lens(
        self, model: str, exit_head: str, prompt: str, whole_text: bool, max_new_tokens: int, visitor: str
    ) -> LensTable:
        """What every layer would say along the model's own greedy answer to ``prompt``.

        Raises:
            HclError: Anything that the visitor can mend.
            StoppedError: The visitor stopped waiting.
        """
        self._check_model(model)
        if not prompt.strip():
            raise SettingsError("the token lens needs a prompt: type one, or take a question's")
        most = _LENS_BYTES // 4 if whole_text else _LENS_BYTES
        if (size := len(prompt.encode())) > most:
            raise SettingsError(f"this prompt has {size:,} bytes; the token lens takes {most:,} here: shorten it")
        try:
            with self._my_turn(visitor):
                lm, _ = self._model(model)
                head = registry.load_exit_head(exit_head, lm)
                table = registry.read_layers_along_answer(
                    lm, head, "prompt", prompt, max_new_tokens=max_new_tokens, whole_text=whole_text
                )
        finally:
            self._stopping.pop(visitor, None)
        _keep(self._lenses, visitor, table, _MOST_VISITORS)
        return table

    def live_lens(self, visitor: str) -> LensTable:
        """The visitor's last look; raises ``RunFolderError`` if it is gone."""
        table = self._lenses.get(visitor)
        if table is None:
            raise RunFolderError("this look is no longer in memory: press Look again")
        return table

    def text_measures(self, look: library.Look) -> tuple[TextMeasures, ...]:
        """The measures of one question's texts, by layer; the embedder is loaded for the first ones."""
        outcomes = hashlib.blake2b(look.outcome.table.outcomes.tobytes(), digest_size=16).hexdigest()
        key = (look.manifest.run_id, look.stored.question.id, outcomes)
        if (known := self._measured.get(key)) is None:
            by_layer: dict[int, dict[int, str]] = {}
            for sample in look.samples:
                by_layer.setdefault(sample.exit_layer, {})[sample.sample_idx] = sample.answer
            known = tuple(measure_texts(look.outcome.table, [by_layer], self._embeddings.of))
            _keep(self._measured, key, known, _MOST_MEASURED)
        return known

    def model_choices(self) -> list[tuple[str, str]]:
        """Label and name of the models that can be chosen."""
        return [
            (f"{model.name} · {model.num_hidden_layers} layers", model.name)
            for model in CATALOGUE
            if not self.is_public or registry.is_available(model)
        ]

    def stored_runs(self) -> list[library.StoredRun]:
        """Finished stored runs that a visitor may see, the one to show first in front."""
        return [run for run in library.stored_runs(with_own=not self.is_public) if run.manifest.finished_at]

    def exact_prompt(self, model: str, question: str, template: PromptTemplate) -> str | None:
        """The text that would be sent; ``None`` where only the model's tokenizer knows and is not in memory."""
        loaded = self._loaded
        if not template.is_chat:
            return template.render(question)
        return template.render(question, loaded[1].wrap_chat) if loaded and loaded[0] == model else None

    @property
    def allows_any_model(self) -> bool:
        """Whether a Hub id or a local folder may be typed."""
        return not self.is_public

    def _check_model(self, model: str) -> None:
        known = find_model(model)
        if self.is_public and (known is None or not registry.is_available(known)):
            raise SettingsError(
                "this public page offers only the models of its list: run the program yourself for others"
            )

    def _check_public(self, request: RunRequest) -> None:
        self._check_model(request.model)
        if not self.is_public:
            return
        if request.judge.startswith("llm"):
            raise SettingsError("this public page has no llm judge: run the program yourself for it")
        letters = sum(len(each.text) + sum(map(len, each.accepted_answers)) for each in request.questions)
        if letters > _PUBLIC_LETTERS:
            raise SettingsError(
                f"these questions and accepted answers have {letters:,} letters; this public page allows "
                f"{_PUBLIC_LETTERS:,}: ask fewer or shorter ones"
            )
        num_layers = len(request.layers.resolve(num_hidden_layers(request.model) or 0))
        counts = (len(request.questions), num_layers, request.num_samples, request.sampling.max_new_tokens)
        tokens = counts[0] * counts[1] * counts[2] * counts[3]
        if tokens > _PUBLIC_TOKENS:
            asked = "{} questions × {} layers × {} answers × {} tokens".format(*counts)
            raise SettingsError(
                f"{asked} is {tokens:,}; this public page allows {_PUBLIC_TOKENS:,}: ask for fewer of one of them"
            )

    def _model(self, name: str) -> "tuple[CausalLM, Checkpoint]":
        if self._loaded is None or self._loaded[0] != name:
            self._loaded = None  # free the old weights before the new ones come
            self._loaded = (name, *registry.load_model(name, self._dtype))
        return self._loaded[1], self._loaded[2]


def _keep(kept: OrderedDict[_Key, _Value], key: _Key, value: _Value, most: int) -> None:
    """Keep ``value``; of more than ``most``, the oldest go."""
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)


def num_hidden_layers(model: str) -> int | None:
    """Layers of a catalogue model; ``None`` for one that is not known before it is loaded."""
    known = find_model(model)
    return known.num_hidden_layers if known else None


def starter_questions() -> list[Question]:
    """The questions that ship with the program."""
    return registry.load_questions("starter").load()


DEFAULT_MODEL_NAME = DEFAULT_MODEL.name
