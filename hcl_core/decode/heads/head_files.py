"""Files of exit heads, and whose they are: what can be told before a model is loaded."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from safetensors import SafetensorError, safe_open

from hcl_core.decode.model.checkpoints import find_here
from hcl_core.errors import ExitHeadError, HclError, cause_of
from hcl_core.folders import own_heads_folder, shipped_heads_folder
from hcl_core.models.catalogue import find_model
from hcl_core.models.head_records import EXIT_HEAD_NAMES, HeadConfig, check_exit_head
from hcl_core.text import one_line

# The only key of the file's metadata: safetensors writes several keys in no fixed order.
FORMAT = "hcl-linear-head-1"

logger = logging.getLogger(__name__)


class Weights(Protocol):
    """What tells whose head is whose: a model in memory has it, and an ``UnloadedModel``.

    Attributes:
        name: Of the model.
        weights_hash: See ``LanguageModel``.
        revision: Likewise.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def weights_hash(self) -> str: ...  # noqa: D102

    @property
    def revision(self) -> str: ...  # noqa: D102


def check_exit_head_of(name: str, weights: Weights) -> None:
    """Raise what ``load_exit_head`` would, as far as it can be told before the model is loaded."""
    check_exit_head(name)
    if name not in EXIT_HEAD_NAMES:
        check_belongs(Path(name).expanduser(), weights)
    elif name == "linear":
        file, others = find_heads(weights)
        if file is None and not others:  # others are tried with the model itself
            raise none_fitted(weights, "")


def find_head(lm: Weights) -> Path | None:
    """The file of a head fitted for ``lm``: one of the user's own, else a shipped one."""
    return find_heads(lm)[0]


def find_heads(lm: Weights) -> tuple[Path | None, list[Path]]:
    """``find_head``'s file; if there is none, the heads that were fitted for other weights of a model of that name."""
    others = []
    for file, config in all_heads():
        if config.belongs_to(lm.weights_hash, lm.revision):
            return file, []
        if config.model == lm.name:
            others.append(file)
    return None, others


def known_head(model: str, lm: Weights | None = None) -> tuple[Path, HeadConfig] | None:
    """File and config of a fitted head for the model of that name, one of the user's own first; loads no model.

    Args:
        model: The name. The model's weights may turn out to be others than the head was fitted for: see
            ``load_exit_head``.
        lm: The model, where it is in memory: a head that was fitted for its weights goes before others.
    """
    if lm is not None and (file := find_head(lm)) is not None:
        return file, read_config(file)
    if (found := next(heads_called(model), None)) is not None or find_model(model) is not None:
        return found
    try:
        here = find_here(model)  # heads bear a folder's name, not its path
    except HclError:
        return None
    return None if here is None else next(heads_called(here.model), None)


def head_file(name: str) -> Path | None:
    """The file of that name among the heads on this machine, the user's own first."""
    return next((file for file, _ in all_heads() if file.name == name), None)


def own_head_file(model: str, weights_hash: str) -> Path:
    """Where a head of the user's own is kept, for the model of that name and the hash of its weight files."""
    return own_heads_folder() / f"{Path(model).name.replace(':', '-')}-{weights_hash}.safetensors"


def heads_called(model: str) -> Iterator[tuple[Path, HeadConfig]]:
    """``all_heads`` that were fitted for a model of that name, whichever its weights."""
    known = find_model(model)
    names = {model, known.name, known.repo_id} if known else {model}
    return ((file, config) for file, config in all_heads() if config.model in names)


def all_heads() -> Iterator[tuple[Path, HeadConfig]]:
    """Files and configs of the heads on this machine, the user's own first; what cannot be read is left out."""
    for folder in (own_heads_folder(), shipped_heads_folder()):
        for file in sorted(folder.glob("*.safetensors")):
            try:
                yield file, read_config(file)
            except ExitHeadError as error:
                logger.warning("ignored: %s", error)


def read_config(file: Path) -> HeadConfig:
    """The config of a head's file.

    Raises:
        ExitHeadError: The file is missing, damaged, or no linear head.
    """
    try:
        with safe_open(file, framework="np") as opened:
            metadata = opened.metadata() or {}
        if FORMAT not in metadata:
            raise ExitHeadError(f"{file} is no exit head: give a file made by `fit-head`")
        return HeadConfig.from_json(metadata[FORMAT])
    except (OSError, SafetensorError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise unreadable(file, error) from None


def unreadable(file: Path, error: Exception) -> ExitHeadError:
    """The error of a head's file that is damaged, or none; ``error`` says what is wrong with it."""
    problem = one_line(cause_of(error))[:200] or type(error).__name__
    return ExitHeadError(f"the exit head {file} cannot be read: {problem}: give another file, or fit one (`fit-head`)")


def check_belongs(file: Path, lm: Weights) -> None:
    """Raise ``ExitHeadError`` where the head in ``file`` was fitted for another model, or as ``read_config``."""
    config = read_config(file)
    if not config.belongs_to(lm.weights_hash, lm.revision):
        raise ExitHeadError(
            f"the exit head {file.name} was fitted for {config.model} ({config.weights_hash}), not for "
            f"{lm.name} ({lm.weights_hash}): fit one with `python -m hcl_core fit-head --model {lm.name}`"
        )


def none_fitted(weights: Weights, but_for: str) -> ExitHeadError:
    """The error where no head was fitted; ``but_for`` says for which other weights some were."""
    return ExitHeadError(
        f"no exit head was fitted for this model, {weights.name}{but_for}: make one with "
        f"`python -m hcl_core fit-head --model {weights.name}`, or use --exit-head shared"
    )
