"""Inputs whose bound or choices change with another input: the browser shows them, and the handler checks the value.

Gradio refuses a value outside the bound or the choices that it sent last. But a page may have sent the value before it
got those: the layers of one model with the name of another, or a run of one question with the next question.
"""

from typing import Any

import gradio as gr

from app.language import english_label


class LayerNumber(gr.Number):  # type: ignore[misc]
    """The number of a layer; its bound is the depth of the chosen model."""

    def preprocess(self, payload: float | None) -> float | int | None:
        """As it was sent, rounded."""
        return None if payload is None else self.round_to_precision(payload, self.precision)

    def get_block_name(self) -> str:
        """As the browser knows it."""
        return "number"


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
