"""Headers of every answer that tell browsers what a page may load, run and be shown in.

Gradio's page has scripts of its own in it, and compiles others from its settings. The first are allowed by their
hashes, so that no script or event handler that somebody smuggles into the page runs; the second need ``unsafe-eval``.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SCRIPT = re.compile(rb"<script(?P<attributes>[^>]*)>(?P<code>.*?)</script>", re.DOTALL)
# Sites that show a Space in a frame.
_SPACES = "https://huggingface.co https://*.huggingface.co https://*.hf.space"
_USUAL = {
    "X-Content-Type-Options": "nosniff",
    # An address names the question that is shown: other sites do not learn it.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# Files are shown and saved, and nothing in them runs: what was uploaded stands on the page's own address.
_FILE = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
_PAGE = (
    "default-src 'self'; base-uri 'self'; object-src 'none'; form-action 'self'; "
    "img-src 'self' blob: data:; font-src 'self' data:; media-src 'self' blob: data:; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-eval'"
)
# Where Gradio serves files and data, and never a page.
_FILES_BELOW = "/gradio_api/"


class SafeHeaders:
    """ASGI middleware: every answer, of an error too, has the headers; what an answer has already stays.

    Args:
        app: What it stands in front of.
        environment: On a Space, which has ``SPACE_ID``, the Hub may show the page in a frame; else nobody else may.
        scripts: That the page inserts itself in the browser, beside those that stand in it.
    """

    def __init__(self, app: ASGIApp, environment: Mapping[str, str], scripts: Iterable[str] = ()) -> None:
        self.app, self._scripts = app, [script.encode() for script in scripts]
        self._ancestors = f"; frame-ancestors 'self'{f' {_SPACES}' if 'SPACE_ID' in environment else ''}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, web socket, or start of the server."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # A page is sent once all of it is there: its header has the hashes of its scripts.
        start: Message | None = None
        page = bytearray()

        async def send_safely(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _USUAL.items():
                    headers.setdefault(name, value)
                # What a browser has already keeps the policy that it came with.
                if message["status"] != 304 and "content-security-policy" not in headers:
                    if _is_page(scope, headers):
                        start = message
                        return
                    headers["Content-Security-Policy"] = _FILE + self._ancestors
            elif start is not None and message["type"] == "http.response.body":
                page.extend(message.get("body", b""))
                if message.get("more_body", False):
                    return
                policy = f"{_PAGE}{_hashes(bytes(page), self._scripts)}{self._ancestors}"
                MutableHeaders(scope=start)["Content-Security-Policy"] = policy
                await send(start)
                message = {"type": "http.response.body", "body": bytes(page)}
                start = None
            await send(message)

        await self.app(scope, receive, send_safely)


def _is_page(scope: Scope, headers: MutableHeaders) -> bool:
    is_html = headers.get("content-type", "").startswith("text/html")
    return is_html and not scope["path"].startswith(_FILES_BELOW)


def _hashes(page: bytes, more: list[bytes]) -> str:
    """Of the scripts that stand in the page, and of ``more``, as the policy writes them."""
    codes = [match["code"] for match in _SCRIPT.finditer(page) if b"src=" not in match["attributes"]]
    # Browsers read every line end as one sign before they hash.
    digests = [hashlib.sha256(code.replace(b"\r\n", b"\n").replace(b"\r", b"\n")).digest() for code in [*codes, *more]]
    return "".join(f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
