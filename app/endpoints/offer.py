"""The endpoints as Gradio's: named and typed, with the page's limits for whoever calls, and errors with a code."""

import inspect
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, get_args

import gradio as gr
from pydantic import ConfigDict, ValidationError, create_model

from app.endpoints.calls import ENDPOINTS, WITH_MODEL
from app.endpoints.errors import told
from app.jobs import StoppedError
from app.language import Translator
from app.service import Service
from app.tabs.base import MODEL, visit_of
from app.watching.counts import count_refusal
from hcl_core.errors import HclError, SettingsError

logger = logging.getLogger(__name__)

_MOST_QUOTED = 60
# A line of a docstring that goes on with the line before.
_CONTINUED = re.compile(r"\n {8}")


def offer_endpoints(core: Service) -> None:
    """Within the page's blocks: every function of ``calls``, under its own name; ``hcl_`` before it as a tool."""
    for call in ENDPOINTS:
        # A read of a stored run waits with other reads, and never behind a run.
        lane = {name: MODEL[name] for name in ("concurrency_id", "concurrency_limit")} if call in WITH_MODEL else {}
        gr.api(_bound(call, core), api_name=call.__name__, **lane)


def _bound(call: Callable[..., Any], core: Service) -> Callable[..., Any]:
    """``call`` for Gradio, which reads names, types and descriptions from it, and gives it the request."""
    parameters = list(inspect.signature(call).parameters.values())[1:]
    read = _reader(parameters)

    def stream(request: gr.Request, *values: Any) -> Iterator[Any]:
        visit = visit_of(request, core)
        try:
            # Closed at once where the caller leaves: the model is free for the next one.
            with closing(call(visit, **read(values))) as results:
                yield from results
        except Exception as error:
            raise _refusal(error, visit.words) from None

    def once(request: gr.Request, *values: Any) -> Any:
        visit = visit_of(request, core)
        try:
            return call(visit, **read(values))
        except Exception as error:
            raise _refusal(error, visit.words) from None

    is_stream = inspect.isgeneratorfunction(call)
    bound: Any = stream if is_stream else once
    returned = inspect.signature(call).return_annotation
    returned = get_args(returned)[0] if is_stream else returned  # Gradio wants the type of one result
    asked = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=gr.Request)
    bound.__signature__ = inspect.Signature([asked, *parameters], return_annotation=returned)
    bound.__annotations__ = {each.name: each.annotation for each in (asked, *parameters)} | {"return": returned}
    # Gradio takes one line for a parameter.
    bound.__doc__ = _CONTINUED.sub(" ", inspect.getdoc(call) or "")
    bound.__name__ = f"hcl_{call.__name__}"
    made: Callable[..., Any] = bound
    return made


def _reader(parameters: list[inspect.Parameter]) -> Callable[[tuple[Any, ...]], dict[str, Any]]:
    """Makes values of the types that ``parameters`` say of what came, or raises ``SettingsError``."""
    config = ConfigDict(protected_namespaces=(), allow_inf_nan=False)
    fields: dict[str, Any] = {
        each.name: (each.annotation, ... if each.default is each.empty else each.default) for each in parameters
    }
    model = create_model("Values", __config__=config, **fields)
    names = [each.name for each in parameters]

    def read(values: tuple[Any, ...]) -> dict[str, Any]:
        try:
            checked = model(**dict(zip(names, values, strict=False)))
        except ValidationError as error:
            wrong = error.errors()[0]
            got = repr(wrong["input"])[:_MOST_QUOTED]
            raise SettingsError(f"{wrong['loc'][0]} cannot be read: {wrong['msg']}; got {got}") from None
        return {name: getattr(checked, name) for name in names}

    return read


def _refusal(error: Exception, words: Translator) -> gr.Error:
    if isinstance(error, HclError):
        count_refusal(error)
    elif not isinstance(error, StoppedError):
        logger.error("an endpoint failed", exc_info=error)
    return gr.Error(told(error, words), print_exception=False)
