"""The errors that a user can cause. Each message is one line: what is allowed, what came, what to do."""


class HclError(Exception):
    """Base of every error that is shown to the user as one line; the terminal then exits with code 2."""


class SettingsError(HclError):
    """A setting is outside its range, unknown, or contradicts another."""


class SweepError(SettingsError):
    """A sweep's file cannot be read or has mistakes; a line each."""


class LimitError(SettingsError):
    """Something asks for more than a page gives to one caller, or has left."""


class QuestionFileError(HclError):
    """A question file cannot be read; the message names the file and the line."""


class ModelNotFoundError(HclError):
    """No model of that name exists in the catalogue, on disk, or on the Hub."""


class NotHereError(ModelNotFoundError):
    """No model of that name is on this machine; the Hub, which was not asked, may have it."""


class GatedModelError(HclError):
    """The model's owner asks for an accepted licence and an access token."""


class NoNetworkError(HclError):
    """The Hub cannot be reached and the weights are not on this machine."""


class FetchError(HclError):
    """The packages that hold weights cannot be downloaded."""


class UnsafeWeightsError(HclError):
    """The model has no safetensors weights (pickled weights are never opened)."""


class DamagedModelError(HclError):
    """A model folder is incomplete or damaged."""


class UnsupportedArchitectureError(HclError):
    """The engine does not know this model family."""


class ExitHeadError(HclError):
    """A fitted exit head is missing, damaged, or belongs to another model."""


class HeadIsThereError(ExitHeadError):
    """Another exit head is there for the same weights, and was not to be replaced."""


class ContextTooLongError(HclError):
    """Prompt and answer together exceed the model's context or attention window."""


class NotEnoughMemoryError(HclError):
    """The weights do not fit into the memory that is free."""


class NotFiniteError(HclError):
    """The model computes values that are no finite numbers: they overflow its number format, or weights are damaged."""


class GpuError(HclError):
    """A GPU that is lent for each task was not to be had, or its time was up."""


class JudgeError(HclError):
    """A language model that judges gave no answer, or an answer that is no grade."""


class DiskError(HclError):
    """A file can't be written: the disk is full, read-only or failing, or a permission is missing."""


class RunFolderError(HclError):
    """A run folder is missing, damaged, from another version, or holds another run."""


class RunReadOnlyError(RunFolderError):
    """The run folder can't be written to."""


class RunBusyError(RunFolderError):
    """Another process is writing to the run folder."""


def cause_of(error: Exception) -> str:
    """What is wrong, for a message that names the file itself: of what the system refused, its words alone."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def file_and_cause(error: Exception) -> str:
    """What is wrong, and with which file where the error names one."""
    file = error.filename if isinstance(error, OSError) and error.strerror else None
    return f"{file}: {cause_of(error)}" if file else cause_of(error)
