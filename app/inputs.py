"""Inputs whose value the handler checks; the browser shows their bounds and choices.

Gradio refuses a value outside the bound or the choices that it sent last, in English, and the event that brought it is
lost. And a page may have sent the value before it got those: the layers of one model with the name of another, or a run
of one question with the next question.
"""

from typing import Any

import gradio as gr

from app.handlers.controls import NumberBox
from app.language import english_label, labels


class CheckedNumber(gr.Number):  # type: ignore[misc]
    """A number that the handler checks: Gradio's own check says in English what is wrong, beside the page."""

    def preprocess(self, payload: float | None) -> float | None:
        """As it was sent."""
        return payload

    def get_block_name(self) -> str:
        """As the browser knows it."""
        return "number"


def number_of(box: NumberBox, value: float, high: float | None = None, **named: Any) -> CheckedNumber:
    """The control of a number.

    Args:
        box: What it takes.
        value: What it says first.
        high: Its upper bound, where the box has none.
        named: Of ``gr.Number``.
    """
    return CheckedNumber(
        value,
        label=labels()(f"label_{box.label}"),
        minimum=box.low,
        maximum=box.high if high is None else high,
        precision=0 if box.is_whole else None,
        **named,
    )


class CheckedSlider(gr.Slider):  # type: ignore[misc]
    """A slider whose number, which can be typed beside it, the handler checks."""

    def preprocess(self, payload: float | None) -> float | None:
        """As it was sent."""
        return payload

    def get_block_name(self) -> str:
        """As the browser knows it."""
        return "slider"


class ListedChoice(gr.Dropdown):  # type: ignore[misc]
    """A choice, or several, of a list that grows and shrinks while the page is open."""

    def preprocess(self, payload: Any) -> Any:
        """As it was sent; raises ``gr.Error`` for what is no text, or no list of texts where several can be chosen."""
        chosen = payload if self.multiselect else [payload]
        if payload is not None and not (isinstance(chosen, list) and all(isinstance(each, str) for each in chosen)):
            raise gr.Error(f"{english_label(self.label)} must be one of its choices")
        return payload

    def get_block_name(self) -> str:
        """As the browser knows it."""
        return "dropdown"
