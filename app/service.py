"""What the page may do: which models there are, and a live run. The one place that puts the adapters together."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hcl_core import pipeline, registry, scoring
from hcl_core.catalogue import CATALOGUE, DEFAULT_MODEL, find_model
from hcl_core.folders import runs_folder
from hcl_core.layers import parse_layers
from hcl_core.manifest import Manifest, RunSettings
from hcl_core.prompts import load_template
from hcl_core.records import Question, SamplingSettings
from hcl_core.runs import RunFolder

if TYPE_CHECKING:
    from hcl_core.decode.causal_lm import CausalLM
    from hcl_core.decode.checkpoints import Checkpoint

# Small first waves show something soon; each further one doubles.
_FIRST_WAVE = 8


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a visitor asked for.

    Attributes:
        model: Catalogue name, Hub id or local folder.
        question: With its accepted answers.
        layers: As ``layers.parse_layers`` reads them.
        num_samples: A layer.
        sampling: How tokens are drawn.
        exit_head: Name of the exit head.
        template: Name of the prompt template.
    """

    model: str
    question: Question
    layers: str
    num_samples: int
    sampling: SamplingSettings
    exit_head: str = "shared"
    template: str = "few_shot"


@dataclass(frozen=True, slots=True)
class LiveRun:
    """A run under way: its events, and the scorer that they keep up to date."""

    events: Iterator[pipeline.Event]
    scorer: scoring.Scorer
    manifest: Manifest


class Service:
    """One for the whole program: the loaded model, the judge and the embedder, shared by all visitors."""

    def __init__(self) -> None:
        self._loading = threading.Lock()
        # A stopped run ends at its next decode step; the one after it waits for that, here.
        self._decoding = threading.Lock()
        self._loaded: tuple[str, CausalLM, Checkpoint] | None = None
        self._embeddings = scoring.Embeddings(registry.load_embedder)

    def loaded_model(self) -> str | None:
        """Name of the model in memory."""
        return self._loaded[0] if self._loaded else None

    def start(self, request: RunRequest) -> LiveRun:
        """Load the model if need be and prepare the run; decoding begins with the first event.

        Raises:
            HclError: Anything that the visitor can mend.
        """
        template, judge = load_template(request.template), registry.load_judge()
        lm, checkpoint = self._model(request.model)
        decoder = registry.make_decoder(lm, request.exit_head, template)
        decoder.tokenize_checked(request.question, request.sampling)
        settings = RunSettings(
            model=checkpoint.model,
            model_revision=checkpoint.revision,
            dtype=lm.dtype_name,
            exit_head=decoder.exit_head.name,
            exit_head_hash=decoder.exit_head.fingerprint,
            template=template,
            exit_layers=parse_layers(request.layers, lm.num_hidden_layers),
            num_samples=request.num_samples,
            sampling=request.sampling,
        )
        questions = [request.question]
        manifest = pipeline.new_manifest(
            settings,
            questions,
            num_hidden_layers=lm.num_hidden_layers,
            question_set="page",
            device=str(lm.readout_device),
            judge=judge.name,
            embedder=registry.EMBEDDER_NAMES[0],
        )
        scorer = scoring.Scorer(questions, settings.exit_layers, settings.num_samples, judge, self._embeddings)
        folder = RunFolder(runs_folder() / manifest.run_id)
        events = pipeline.run(folder, manifest, questions, decoder, scorer, first_wave=_FIRST_WAVE)
        return LiveRun(self._one_at_a_time(events), scorer, manifest)

    def _one_at_a_time(self, events: Iterator[pipeline.Event]) -> Iterator[pipeline.Event]:
        with self._decoding:
            yield from events

    def _model(self, name: str) -> "tuple[CausalLM, Checkpoint]":
        with self._loading:
            if self._loaded is None or self._loaded[0] != name:
                self._loaded = None  # free the old weights before the new ones come
                self._loaded = (name, *registry.load_model(name))
            return self._loaded[1], self._loaded[2]


def model_choices() -> list[tuple[str, str]]:
    """Label and name of the catalogue's models."""
    return [(f"{model.name} · {model.num_hidden_layers} layers", model.name) for model in CATALOGUE]


def num_hidden_layers(model: str) -> int | None:
    """Layers of a catalogue model; ``None`` for one that is not known before it is loaded."""
    known = find_model(model)
    return known.num_hidden_layers if known else None


def starter_questions() -> list[Question]:
    """The questions that ship with the program."""
    return registry.load_questions("starter").load()


DEFAULT_MODEL_NAME = DEFAULT_MODEL.name
