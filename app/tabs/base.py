"""What the tabs share: handlers as Gradio calls them, errors as messages, Run and Stop, the balance."""

import inspect
import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import gradio as gr

from app.addresses import caller_address
from app.inputs import CheckedSlider
from app.jobs import JobKind, StoppedError
from app.language import Translator, labels
from app.messages import Message, Problem
from app.render import Parts
from app.service import Service
from app.terms import explained
from app.views.base import problem, status_line
from app.visit import Visit
from app.watching.counts import count_refusal
from hcl_core.errors import HclError
from hcl_core.records import DEFAULT_SCALING, SCALINGS

logger = logging.getLogger(__name__)

Components = Mapping[str, Any]

# An event that only computes: nobody waits for the model, nothing blinks, nothing shows in the API.
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
# An event that may need the embedder: it waits in a line of its own.
SLOW: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_id": "embedder"}
# An event that needs the model. None waits in Gradio's queue, which tells nobody their place: the service counts places
# (``app.places``), and tells who has none at once. ``app.launch`` has a thread for each place, and more for readers.
MODEL: dict[str, Any] = {
    "show_progress": "hidden", "api_visibility": "private", "concurrency_id": "model", "concurrency_limit": None,
}  # fmt: skip
# A read of a whole run, or a file: off the page's quick lane, but not in the model's line.
FILES: dict[str, Any] = {"show_progress": "minimal", "api_visibility": "private"}


class Binder:
    """Makes Gradio's event functions of ``handler(visit, *values) -> Parts``.

    Whatever goes wrong becomes a message in one part; everything else on the page stays.

    Args:
        core: The page's service.
        parts: Components by the names that handlers use.
        errors_in: Name of the part that shows what went wrong.
    """

    def __init__(self, core: Service, parts: Components, errors_in: str = "status") -> None:
        self._core, self._parts, self._errors_in = core, parts, errors_in

    def __call__(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """For an event that brings the values of its inputs; a generator's updates are shown as they come."""
        if inspect.isgeneratorfunction(handler):

            def stream(request: gr.Request, *values: Any) -> Iterator[Any]:
                # Closed at once where the visitor leaves: the model is free for the next one.
                with closing(self._updates(handler, self._visit(request), *values)) as updates:
                    for parts in updates:
                        yield self._placed(parts)

            stream.__doc__ = handler.__doc__
            return stream

        def once(request: gr.Request, *values: Any) -> Any:
            return self._placed(self._result(handler, self._visit(request), *values))

        return once

    def on_choice(self, handler: Callable[..., Parts]) -> Callable[..., Any]:
        """For an event that says what was chosen: ``handler(visit, event, *values)``."""

        def once(event: gr.EventData, request: gr.Request, *values: Any) -> Any:
            return self._placed(self._result(handler, self._visit(request), event, *values))

        return once

    def on_opening(self, handler: Callable[..., Parts]) -> Callable[..., Any]:
        """For the page's opening: ``handler(visit, query, *values)`` with the parameters of the address."""

        def once(request: gr.Request, *values: Any) -> Any:
            return self._placed(self._result(handler, self._visit(request), request.query_params, *values))

        return once

    def _visit(self, request: gr.Request) -> Visit:
        return visit_of(request, self._core)

    def _placed(self, parts: Parts) -> Any:
        return {self._parts[name]: part for name, part in parts.items()} or gr.skip()

    def _result(self, handler: Callable[..., Parts], visit: Visit, *values: Any) -> Parts:
        try:
            return handler(visit, *values)
        except Exception as error:
            return self._failure(error, visit.words)

    def _updates(
        self, handler: Callable[..., Generator[Parts, None, None]], visit: Visit, *values: Any
    ) -> Generator[Parts, None, None]:
        try:
            with closing(handler(visit, *values)) as updates:
                yield from updates
        except Exception as error:
            yield self._failure(error, visit.words)

    def _failure(self, error: Exception, words: Translator) -> Parts:
        if isinstance(error, StoppedError):
            return {self._errors_in: status_line(Message("stopped"), words)}
        if isinstance(error, HclError):
            count_refusal(error)
            return {self._errors_in: problem(str(error), words)}
        logger.error("a handler failed", exc_info=error)
        return {self._errors_in: problem(words("went_wrong"), words)}


def visit_of(request: gr.Request, core: Service) -> Visit:
    """Who sends a request."""
    peer = request.client.host if request.client else ""
    address = caller_address(peer, request.headers.getlist("x-forwarded-for"), core.settings.proxies)
    return Visit(Translator.of(request), core, request.session_hash or "", address)


def main_row() -> gr.Row:
    """A tab's controls on the left and what came of them on the right."""
    return gr.Row(equal_height=False, elem_classes="hcl-main")


def controls_column() -> gr.Column:
    """The left column of ``main_row``."""
    return gr.Column(scale=1, min_width=310, elem_classes="hcl-controls")


def results_column() -> gr.Column:
    """The right column of ``main_row``."""
    return gr.Column(scale=4, min_width=320, elem_classes="hcl-results")


def run_and_stop(parts: dict[str, Any], label: str, elem_ids: tuple[str | None, str | None] = (None, None)) -> None:
    """The two buttons; ``label`` is the key of what Run is called."""
    say = labels()
    run, stop = elem_ids
    parts["run"] = gr.Button(say(label), variant="primary", size="lg", scale=2, min_width=120, elem_id=run)
    parts["stop"] = gr.Button(say("button_stop"), size="lg", scale=1, min_width=80, interactive=False, elem_id=stop)


def run_buttons(parts: dict[str, Any], label: str, elem_id: str) -> None:
    """Run, Stop, and the line that says what is going on; ``label`` is the key of what Run is called."""
    with gr.Row():
        run_and_stop(parts, label)
    parts["status"] = gr.HTML("", elem_id=elem_id)


def wire_run(
    bind: Binder,
    parts: Components,
    work: Callable[..., Generator[Parts, None, None]],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    kind: JobKind,
) -> Any:
    """The button ``run`` does ``work`` with the model, ``stop`` ends it, and ``status`` says so meanwhile.

    Args:
        bind: Of the tab.
        parts: With ``run``, ``stop`` and ``status``, and what ``work`` returns.
        work: ``work(visit, *values)``, a generator of updates; which yields parts.
        inputs: Its values.
        outputs: Every component that it may change.
        kind: Of the job; its event is called so, ``page_`` before it.

    Returns:
        The event at whose end the run has ended, for what else follows it.
    """
    ended = wire_start(bind, parts, parts["run"].click, work, inputs, outputs, kind)
    wire_stop(bind, parts, kind)
    return ended


def wire_start(
    bind: Binder,
    parts: Components,
    begins: Callable[..., Any],
    work: Callable[..., Generator[Parts, None, None]],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    kind: JobKind,
    name: str | None = None,
) -> Any:
    """As ``wire_run``, without its ``stop``.

    Args:
        bind: See there, as for all that are not named here.
        parts: See there.
        begins: The event at which the work begins, such as the click of ``run``.
        work: See there.
        inputs: See there.
        outputs: See there.
        kind: See there.
        name: What the event is called, ``page_`` before it; ``None``: as its kind.
    """

    def on_run_pressed(visit: Visit) -> Parts:
        """A message at once, also where others are before this run."""
        visit.service.jobs.press(visit.visitor, kind)
        return _buttons(is_running=True) | {"status": status_line(Message("waiting"), visit.words)}

    def on_run_ended(_: Visit) -> Parts:
        return _buttons(is_running=False)

    def on_turned_away(visit: Visit) -> Parts:
        """The press did not get as far as ``work``: more than a thousand events wait, or the connection failed."""
        return on_run_ended(visit) | {"status": status_line(Problem(visit.words("turned_away")), visit.words)}

    buttons = [parts["run"], parts["stop"]]
    begins(None, None, None, js=announce("hcl:run", kind), **QUIET)
    pressed = begins(bind(on_run_pressed), None, [parts["status"], *buttons], **QUIET)
    ended = pressed.then(bind(work), inputs, outputs, api_name=f"page_{name or kind}", **MODEL)
    ended.then(bind(on_run_ended), None, buttons, **QUIET)
    # Gradio does no "then" after an event that it did not take.
    ended.failure(bind(on_turned_away), None, [parts["status"], *buttons], **QUIET)
    for event in (ended.then, ended.failure):
        event(None, None, None, js=announce("hcl:ran", kind), **QUIET)
    return ended


def wire_stop(bind: Binder, parts: Components, kind: JobKind) -> None:
    """The button ``stop`` ends the visitor's work of that kind; ``bind`` and ``parts`` as for ``wire_run``."""

    def on_stop_pressed(visit: Visit) -> Parts:
        return {"status": status_line(Message("stopping"), visit.words), "stop": gr.update(interactive=False)}

    def stop(visit: Visit) -> Parts:
        """An event of its own: sent together, the message could arrive after the stopped run's last one."""
        visit.service.jobs.stop(visit.visitor, kind)
        return {}

    stopping = parts["stop"].click(bind(on_stop_pressed), None, [parts["status"], parts["stop"]], **QUIET)
    stopping.then(bind(stop), None, parts["stop"], **QUIET)


def wire_in_turn(
    asked: Callable[..., Any], work: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[Any], kind: str
) -> None:
    """An event with data, of which the last one counts; ``assets/asking.js`` sends one of a kind at a time.

    Args:
        asked: The event.
        work: Of its data and ``inputs``, as Gradio calls it.
        inputs: See there.
        outputs: Every component that it may change.
        kind: As the script names it.
    """
    event = asked(work, inputs, outputs, trigger_mode="multiple", **QUIET)
    for answered in (event.then, event.failure):
        answered(None, None, None, js=announce("hcl:answered", kind), **QUIET)


def announce(name: str, detail: str) -> str:
    """A script for an event that only the page's own scripts are told of."""
    return f"() => {{ document.dispatchEvent(new CustomEvent({name!r}, {{ detail: {detail!r} }})); return []; }}"


def _buttons(is_running: bool) -> Parts:
    return {"run": gr.update(interactive=not is_running), "stop": gr.update(interactive=is_running)}


def balance_controls() -> dict[str, Any]:
    """The slider between creativity and accuracy, and how creativity is scaled."""
    say = labels()
    return {
        "balance": CheckedSlider(
            0, 100, 50, step=5, label=say("label_balance"), elem_classes=explained("hcb_score"), min_width=240
        ),
        "scaling": gr.Radio(
            [(say(f"scaling_{scaling}"), scaling) for scaling in SCALINGS],
            value=DEFAULT_SCALING,
            label=say("label_scaling"),
            elem_classes=explained("scaling"),
            min_width=240,
        ),
    }
