"""How much may be uploaded to a public page in an hour, from one address and in all."""

import time
from collections import deque
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.addresses import caller_address
from app.settings import PageSettings

_AN_HOUR = 3_600
# Gradio's own path.
_PATH = "/gradio_api/upload"
# What an upload counts at least: a folder and a file take so much of a disk, and each upload is remembered here.
_LEAST_BYTES = 8_192


class UploadLimit:
    """ASGI middleware: an upload that is too much is answered with a sentence, and not read.

    Args:
        app: What it stands in front of.
        settings: With the limits.
        clock: Seconds.
    """

    def __init__(self, app: ASGIApp, settings: PageSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self.app, self._settings, self._clock = app, settings, clock
        self._taken: deque[tuple[float, str, int]] = deque()  # when, from where, bytes that count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, web socket, or start of the server."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] == _PATH:
            status, refusal = self._refusal(scope)
            if refusal:
                await PlainTextResponse(refusal, status_code=status)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str]:
        """Status and sentence; empty if the upload may pass, and is then counted."""
        headers = Headers(scope=scope)
        size = headers.get("content-length", "")
        if not (size.isascii() and size.isdigit()):
            return 411, "An upload must say how many bytes it has."
        counted = max(int(size), _LEAST_BYTES)
        peer = scope["client"][0] if scope.get("client") else ""
        address = caller_address(peer, headers.getlist("x-forwarded-for"), self._settings.proxies)
        now = self._clock()
        while self._taken and self._taken[0][0] < now - _AN_HOUR:
            self._taken.popleft()
        own = sum(taken for _, sender, taken in self._taken if sender == address)
        everybody = sum(taken for *_, taken in self._taken)
        for had, most, whose in (
            (own, self._settings.most_bytes_an_address, "from your network address"),
            (everybody, self._settings.most_bytes_uploaded, "from all visitors"),
        ):
            if had + counted > most:
                return 413, (
                    f"This file has {int(size):,} bytes, and {had:,} bytes have come {whose} within an hour; this "
                    f"public page takes {most:,}: wait, or run the program yourself."
                )
        self._taken.append((now, address, counted))
        return 0, ""
