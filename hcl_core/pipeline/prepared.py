"""A run that is ready to start: its manifest, its questions with their prompts, and what answers and scores them."""

import importlib.metadata
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from hcl_core.models.cost import ModelCost
from hcl_core.models.head_records import HeadChoice
from hcl_core.pipeline.events import Event
from hcl_core.pipeline.scorer import Scorer
from hcl_core.ports import Answerer, AnswerLikelihood, Decoder
from hcl_core.records import Question, StoredQuestion
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest, RunSettings, now

_RECORDED_PACKAGES = ("torch", "transformers", "sentence-transformers", "numpy", "pyarrow")


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """A run that is ready to start.

    Attributes:
        manifest: From ``new_manifest``.
        questions: To ask, in order, with their prompts.
        decoder: Answers them.
        scorer: Made for the same questions, exit layers and samples.
        whole_model: Says how plausible the answers to open questions are; ``None`` for other questions.
    """

    manifest: Manifest
    questions: tuple[StoredQuestion, ...]
    decoder: Answerer
    scorer: Scorer
    whole_model: AnswerLikelihood | None = None


@dataclass(frozen=True, slots=True)
class Followed:
    """A run under way, of the same samples, that is followed by another view.

    Attributes:
        folder: Where it stores its samples.
        events: What it tells; a wave is in the folder when it is told.
    """

    folder: RunFolder
    events: Generator[Event, None, None]


def new_manifest(
    settings: RunSettings,
    questions: Sequence[StoredQuestion],
    *,
    num_hidden_layers: int,
    question_set: str,
    device: str,
    judge: str,
    embedder: str,
    ideas: str = "accepted",
    cost: ModelCost | None = None,
    preset: str | None = None,
    head_choice: HeadChoice | None = None,
) -> Manifest:
    """The manifest of a run that starts now."""
    return Manifest(
        run_id=settings.run_id(questions),
        settings=settings,
        num_hidden_layers=num_hidden_layers,
        num_questions=len(questions),
        question_set=question_set,
        device=device,
        judge=judge,
        embedder=embedder,
        ideas=ideas,
        cost=cost,
        preset=preset,
        head_choice=head_choice,
        versions={package: importlib.metadata.version(package) for package in _RECORDED_PACKAGES},
        created_at=now(),
    )


def with_prompts(questions: Sequence[Question], decoder: Decoder) -> tuple[StoredQuestion, ...]:
    """The questions, each with the exact text that ``decoder`` sends for it."""
    return tuple(StoredQuestion(question, decoder.prompt_for(question)) for question in questions)
