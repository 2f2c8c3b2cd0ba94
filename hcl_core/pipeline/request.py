"""From what was asked for to a run that is ready: the one way, for the terminal and the page."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hcl_core import pipeline, registry
from hcl_core.judges.names import check_judge
from hcl_core.models.catalogue import find_model
from hcl_core.models.head_records import check_exit_head
from hcl_core.pipeline.scorer import Embeddings, Scorer
from hcl_core.ports import Decoder
from hcl_core.records import Question, SamplingSettings
from hcl_core.runs.manifest import Manifest, RunSettings, check_num_samples
from hcl_core.settings.layers import parse_layers
from hcl_core.settings.prompts import PromptTemplate
from hcl_core.settings.strategies import EARLY_EXIT, Strategy

if TYPE_CHECKING:
    from hcl_core.decode.model.causal_lm import CausalLM
    from hcl_core.decode.model.checkpoints import Checkpoint

# More layers than any model has: for reading a layer choice before the model is known.
_ANY_DEPTH = 10_000


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a person asked for. Made, it holds everything that can be checked without the model.

    Attributes:
        model: Catalogue name, Hub id or local folder.
        questions: To ask, in order.
        question_set: Name of where they came from.
        layers: As ``settings.layers.parse_layers`` reads them.
        num_samples: Answers a question and layer.
        sampling: How tokens are drawn.
        template: How a question becomes a prompt.
        exit_head: Name of the exit head, or its file.
        judge: Name of the judge.
        preset: What the manifest says of the protocol, if any.
        strategy: As ``settings.strategies.Strategy.parse`` reads it.
    """

    model: str
    questions: tuple[Question, ...]
    question_set: str
    layers: str
    num_samples: int
    sampling: SamplingSettings
    template: PromptTemplate
    exit_head: str = "auto"
    judge: str = "alias"
    preset: str | None = None
    strategy: str = "early_exit"

    def __post_init__(self) -> None:
        known = find_model(self.model)
        parse_layers(self.layers, known.num_hidden_layers if known else _ANY_DEPTH)
        check_num_samples(self.num_samples)
        check_exit_head(self.exit_head)
        check_judge(self.judge)
        Strategy.parse(self.strategy)


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """Everything that ``pipeline.runner.run`` needs but the folder."""

    manifest: Manifest
    questions: tuple[Question, ...]
    decoder: Decoder
    scorer: Scorer


def prepare(request: RunRequest, lm: "CausalLM", checkpoint: "Checkpoint", embeddings: Embeddings) -> PreparedRun:
    """Put the adapters together and describe the run.

    Raises:
        SettingsError: A layer that the model lacks, or a chat template that its tokenizer lacks.
        ContextTooLongError: A question that is too long for the model; before any is asked.
    """
    strategy = Strategy.parse(request.strategy)
    decoder = registry.make_decoder(lm, request.exit_head, request.template, strategy=strategy)
    stored = pipeline.with_prompts(request.questions, decoder)
    for each in stored:
        decoder.tokenize_checked(each, request.sampling)
    settings = RunSettings(
        model=checkpoint.model,
        model_revision=checkpoint.revision,
        dtype=lm.dtype_name,
        exit_head=decoder.exit_head.name,
        exit_head_hash=decoder.exit_head.fingerprint,
        template=request.template,
        exit_layers=parse_layers(request.layers, lm.num_hidden_layers),
        num_samples=request.num_samples,
        sampling=request.sampling,
        strategy=str(strategy),
    )
    judge = registry.load_judge(request.judge, embeddings.of)
    manifest = pipeline.new_manifest(
        settings,
        stored,
        num_hidden_layers=lm.num_hidden_layers,
        question_set=request.question_set,
        device=str(lm.readout_device),
        judge=judge.name,
        embedder=registry.EMBEDDER_NAMES[0],
        # What a token costs at an exit says nothing of drafts, or of tokens that leave where they like.
        cost=decoder.cost() if strategy == EARLY_EXIT else None,
        preset=request.preset,
    )
    scorer = Scorer(request.questions, settings.exit_layers, settings.num_samples, judge, embeddings)
    return PreparedRun(manifest, request.questions, decoder, scorer)
