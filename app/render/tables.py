"""Rows under heads in the visitor's language: Gradio translates labels, not these."""

from collections.abc import Sequence

import gradio as gr

from app.language import Translator
from app.render import Parts


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], words: Translator) -> Parts:
    """An update of a ``gr.Dataframe``; ``columns`` are keys of ``assets/words`` without ``column_``."""
    heads = [words(f"column_{name}") for name in columns]
    update: Parts = gr.update(value={"headers": heads, "data": list(rows)})
    return update
