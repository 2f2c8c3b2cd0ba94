"""What went wrong, for a program: a code that never changes, then the page's sentence."""

from app.jobs import StoppedError
from app.language import Translator
from app.views.base import without_paths
from hcl_core import errors
from hcl_core.errors import HclError
from hcl_core.text import printable

# The most special class of an error that stands here names it.
CODES: dict[type[BaseException], str] = {
    errors.LimitError: "limit",
    errors.SweepError: "sweep",
    errors.SettingsError: "setting",
    errors.QuestionFileError: "question_file",
    errors.NotHereError: "model_not_here",
    errors.ModelNotFoundError: "model_not_found",
    errors.GatedModelError: "gated_model",
    errors.NoNetworkError: "no_network",
    errors.FetchError: "fetch",
    errors.UnsafeWeightsError: "unsafe_weights",
    errors.DamagedModelError: "damaged_model",
    errors.UnsupportedArchitectureError: "unsupported_architecture",
    errors.HeadIsThereError: "exit_head_is_there",
    errors.ExitHeadError: "exit_head",
    errors.ContextTooLongError: "context_too_long",
    errors.NotEnoughMemoryError: "not_enough_memory",
    errors.NotFiniteError: "not_finite",
    errors.GpuError: "gpu",
    errors.JudgeError: "judge",
    errors.DiskError: "disk",
    errors.RunReadOnlyError: "run_read_only",
    errors.RunBusyError: "run_busy",
    errors.RunFolderError: "run_not_found",
    HclError: "refused",
    StoppedError: "stopped",
    BaseException: "internal",
}
_MOST_LETTERS = 1_000


def code_of(error: BaseException) -> str:
    """One of the values of ``CODES``."""
    return next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)


def told(error: BaseException, words: Translator) -> str:
    """``code: sentence``; nothing of an error that is the program's own fault but that there was one."""
    if isinstance(error, HclError):
        sentence = words.error(without_paths(str(error)))
    else:
        sentence = words("stopped" if isinstance(error, StoppedError) else "went_wrong")
    return f"{code_of(error)}: {printable(sentence)[:_MOST_LETTERS]}"
