"""From a checked request to a run that is ready to start; the terminal and the page both come this way."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hcl_core import registry
from hcl_core.errors import SettingsError
from hcl_core.ideas.names import check_idea_finder, make_idea_finder
from hcl_core.judges.names import NO_JUDGE, check_judge, judge_of
from hcl_core.models.catalogue import find_model
from hcl_core.models.cost import ModelCost
from hcl_core.models.head_records import HeadChoice, check_exit_head
from hcl_core.pipeline.prepared import PreparedRun, new_manifest, with_prompts
from hcl_core.pipeline.scorer import Embeddings, Scorer
from hcl_core.pipeline.views import view_id_of
from hcl_core.ports import Answerer, AnswerLikelihood, Decoder
from hcl_core.records import Question, SamplingSettings, StoredQuestion
from hcl_core.runs.manifest import RunSettings, check_num_samples
from hcl_core.settings.layers import LayerChoice
from hcl_core.settings.prompts import PromptTemplate
from hcl_core.settings.strategies import EARLY_EXIT, Strategy

if TYPE_CHECKING:
    from hcl_core.decode.model.checkpoints import Checkpoint
    from hcl_core.decode.model.language_model import LanguageModel

# More layers than any model has: the depth of a model that is not in the catalogue, before it is loaded.
_ANY_DEPTH = 10_000


@dataclass(frozen=True, slots=True)
class RunRequest:
    """The settings of a run as a person chose them. Construction validates everything that needs no model.

    Attributes:
        model: Catalogue name, Hub id or local folder.
        questions: To ask, in order.
        question_set: Name of the set that the questions come from.
        layers: Exit layers.
        num_samples: Answers a question and layer.
        sampling: How tokens are drawn.
        template: How a question becomes a prompt.
        exit_head: Name of the exit head, or its file.
        judge: Name of the judge; not used for open questions, see ``judges.names.judge_of``.
        preset: Name of the preset and the options changed in it, for the manifest; ``None`` without one.
        strategy: How the exit layers are used.
        ideas: Name of the idea finder.

    Raises:
        SettingsError: A value is outside its range, or unknown; or questions with and without accepted answers are
            mixed, or a preset is asked for open ones.
    """

    model: str
    questions: tuple[Question, ...]
    question_set: str
    layers: LayerChoice
    num_samples: int
    sampling: SamplingSettings
    template: PromptTemplate
    exit_head: str = "auto"
    judge: str = "alias"
    preset: str | None = None
    strategy: Strategy = EARLY_EXIT
    ideas: str = "accepted"

    def __post_init__(self) -> None:
        known = find_model(self.model)
        self.layers.resolve(known.num_hidden_layers if known else _ANY_DEPTH)
        check_num_samples(self.num_samples)
        check_exit_head(self.exit_head)
        check_judge(self.judge)
        check_idea_finder(self.ideas)
        if judge_of(self.judge, self.questions) == NO_JUDGE and self.preset is not None:
            raise SettingsError("a preset's protocol needs questions with accepted answers; these have none")


@dataclass(frozen=True, slots=True)
class ModelSide:
    """What a run takes from its model; it can be sent to another process.

    Attributes:
        settings: What decides the samples.
        questions: To ask, in order, with their prompts.
        num_hidden_layers: Of the model.
        device: Name of the device that computes; of several all names, with commas between.
        cost: Operations a token; ``None`` for other strategies than early exit.
        head_choice: Which exit head was taken and why.
    """

    settings: RunSettings
    questions: tuple[StoredQuestion, ...]
    num_hidden_layers: int
    device: str
    cost: ModelCost | None
    head_choice: HeadChoice


def prepare(
    request: RunRequest,
    lm: "LanguageModel",
    checkpoint: "Checkpoint",
    embeddings: Embeddings,
    others: "Sequence[LanguageModel]" = (),
) -> PreparedRun:
    """Make the decoder, the judge and the prompts of a run, and its manifest.

    Args:
        request: The settings.
        lm: The model.
        checkpoint: Its weights.
        embeddings: For judges and idea finders that need them.
        others: The same model on further devices, which answer questions too.

    Raises:
        SettingsError: The model lacks a layer, or its tokenizer lacks a chat template.
        ContextTooLongError: A question is too long for the model; raised before any question is decoded.
    """
    replicas = (lm, *others)
    decoders = [
        registry.make_decoder(each, request.exit_head, request.template, strategy=request.strategy) for each in replicas
    ]
    decoder = registry.ReplicatedDecoder(decoders) if others else decoders[0]
    side = model_side(request, lm, checkpoint, decoder)
    side = replace(side, device=",".join(each.device_name for each in replicas))
    return prepare_with(request, side, decoder, registry.whole_model(lm, request.template), embeddings)


def model_side(request: RunRequest, lm: "LanguageModel", checkpoint: "Checkpoint", decoder: Decoder) -> ModelSide:
    """What a run takes from its model; raises as ``prepare``."""
    questions = with_prompts(request.questions, decoder)
    for stored in questions:
        decoder.tokenize_checked(stored, request.sampling)
    settings = RunSettings(
        model=checkpoint.model,
        model_revision=checkpoint.revision,
        dtype=lm.dtype_name,
        exit_head=decoder.exit_head.name,
        exit_head_hash=decoder.exit_head.fingerprint,
        template=request.template,
        exit_layers=request.layers.resolve(lm.num_hidden_layers),
        num_samples=request.num_samples,
        sampling=request.sampling,
        strategy=str(request.strategy),
        answer_rule=_answer_rule(request.template, questions),
    )
    return ModelSide(
        settings,
        questions,
        lm.num_hidden_layers,
        lm.device_name,
        # The cost of a token at its exit layer holds for early exit alone: other strategies also run deeper layers.
        cost=decoder.cost() if request.strategy == EARLY_EXIT else None,
        # A file's folder is its user's own affair.
        head_choice=HeadChoice.of(Path(request.exit_head).name, decoder.exit_head),
    )


def prepare_with(
    request: RunRequest,
    side: ModelSide,
    decoder: Answerer,
    whole_model: AnswerLikelihood,
    embeddings: Embeddings,
) -> PreparedRun:
    """The judge and the manifest of a run whose model has been asked.

    Args:
        request: The settings.
        side: What its model said of it.
        decoder: Answers the questions.
        whole_model: Says how plausible answers to open questions are; left out for others.
        embeddings: For judges and idea finders that need them.
    """
    settings, questions = side.settings, side.questions
    judge = registry.load_judge(judge_of(request.judge, request.questions), embeddings.of)
    finder = make_idea_finder(request.ideas, embeddings.of)
    manifest = new_manifest(
        settings,
        questions,
        num_hidden_layers=side.num_hidden_layers,
        question_set=request.question_set,
        device=side.device,
        judge=judge.name,
        ideas=request.ideas,
        embedder=registry.EMBEDDER_NAMES[0],
        cost=side.cost,
        preset=request.preset,
        head_choice=side.head_choice,
    )
    manifest = replace(manifest, view_id=view_id_of(manifest, questions, judge.stamp))
    scorer = Scorer(
        request.questions, settings.exit_layers, settings.num_samples, judge, finder, request.sampling.is_greedy
    )
    return PreparedRun(manifest, questions, decoder, scorer, whole_model if scorer.table.is_open else None)


def _answer_rule(template: PromptTemplate, questions: Sequence[StoredQuestion]) -> str:
    """Name of the rule of all answers: a chat format ends each prompt alike."""
    return template.answer_rule(questions[0].prompt).name
