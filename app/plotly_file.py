"""The plotly.js that ships inside the plotly package, at an address of its own: nothing is fetched from elsewhere."""

from pathlib import Path

import plotly
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

# Relative to the page, which may stand below a proxy's path.
PLOTLY_ADDRESS = "plotly/plotly.min.js"


def plotly_route() -> Route:
    """Serves it: Gradio's own way has the file's path in the address, and so where the program is installed."""

    async def serve(_: Request) -> FileResponse:
        return FileResponse(Path(plotly.__file__).parent / "package_data" / "plotly.min.js")

    return Route(f"/{PLOTLY_ADDRESS}", serve)
