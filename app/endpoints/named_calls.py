"""Calls of endpoints over plain HTTP whose names Gradio does not find: a sentence in place of status 500."""

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

# Gradio's path of calls that name their parameters.
PATH = "/gradio_api/call/v2/"


class NamedCalls:
    """ASGI middleware: what Gradio raises for an unknown endpoint or parameter is status 404 or 422 with a code."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, web socket, or start of the server."""
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].startswith(PATH):
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        except KeyError:  # before an answer has begun: Gradio looks the name up first
            await JSONResponse({"error": "setting: there is no such endpoint"}, 404)(scope, receive, send)
        except TypeError as error:
            told = str(error).partition(". ")[0][:200]
            await JSONResponse({"error": f"setting: {told}"}, 422)(scope, receive, send)
