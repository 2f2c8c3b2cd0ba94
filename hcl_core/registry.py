"""From names to adapters, each imported on first use: a page or a command that needs no model never loads torch."""

import importlib
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hcl_core.errors import NotHereError, QuestionFileError, SettingsError
from hcl_core.folders import user_path
from hcl_core.judges.names import NO_JUDGE, check_judge, full_judge_name
from hcl_core.models.catalogue import did_you_mean, find_model
from hcl_core.models.engines import EngineName
from hcl_core.models.footprint import WeightFormat
from hcl_core.models.head_records import FitProgress, FitSettings, HeadConfig
from hcl_core.models.shapes import ModelShape
from hcl_core.ports import AnswerLikelihood, Embed, Embedder, Judge, QuestionSource
from hcl_core.records import StoredQuestion
from hcl_core.runs.manifest import RunSettings
from hcl_core.settings.prompts import PLACEHOLDER, PromptTemplate
from hcl_core.settings.strategies import EARLY_EXIT, Strategy

if TYPE_CHECKING:
    from hcl_core.decode.answer_states import AnswerStates
    from hcl_core.decode.apart import do_task as do_task
    from hcl_core.decode.continuing import TextDecoder as TextDecoder
    from hcl_core.decode.engine import EngineDecoder, EngineParts
    from hcl_core.decode.heads.exit_heads import load_exit_head as load_exit_head
    from hcl_core.decode.heads.head_files import find_head as find_head
    from hcl_core.decode.heads.head_files import head_file as head_file
    from hcl_core.decode.heads.head_files import known_head as known_head
    from hcl_core.decode.heads.sharing import check_shared as check_shared
    from hcl_core.decode.heads.sharing import export_head as export_head
    from hcl_core.decode.heads.sharing import import_head as import_head
    from hcl_core.decode.heads.sharing import shared_files as shared_files
    from hcl_core.decode.likelihood import LayerReader as LayerReader
    from hcl_core.decode.model.checkpoints import is_available as is_available
    from hcl_core.decode.model.checkpoints import is_here as is_here
    from hcl_core.decode.model.language_model import LanguageModel
    from hcl_core.decode.model.loading import choose_devices as choose_devices
    from hcl_core.decode.model.loading import load_model as load_model
    from hcl_core.decode.model.loading import load_replicas as load_replicas
    from hcl_core.decode.replicas import ReplicatedDecoder as ReplicatedDecoder
    from hcl_core.decode.replicas import check_one_head as check_one_head
    from hcl_core.decode.scheduled import ScheduledDecoder as ScheduledDecoder
    from hcl_core.decode.scheduled import ScheduledLikelihood as ScheduledLikelihood
    from hcl_core.decode.scheduler import Scheduler as Scheduler
    from hcl_core.decode.scheduler import Turn as Turn
    from hcl_core.decode.timing import benchmark_strategies as benchmark_strategies
    from hcl_core.decode.token_lens import read_layers_along_answer as read_layers_along_answer
    from hcl_core.decode.unloaded import find_unloaded as find_unloaded
    from hcl_core.questions.report import OnReport
else:
    # Functions and classes handed on as they are, by their modules. Type checkers see the imports above.
    _LAZY = {
        "do_task": "hcl_core.decode.apart",
        "TextDecoder": "hcl_core.decode.continuing",
        "load_exit_head": "hcl_core.decode.heads.exit_heads",
        "find_head": "hcl_core.decode.heads.head_files",
        "head_file": "hcl_core.decode.heads.head_files",
        "known_head": "hcl_core.decode.heads.head_files",
        "check_shared": "hcl_core.decode.heads.sharing",
        "export_head": "hcl_core.decode.heads.sharing",
        "import_head": "hcl_core.decode.heads.sharing",
        "shared_files": "hcl_core.decode.heads.sharing",
        "LayerReader": "hcl_core.decode.likelihood",
        "is_available": "hcl_core.decode.model.checkpoints",
        "is_here": "hcl_core.decode.model.checkpoints",
        "choose_devices": "hcl_core.decode.model.loading",
        "load_model": "hcl_core.decode.model.loading",
        "load_replicas": "hcl_core.decode.model.loading",
        "ReplicatedDecoder": "hcl_core.decode.replicas",
        "check_one_head": "hcl_core.decode.replicas",
        "ScheduledDecoder": "hcl_core.decode.scheduled",
        "ScheduledLikelihood": "hcl_core.decode.scheduled",
        "Scheduler": "hcl_core.decode.scheduler",
        "Turn": "hcl_core.decode.scheduler",
        "benchmark_strategies": "hcl_core.decode.timing",
        "read_layers_along_answer": "hcl_core.decode.token_lens",
        "find_unloaded": "hcl_core.decode.unloaded",
    }

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_LAZY[name]), name)


EMBEDDER_NAMES = ("all-MiniLM-L6-v2",)


def model_shape(name: str) -> ModelShape:
    """Sizes of the model called ``name``: the catalogue's, or those of a model on this machine. Uses no network.

    Raises:
        NotHereError: It is neither.
        ModelNotFoundError: The name is of a folder or file that is not there, or holds no model.
        UnsupportedArchitectureError: No engine can compute it; the message says why.
        HclError: It is on this machine, but damaged.
    """
    return shape_and_engine(name)[0]


def model_engine(name: str) -> EngineName:
    """The engine that would compute the model called ``name``; raises as ``model_shape``."""
    return shape_and_engine(name)[1]


def shape_and_engine(name: str, config_is_enough: bool = False) -> tuple[ModelShape, EngineName]:
    """Both; raises as ``model_shape``.

    Args:
        name: Of the model.
        config_is_enough: Whether its weights need not be here, as where their download was stopped.
    """
    if (known := find_model(name)) is not None:
        return known.shape, known.engine
    from hcl_core.decode.model import checkpoints
    from hcl_core.decode.model.pretrained import read_shape

    location = checkpoints.find_here(name) or (checkpoints.find_config(name) if config_is_enough else None)
    if location is None:
        hint = did_you_mean(name)
        raise NotHereError(f"{name!r} is neither a name that `models` lists nor a model on this machine{hint}")
    return read_shape(location)


def free_memory(device: str) -> tuple[int, bool]:
    """Bytes free on ``device``, as ``--device`` names it, and whether it is a CPU.

    Of ``cuda`` all GPUs together, which share a model; of several devices the least, since each has all of it.

    Raises:
        SettingsError: It is unknown or absent.
    """
    from hcl_core.decode.model import loading

    chosen = loading.choose_devices(device)
    free = min(sum(loading.free_memory_by_device(each).values()) for each in chosen)
    return free, chosen[0].type == "cpu"


def weight_format(dtype: str, device: str) -> WeightFormat:
    """The number format that ``dtype`` means on ``device``, both as ``load_replicas`` takes them.

    Raises:
        SettingsError: One of them is unknown or absent, or needs a package that is not installed.
    """
    from hcl_core.decode.model import loading

    return loading.choose_format(dtype, loading.choose_devices(device)[0])


def make_decoder(
    lm: "LanguageModel",
    exit_head: str,
    template: PromptTemplate,
    memory_budget: int | None = None,
    strategy: Strategy = EARLY_EXIT,
) -> "EngineDecoder":
    """A decoder of ``lm`` that follows ``strategy``; see ``decode.engine.EngineParts`` for the other arguments."""
    from hcl_core.decode.engine import EngineParts
    from hcl_core.decode.heads.exit_heads import load_exit_head
    from hcl_core.decode.strategy import decoder_of

    return decoder_of(EngineParts(lm, load_exit_head(exit_head, lm), template, memory_budget), strategy)


def plain_parts(lm: "LanguageModel", exit_head: str) -> "EngineParts":
    """``lm`` with the exit head called ``exit_head``, for texts that no template goes around."""
    from hcl_core.decode.engine import EngineParts
    from hcl_core.decode.heads.exit_heads import load_exit_head

    return EngineParts(lm, load_exit_head(exit_head, lm), PromptTemplate("plain", PLACEHOLDER))


def whole_model(lm: "LanguageModel", template: PromptTemplate) -> AnswerLikelihood:
    """``lm`` as a reader of the answers to prompts that were made with ``template``."""
    from hcl_core.decode.engine import EngineParts
    from hcl_core.decode.heads.exit_heads import SharedHead
    from hcl_core.decode.plausibility import WholeModel

    return WholeModel(EngineParts(lm, SharedHead(), template))


def answer_states(lm: "LanguageModel", template: PromptTemplate, stored: StoredQuestion) -> "AnswerStates":
    """The reader of hidden states along the answers to a question whose prompt was made with ``template``."""
    from hcl_core.decode.answer_states import AnswerStates
    from hcl_core.decode.engine import EngineParts
    from hcl_core.decode.heads.exit_heads import SharedHead

    return AnswerStates(EngineParts(lm, SharedHead(), template), stored)


def load_whole_model(settings: RunSettings, name: str | None = None) -> AnswerLikelihood:
    """The model of a run, as a reader of its answers.

    Args:
        settings: Of the run; they name the model, the revision of its weights, and their number format.
        name: Where the model is now; ``None``: as the run names it.

    Raises:
        ModelNotFoundError: There is no such model, or its weights have another revision.
        HclError: As ``load_model``.
    """
    from hcl_core.decode.model.loading import load_model

    lm, _ = load_model(name or settings.model, settings.dtype, revision=settings.model_revision)
    return whole_model(lm, settings.template)


def fit_head(
    lm: "LanguageModel", revision: str, settings: FitSettings, out: Path | None
) -> tuple[Path, Generator[FitProgress | HeadConfig, None, None]]:
    """The file of the head that is fitted for ``lm``, and the events of the fit; see ``decode.heads.fitting``."""
    from hcl_core.decode.heads import fitting
    from hcl_core.decode.heads.head_files import own_head_file

    file = out or own_head_file(lm.name, lm.weights_hash)
    return file, fitting.fit_head(lm, revision, settings, file)


def load_judge(name: str = "alias", embed: Embed | None = None) -> Judge:
    """The judge called ``name``.

    Args:
        name: One of ``JUDGE_NAMES``, ``NO_JUDGE``, or ``llm:MODEL``.
        embed: Unit vectors of texts, for the semantic judge; by default from an embedder of its own.

    Raises:
        SettingsError: There is none, or it lacks something.
    """
    check_judge(name)
    kind, _, model = full_judge_name(name).partition(":")
    if kind == "alias":
        from hcl_core.judges.alias import AliasJudge

        return AliasJudge()
    if kind == NO_JUDGE:
        from hcl_core.judges.open import OpenJudge

        return OpenJudge()
    if kind == "paper":
        from hcl_core.judges.paper import PaperJudge

        return PaperJudge()
    if kind == "semantic":
        from hcl_core.judges.semantic import SemanticJudge

        return SemanticJudge(embed or load_embedder().embed)
    from hcl_core.judges.llm import LlmJudge

    return LlmJudge(model)


def load_embedder(name: str = EMBEDDER_NAMES[0]) -> Embedder:
    """The embedder called ``name``.

    Raises:
        SettingsError: There is none.
        NoNetworkError: Its weights are not here and cannot be fetched.
    """
    if name not in EMBEDDER_NAMES:
        raise SettingsError(f"embedder must be one of {', '.join(EMBEDDER_NAMES)}; got {name!r}")
    from hcl_core.embedders.minilm import MiniLmEmbedder

    return MiniLmEmbedder()


def is_embedder_here() -> bool:
    """Whether the embedder's weights are on this machine. Uses no network."""
    from hcl_core.embedders.minilm import find_weights_here

    return find_weights_here() is not None


def load_questions(
    name: str, split: str | None = None, is_strict: bool = False, on_report: "OnReport | None" = None
) -> QuestionSource:
    """The question set called ``name``: the starter set, one known on the Hub, or the one at that path.

    Args:
        name: See above.
        split: Of a set that has several.
        is_strict: Whether a row that cannot be read is an error; else it is left out and counted.
        on_report: Told what loading did, once it is done; not of the starter set.

    Raises:
        SettingsError: There is none, or it has no such split.
    """
    from hcl_core.questions.files import LocalQuestions, starter_questions
    from hcl_core.questions.hub import HUB_SET_NAMES, HUB_SETS, HubQuestions

    if name == "starter":
        if split is not None:
            raise SettingsError("the starter set has no splits: leave --split out")
        return starter_questions()
    if (hub_set := next((known for known in HUB_SETS if known.name == name), None)) is not None:
        return HubQuestions(hub_set, split, is_strict, on_report)
    if (path := user_path(name)) is None:
        known = ", ".join(("starter", *HUB_SET_NAMES))
        raise QuestionFileError(
            f"cannot read the question file {name[:200]}: no such file, and no set of that name; known are {known}"
        )
    return LocalQuestions(path, split, is_strict=is_strict, on_report=on_report)
