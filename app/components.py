"""Our own components: small subclasses of ``gr.HTML`` with a script each, which nothing outside the machine serves."""

from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr
import plotly

_ASSETS = Path(__file__).parent.parent / "assets"


@cache
def plotly_js() -> Path:
    """The plotly.js that ships inside the plotly package: nothing is fetched from elsewhere."""
    return Path(plotly.__file__).parent / "package_data" / "plotly.min.js"


class LayerChart(gr.HTML):
    """Shows a figure of ``figures``; updates in place, without flicker, with zoom kept and the theme's colours.

    A click on a layer marks that layer's column of answers.
    """

    def __init__(self, value: dict[str, Any] | None = None, **settings: Any) -> None:
        super().__init__(
            value,
            html_template='<div class="hcl-chart" hidden role="img" aria-label="Curves over exit layers"></div>',
            js_on_load=(_ASSETS / "chart.js").read_text(encoding="utf-8"),
            head=f'<script src="gradio_api/file={plotly_js().as_posix()}"></script>',
            apply_default_css=False,
            **settings,
        )

    def postprocess(self, value: Any) -> Any:
        """A figure, as it is."""
        return value

    def api_info(self) -> dict[str, Any]:
        """A Plotly figure as JSON."""
        return {"type": "object"}


class AnswerColumns(gr.HTML):
    """Shows ``views.answer_columns``: brings the best layer into view, lights up the same answer in every layer."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(js_on_load=(_ASSETS / "answers.js").read_text(encoding="utf-8"), **settings)
