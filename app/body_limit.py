"""No request but an upload is long: Gradio reads the values of an event into memory before anything looks at them."""

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

# Questions and accepted answers of a run have far fewer letters.
MOST_BYTES = 5_000_000
# Gradio's own path, where files are streamed to disk and have a limit of their own.
_UPLOAD = "/gradio_api/upload"


class BodyLimit:
    """ASGI middleware: what is too long, or does not say how long it is, is answered with a sentence and not read."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, web socket, or start of the server."""
        if scope["type"] == "http" and scope["path"] != _UPLOAD:
            status, refusal = _refusal(Headers(scope=scope))
            if refusal:
                await PlainTextResponse(refusal, status_code=status)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _refusal(headers: Headers) -> tuple[int, str]:
    """Status and sentence; empty if the request may pass."""
    if "transfer-encoding" in headers:
        return 411, "A request must say how many bytes it has."
    # The server has checked that it is a number, and reads no more.
    if (size := int(headers.get("content-length", "0"))) > MOST_BYTES:
        return 413, f"This request has {size:,} bytes; the page takes {MOST_BYTES:,}."
    return 0, ""
