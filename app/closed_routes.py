"""Routes that Gradio brings and this page does not use: they are not there.

Most refuse by themselves while their feature is off. Two do not: a deep link writes a file for every call, and a
recording is an upload that no component asked for.
"""

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_CLOSED = (
    "/monitoring",
    "/openapi.json",  # FastAPI's own; Gradio's is below /gradio_api/
    "/gradio_api/component_server",
    "/gradio_api/custom_component/",
    "/gradio_api/deep_link",
    "/gradio_api/dev/",
    "/gradio_api/process_recording",
    "/gradio_api/profiling/",
    "/gradio_api/proxy=",
    "/gradio_api/run-history/",
    "/gradio_api/runs",
    "/gradio_api/stream/",
    "/gradio_api/undo-vibe-edit",
    "/gradio_api/vibe-",
)


class ClosedRoutes:
    """ASGI middleware: requests for unused routes get status 404."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, web socket, or start of the server."""
        if scope["type"] == "http" and scope["path"].startswith(_CLOSED):
            await PlainTextResponse("There is no such page.", status_code=404)(scope, receive, send)
            return
        await self.app(scope, receive, send)
