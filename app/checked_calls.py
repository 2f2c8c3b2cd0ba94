"""Calls of the page's events by programs, which may send anything: what cannot be read is refused in a sentence."""

import logging
import math
from copy import copy
from html import escape
from typing import Any

import gradio as gr
from gradio.blocks import Block, BlockFunction

from app.language import english_label
from hcl_core.text import printable

logger = logging.getLogger(__name__)

# Of a refusal; a component's own refusal quotes the whole value.
_MAX_LETTERS = 300


class CheckedBlocks(gr.Blocks):
    """Blocks whose events refuse values of the wrong type with a message, as they refuse values out of range.

    Gradio hides any other error from the client, as ``{"error": null}``, and prints a traceback with the value in it.
    """

    async def preprocess_data(self, block_fn: BlockFunction, inputs: list[Any], *rest: Any, **settings: Any) -> Any:
        """What the handler is called with; raises ``gr.Error`` if the components cannot read ``inputs``."""
        try:
            if block_fn.fn is None:
                raise gr.Error("this event is the browser's own: the server has nothing to do for it")
            _check_numbers(block_fn, inputs)
            _check_choices(block_fn, inputs)
            return await super().preprocess_data(block_fn, inputs, *rest, **settings)
        except gr.Error as error:
            refusal = error.message
        except Exception as error:
            refusal = f"this event needs {len(block_fn.inputs)} values of the kinds that its API page lists"
            logger.warning("an event's values cannot be read: %s", type(error).__name__)
        # Half a letter, which a script can have, cannot be sent.
        raise gr.Error(printable(refusal[:_MAX_LETTERS]), print_exception=False)

    async def process_api(self, *positional: Any, event_data: gr.EventData | None = None, **named: Any) -> Any:
        """As Gradio's. An event whose data are no object has none: Gradio looks names up in whatever was sent."""
        if event_data is not None and not isinstance(event_data._data, dict):
            event_data = type(event_data)(event_data.target, {})
        return await super().process_api(*positional, event_data=event_data, **named)

    async def postprocess_data(self, block_fn: BlockFunction, predictions: Any, *rest: Any) -> list[Any]:
        """What is sent to the browser. Gradio makes a new component for each output, also where it stays as it is."""
        changed = {} if predictions == gr.skip() else predictions
        if not isinstance(changed, dict) or not changed.keys() <= set(block_fn.outputs):
            return list(await super().postprocess_data(block_fn, predictions, *rest))
        changing = copy(block_fn)
        changing.outputs = [block for block in block_fn.outputs if block in changed]
        values = [changed[block] for block in changing.outputs]
        sent = iter(await super().postprocess_data(changing, values[0] if len(values) == 1 else values, *rest))
        return [next(sent) if block in changed else _unchanged(block) for block in block_fn.outputs]


def _unchanged(block: Block) -> dict[str, Any] | None:
    """What Gradio sends of an output that stays as it is."""
    return None if block.stateful else gr.skip()


def _check_numbers(block_fn: BlockFunction, inputs: list[Any]) -> None:
    """Raise ``gr.Error`` for the first box of a number that got something else; an empty box is the handler's."""
    for block, value in zip(block_fn.inputs, inputs, strict=False):
        if isinstance(block, gr.Number | gr.Slider) and not (value is None or _is_number(value)):
            got = escape(printable(repr(value)[:42]))  # the page shows the message as HTML
            raise gr.Error(f"{english_label(block.label)} must be a number; got {got}")


def _check_choices(block_fn: BlockFunction, inputs: list[Any]) -> None:
    """Raise ``gr.Error`` for the first list of choices that got many, or an object; Gradio lets an empty list pass.

    Where anything can be typed, Gradio lets numbers pass too.
    """
    for block, value in zip(block_fn.inputs, inputs, strict=False):
        takes_one = isinstance(block, gr.Radio) or (isinstance(block, gr.Dropdown) and not block.multiselect)
        is_text = isinstance(value, str | None)
        is_typed = isinstance(block, gr.Dropdown) and block.allow_custom_value and not block.multiselect
        if (takes_one and isinstance(value, list | dict)) or (is_typed and not is_text):
            raise gr.Error(f"{english_label(block.label)} must be one of its choices")


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:  # a whole number of more than 308 digits
        return False
