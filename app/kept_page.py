"""The page's own HTML, made once for all visitors: Gradio makes and compresses its 0.9 MB anew for each."""

import hashlib
from threading import Lock

from cachetools import LRUCache
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Pages in memory: one for each host name and way of compressing.
_MOST_KEPT = 16
# What the page is made from, beside the program: where it says that it is, and what the browser can unpack.
_DECIDING = ("host", "x-forwarded-host", "x-forwarded-proto", "x-gradio-server", "accept-encoding")
# The parameter of an address from which Gradio itself makes another page.
_OTHER_PAGE = b"deep_link"


class KeptPage:
    """ASGI middleware: the answer to ``GET /`` is kept; a browser that has it is told so and is sent nothing.

    It does not depend on the address's query, which the page's first event reads, nor on who asks: there is no log-in.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._kept: LRUCache[tuple[object, ...], Response] = LRUCache(_MOST_KEPT)
        self._lock = Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, web socket, or start of the server."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != "/" or _asks_for_other(scope):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        key = (scope["scheme"], scope.get("root_path"), *(headers.get(name) for name in _DECIDING))
        with self._lock:
            kept = self._kept.get(key)
        if kept is None:
            answer = _Answer()
            await self.app(scope, receive, answer.take)
            kept = answer.response()
            if kept.status_code == 200:
                with self._lock:
                    self._kept[key] = kept
        if kept.headers.get("etag") == headers.get("if-none-match", ""):
            kept = Response(status_code=304, headers={"etag": kept.headers["etag"], "cache-control": "no-cache"})
        await kept(scope, receive, send)


def _asks_for_other(scope: Scope) -> bool:
    return _OTHER_PAGE in scope["query_string"]


class _Answer:
    """Takes what an application sends."""

    def __init__(self) -> None:
        self._status, self._body, self._headers = 500, b"", MutableHeaders()

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], MutableHeaders(raw=list(message["headers"]))
        else:
            self._body += message.get("body", b"")

    def response(self) -> Response:
        """The whole answer; a page also has its hash, by which a browser asks whether it has changed."""
        response = Response(self._body, self._status)
        if self._status == 200:
            self._headers["etag"] = f'"{hashlib.sha256(self._body).hexdigest()[:32]}"'
            self._headers["cache-control"] = "no-cache"
        response.raw_headers = self._headers.raw
        return response
