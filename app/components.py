"""Our own components: small subclasses of ``gr.HTML`` with a script each, which nothing outside the machine serves."""

from pathlib import Path
from typing import Any

import gradio as gr
import plotly
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

_ASSETS = Path(__file__).parent.parent / "assets"
# Relative to the page, which may stand below a proxy's path.
_PLOTLY_ADDRESS = "plotly/plotly.min.js"


def plotly_route() -> Route:
    """Serves the plotly.js that ships inside the plotly package: nothing is fetched from elsewhere.

    Gradio's own way to serve a file has the file's path in its address, and so where the program is installed.
    """

    async def serve(_: Request) -> FileResponse:
        return FileResponse(Path(plotly.__file__).parent / "package_data" / "plotly.min.js")

    return Route(f"/{_PLOTLY_ADDRESS}", serve)


def _script(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


class LayerChart(gr.HTML):
    """Shows a figure of ``figures``; updates in place, without flicker, with zoom kept and the theme's colours.

    A click, or an arrow key, chooses a layer (of a token lens: a cell) in every part of the same group, and the event
    ``choose`` brings ``layer`` (of a token lens also ``position``, the index of the token) to the server.

    Args:
        value: A figure.
        group: Parts of one group share the chosen layer.
        label: What the chart shows, for those who don't see it.
        settings: As ``gr.HTML``.
    """

    def __init__(
        self, value: dict[str, Any] | None = None, group: str = "", label: str | Any = "", **settings: Any
    ) -> None:
        super().__init__(
            value,
            label=label,
            html_template='<div class="hcl-chart" hidden tabindex="0" role="application"></div>',
            js_on_load=_script("chart.js"),
            head=f'<script src="{_PLOTLY_ADDRESS}"></script>',
            apply_default_css=False,
            group=group,
            **settings,
        )

    def postprocess(self, value: Any) -> Any:
        """A figure, as it is."""
        return value

    def api_info(self) -> dict[str, Any]:
        """A Plotly figure as JSON."""
        return {"type": "object"}


class AnswerColumns(gr.HTML):
    """Shows ``views.answers``: follows a meaning through the layers, thins the columns, chooses a layer.

    The event ``choose`` brings ``layer`` to the server.

    Args:
        group: Parts of one group share the chosen layer.
        settings: As ``gr.HTML``.
    """

    def __init__(self, group: str = "", **settings: Any) -> None:
        super().__init__(js_on_load=_script("answers.js"), group=group, **settings)


class LinkBox(gr.HTML):
    """Shows ``views.runs.link_box``: the whole address, and a button that copies it."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(js_on_load=_script("link.js"), **settings)


class Title(gr.HTML):
    """The program's name; its script minds the page's two switches, large type and dark colours.

    Args:
        tagline: What the program does.
        settings: As ``gr.HTML``.
    """

    def __init__(self, tagline: Any, **settings: Any) -> None:
        super().__init__(
            f"<h1>HCL Explorer</h1><span>{tagline}</span>",
            js_on_load=_script("title.js"),
            apply_default_css=False,
            **settings,
        )
