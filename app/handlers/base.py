"""What all handlers share: the parts that change, the weights of a slider, and errors as messages."""

import logging
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from app.language import Translator
from app.service import StoppedError
from app.views.base import problem, status
from hcl_core.errors import HclError
from hcl_core.folders import precomputed_folder, runs_folder
from hcl_core.records import Weights

logger = logging.getLogger(__name__)

# Judges that the page offers: those that ask no endpoint.
JUDGES = ("alias", "semantic", "paper")
# Parts of the page that change, by name.
Parts = dict[str, Any]
_Arguments = ParamSpec("_Arguments")


def weights(creativity: float | None) -> Weights:
    """The slider's percentage of creativity as weights that sum to 1."""
    share = min(100.0, max(0.0, float(50 if creativity is None else creativity))) / 100
    return Weights(share, 1 - share)


def said(error: HclError) -> str:
    """The message, without where on this machine the program and its runs are."""
    text = str(error)
    for folder in (runs_folder(), precomputed_folder()):
        for path in (folder.absolute(), folder):
            text = text.replace(f"{path}/", "")
    return text


_Handler = Callable[Concatenate[Translator, _Arguments], Parts]


def told(part: str) -> Callable[[_Handler[_Arguments]], _Handler[_Arguments]]:
    """A mistake of the visitor's, or of ours, becomes a message in ``part``; everything else stays."""

    def around(handler: _Handler[_Arguments]) -> _Handler[_Arguments]:
        @wraps(handler)
        def safe(words: Translator, /, *arguments: _Arguments.args, **options: _Arguments.kwargs) -> Parts:
            try:
                return handler(words, *arguments, **options)
            except HclError as error:
                return {part: problem(said(error))}
            except Exception:
                logger.exception("%s failed", handler.__name__)
                return {part: problem(words("went_wrong"))}

        return safe

    return around


def told_while_running(
    handler: Callable[Concatenate[Translator, _Arguments], Iterator[Parts]],
) -> Callable[Concatenate[Translator, _Arguments], Iterator[Parts]]:
    """The same for a generator, which also ends when the visitor stops it; the message is in ``status``."""

    @wraps(handler)
    def safe(words: Translator, /, *arguments: _Arguments.args, **options: _Arguments.kwargs) -> Iterator[Parts]:
        try:
            yield from handler(words, *arguments, **options)
        except StoppedError:
            yield {"status": status(words("stopped"))}
        except HclError as error:
            yield {"status": problem(said(error))}
        except Exception:
            logger.exception("%s failed", handler.__name__)
            yield {"status": problem(words("went_wrong"))}

    return safe
