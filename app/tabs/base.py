"""What the tabs share: parts by name, and handlers whose answers are parts."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gradio as gr

from app.language import Words

Components = Mapping[str, Any]

# An event that only computes: nobody waits for the model, nothing blinks, nothing shows in the API.
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
# An event that may need the embedder: it waits in a line of its own.
SLOW: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_id": "embedder"}
# An event that needs the model: one at a time.
MODEL: dict[str, Any] = {"show_progress": "hidden", "concurrency_id": "model", "concurrency_limit": 1}


def placed(parts: Components, values: Mapping[str, Any]) -> Any:
    """A handler's answer for Gradio: by component, or nothing at all."""
    return {parts[name]: value for name, value in values.items()} or gr.skip()


def on_page(parts: Components, handler: Callable[..., Any]) -> Callable[..., Any]:
    """``handler(words, visitor, *values)`` as Gradio calls it; what it gives is placed, as it comes.

    Args:
        parts: Components by the names that the handler uses.
        handler: A function, or a generator of updates.
    """
    if inspect.isgeneratorfunction(handler):

        def stream(request: gr.Request, *values: Any) -> Iterator[Any]:
            for given in handler(Words.of(request), request.session_hash or "", *values):
                yield placed(parts, given)

        stream.__doc__ = handler.__doc__
        return stream

    def once(request: gr.Request, *values: Any) -> Any:
        return placed(parts, handler(Words.of(request), request.session_hash or "", *values))

    return once


def on_choice(parts: Components, handler: Callable[..., Any]) -> Callable[..., Any]:
    """The same for an event that brings something: ``handler(words, visitor, event, *values)``."""

    def once(event: gr.EventData, request: gr.Request, *values: Any) -> Any:
        return placed(parts, handler(Words.of(request), request.session_hash or "", event, *values))

    return once
