"""What the page may do: which models there are, and a live run."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app import library
from hcl_core import pipeline, registry, scoring
from hcl_core.catalogue import CATALOGUE, DEFAULT_MODEL, find_model
from hcl_core.errors import SettingsError
from hcl_core.folders import runs_folder
from hcl_core.layers import parse_layers
from hcl_core.records import Question
from hcl_core.request import RunRequest, prepare
from hcl_core.runs import RunFolder

if TYPE_CHECKING:
    from hcl_core.decode.causal_lm import CausalLM
    from hcl_core.decode.checkpoints import Checkpoint

# Small first waves show something soon; each further one doubles.
_FIRST_WAVE = 8
# Tokens that one run may ask for on a page that others can reach: 30 layers x 100 answers x 40 tokens.
_PUBLIC_TOKENS = 120_000


# Seconds between two looks at whether a visitor who waits for their turn has stopped waiting.
_PATIENCE = 0.25


class StoppedError(Exception):
    """The visitor stopped the run."""


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """An event of a run, and the scorer that it has brought up to date."""

    event: pipeline.Event
    scorer: scoring.Scorer


class Service:
    """One for the whole program: the loaded model, the judge and the embedder, shared by all visitors.

    Args:
        is_public: Whether others than the owner of the machine can reach the page. They may use only the
            models that are on the machine, by their catalogue names, and only so much at a time: any other
            name could be a folder of the owner's, a download with the owner's token, or one that fills the disk.
    """

    def __init__(self, is_public: bool = False) -> None:
        self._is_public = is_public
        # Held from loading to the last event: one model in memory, one run at a time.
        self._turn = threading.Lock()
        self._stopping: set[str] = set()
        self._loaded: tuple[str, CausalLM, Checkpoint] | None = None
        self._embeddings = scoring.Embeddings(registry.load_embedder)

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
        self._stopping.discard(visitor)
        for event in self._run_in_turn(request, visitor):
            if visitor in self._stopping:
                raise StoppedError
            yield event

    def stop(self, visitor: str) -> None:
        """End the visitor's run at its next decode step.

        Not through Gradio's ``cancels``: right after a stopped run, it loses track of the next one.
        """
        self._stopping.add(visitor)

    def _run_in_turn(self, request: RunRequest, visitor: str) -> Iterator[LiveEvent]:
        while not self._turn.acquire(timeout=_PATIENCE):
            if visitor in self._stopping:
                raise StoppedError
        try:
            ready = prepare(request, *self._model(request.model), self._embeddings)
            folder = RunFolder(runs_folder() / ready.manifest.run_id)
            events = pipeline.run(
                folder, ready.manifest, ready.questions, ready.decoder, ready.scorer, first_wave=_FIRST_WAVE
            )
            for event in events:
                yield LiveEvent(event, ready.scorer)
        finally:
            self._turn.release()

    def model_choices(self) -> list[tuple[str, str]]:
        """Label and name of the models that can be chosen."""
        return [
            (f"{model.name} · {model.num_hidden_layers} layers", model.name)
            for model in CATALOGUE
            if not self._is_public or registry.is_available(model)
        ]

    def starter_runs(self) -> list[library.StoredRun]:
        """Stored runs of the starter set, the one to show first in front."""
        runs = library.stored_runs(with_own=not self._is_public)
        return [run for run in runs if run.manifest.question_set == "starter" and run.manifest.finished_at]

    @property
    def allows_any_model(self) -> bool:
        """Whether a Hub id or a local folder may be typed."""
        return not self._is_public

    def _check_public(self, request: RunRequest) -> None:
        if not self._is_public:
            return
        known = find_model(request.model)
        if known is None or not registry.is_available(known):
            raise SettingsError(
                "this public page offers only the models of its list: run the program yourself for others"
            )
        if request.judge.startswith("llm"):
            raise SettingsError("this public page has no llm judge: run the program yourself for it")
        num_layers = len(parse_layers(request.layers, known.num_hidden_layers))
        tokens = num_layers * request.num_samples * request.sampling.max_new_tokens
        if tokens > _PUBLIC_TOKENS:
            raise SettingsError(
                f"{num_layers} layers × {request.num_samples} answers × {request.sampling.max_new_tokens} tokens is "
                f"{tokens:,}; this public page allows {_PUBLIC_TOKENS:,}: ask for fewer of one of them"
            )

    def _model(self, name: str) -> "tuple[CausalLM, Checkpoint]":
        if self._loaded is None or self._loaded[0] != name:
            self._loaded = None  # free the old weights before the new ones come
            self._loaded = (name, *registry.load_model(name))
        return self._loaded[1], self._loaded[2]


def num_hidden_layers(model: str) -> int | None:
    """Layers of a catalogue model; ``None`` for one that is not known before it is loaded."""
    known = find_model(model)
    return known.num_hidden_layers if known else None


def starter_questions() -> list[Question]:
    """The questions that ship with the program."""
    return registry.load_questions("starter").load()


DEFAULT_MODEL_NAME = DEFAULT_MODEL.name
