"""Rows under heads in the visitor's language: Gradio translates labels, not these."""

from collections.abc import Sequence

import gradio as gr

from app.language import Translator
from app.render import Parts


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    words: Translator,
    shown: Sequence[Sequence[str]] | None = None,
) -> Parts:
    """An update of a ``gr.Dataframe``.

    Args:
        columns: Keys of ``assets/words`` without ``column_``.
        rows: By which it is sorted.
        words: The page's.
        shown: What stands there instead, such as numbers with their thousands apart.
    """
    heads = [words(f"column_{name}") for name in columns]
    value: Parts = {"headers": heads, "data": list(rows)}
    if shown is not None:
        value["metadata"] = {"display_value": list(shown)}
    update: Parts = gr.update(value=value)
    return update
