"""From names to adapters, each imported on first use: a page or a command that needs no model never loads torch."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hcl_core.catalogue import CatalogueModel
from hcl_core.errors import SettingsError
from hcl_core.folders import own_heads_folder
from hcl_core.heads import FitProgress, FitSettings, HeadConfig
from hcl_core.lens import LensTable
from hcl_core.ports import Embedder, Judge, QuestionSource
from hcl_core.prompts import PromptTemplate

if TYPE_CHECKING:
    from hcl_core.decode.causal_lm import CausalLM
    from hcl_core.decode.checkpoints import Checkpoint
    from hcl_core.decode.engine import TrieDecoder
    from hcl_core.decode.exit_heads import ExitHead

JUDGE_NAMES = ("alias",)
EMBEDDER_NAMES = ("all-MiniLM-L6-v2",)


def load_model(name: str, dtype: str = "auto", device: str = "auto") -> "tuple[CausalLM, Checkpoint]":
    """The model called ``name``; see ``decode.loading.load_model``."""
    from hcl_core.decode import loading

    return loading.load_model(name, dtype, device)


def is_available(model: CatalogueModel) -> bool:
    """Whether the weights of ``model`` are on this machine; asks nobody and loads no torch."""
    from hcl_core.decode import checkpoints

    return checkpoints.is_available(model)


def make_decoder(
    lm: "CausalLM", exit_head: str, template: PromptTemplate, memory_budget: int | None = None
) -> "TrieDecoder":
    """A decoder of ``lm``; see ``decode.engine.TrieDecoder``."""
    from hcl_core.decode.engine import TrieDecoder

    return TrieDecoder(lm, load_exit_head(exit_head, lm), template, memory_budget)


def fit_head(
    lm: "CausalLM", revision: str, settings: FitSettings, out: Path | None
) -> tuple[Path, Iterator[FitProgress | HeadConfig]]:
    """Where the head of ``lm`` will be, and its fit as it goes on; see ``decode.fitting.fit_head``."""
    from hcl_core.decode import fitting

    file = out or own_heads_folder() / f"{Path(lm.name).name}-{lm.weights_hash}.safetensors"
    return file, fitting.fit_head(lm, revision, settings, file)


def load_exit_head(name: str, lm: "CausalLM") -> "ExitHead":
    """The exit head called ``name``; see ``decode.exit_heads.load_exit_head``."""
    from hcl_core.decode import exit_heads

    return exit_heads.load_exit_head(name, lm)


def look_at_answer(lm: "CausalLM", head: "ExitHead", question_id: str, prompt: str, **options: Any) -> LensTable:
    """The token lens on one answer; see ``decode.token_lens.look_at_answer``."""
    from hcl_core.decode import token_lens

    return token_lens.look_at_answer(lm, head, question_id, prompt, **options)


def load_judge(name: str = "alias") -> Judge:
    """The judge called ``name``.

    Raises:
        SettingsError: There is none.
    """
    if name != "alias":
        raise SettingsError(f"judge must be one of {', '.join(JUDGE_NAMES)}; got {name!r}")
    from hcl_core.judges.alias import AliasJudge

    return AliasJudge()


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


def load_questions(name: str) -> QuestionSource:
    """The starter set, or the question file at that path."""
    from hcl_core.questions.jsonl import JsonlQuestions, starter_questions

    return starter_questions() if name == "starter" else JsonlQuestions(Path(name).expanduser())
