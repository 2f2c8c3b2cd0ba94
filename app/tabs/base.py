"""What the tabs share: parts by name, handlers whose answers are parts, Run and Stop, the balance."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gradio as gr

from app.handlers.base import Parts
from app.handlers.explore import stop as stop_run
from app.language import Translator, labels
from app.service import Service
from app.views.base import status

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
            for given in handler(Translator.of(request), request.session_hash or "", *values):
                yield placed(parts, given)

        stream.__doc__ = handler.__doc__
        return stream

    def once(request: gr.Request, *values: Any) -> Any:
        return placed(parts, handler(Translator.of(request), request.session_hash or "", *values))

    return once


def on_choice(parts: Components, handler: Callable[..., Any]) -> Callable[..., Any]:
    """The same for an event that brings something: ``handler(words, visitor, event, *values)``."""

    def once(event: gr.EventData, request: gr.Request, *values: Any) -> Any:
        return placed(parts, handler(Translator.of(request), request.session_hash or "", event, *values))

    return once


def wire_run(
    core: Service,
    parts: Components,
    work: Callable[..., Iterator[Parts]],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    api_name: str,
) -> None:
    """The button ``run`` does ``work`` with the model, ``stop`` ends it, and ``status`` says so meanwhile.

    Args:
        core: The page's service.
        parts: With ``run``, ``stop`` and ``status``, and what ``work`` gives.
        work: ``work(words, visitor, *values)``, a generator of updates; its docstring is the API's.
        inputs: Its values.
        outputs: Every component that it may give.
        api_name: Of the endpoint.
    """

    def wait(words: Translator, visitor: str) -> Parts:
        """A word at once, also where others are before this run; Run rests, Stop is ready."""
        core.begin(visitor)
        rests = {"run": gr.update(interactive=False), "stop": gr.update(interactive=True)}
        return rests | {"status": status(words("waiting"))}

    def rest(words: Translator, _: str) -> Parts:
        return {"run": gr.update(interactive=True), "stop": gr.update(interactive=False)}

    def stop(words: Translator, visitor: str) -> Parts:
        return stop_run(words, core, visitor) | {"stop": gr.update(interactive=False)}

    buttons = [parts["run"], parts["stop"]]
    begun = parts["run"].click(on_page(parts, wait), None, [parts["status"], *buttons], **QUIET)
    running = begun.then(on_page(parts, work), inputs, outputs, api_name=api_name, **MODEL)
    running.then(on_page(parts, rest), None, buttons, **QUIET)
    parts["stop"].click(on_page(parts, stop), None, [parts["status"], parts["stop"]], **QUIET)


def balance_controls() -> dict[str, Any]:
    """The slider between creativity and accuracy, and how creativity is scaled."""
    say = labels()
    return {
        "balance": gr.Slider(0, 100, 50, step=5, label=say("label_balance"), min_width=240),
        "scaling": gr.Radio(
            [(say("scaling_min_max"), "min_max"), (say("scaling_absolute"), "absolute")],
            value="min_max",
            label=say("label_scaling"),
            min_width=240,
        ),
    }
