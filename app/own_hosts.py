"""Answer only requests that call the page by one of its own names, from one of its own pages.

Any web site can let its name resolve to 127.0.0.1 (DNS rebinding). To a browser, a page that listens on this machine
alone then belongs to that site, whose scripts can read it and post to it. The browser still sends the site's name as
``Host`` and ``Origin``, which scripts cannot change. Programs that are no browsers, such as ``gradio_client``, send no
``Origin``.

Starlette's ``TrustedHostMiddleware`` knows neither origins nor ranges of addresses, and Gradio's own rule allows every
origin to a host that is not local.
"""

import ipaddress
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.kept_page import KeptPage

Middleware = Callable[[ASGIApp], ASGIApp]

# A host name or IPv4 address, or an IPv6 address in brackets; then a port (RFC 9110, section 7.2).
_HOST = re.compile(r"(?P<name>[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE | re.ASCII)
_ORIGIN = re.compile(r"https?://(?P<host>.+)", re.IGNORECASE)
# What a browser says of who sends a request, which scripts cannot change: a page of our own, or the visitor.
_OWN_SITES: tuple[set[str], ...] = ({"same-origin"}, {"none"}, set())
_REFUSAL = "This page does not answer to that host or origin: start it with --allowed-host NAME to allow one more."


def is_loopback(host: str) -> bool:
    """Whether ``host``, an address or a name, is reached from this machine only."""
    if host.lower() == "localhost":
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def host_name(text: str) -> str | None:
    """The name or address in a ``Host`` header, in lower case and without its port; ``None`` if it is no such header.

    An IPv6 address keeps its brackets.
    """
    match = _HOST.fullmatch(text)
    # A name may end in the dot of the root zone, which means the same host.
    return match["name"].lower().removesuffix(".") or None if match else None


@dataclass(frozen=True, slots=True)
class OwnHosts:
    """The hosts that a page answers to.

    Attributes:
        names: Host names in lower case, besides ``localhost``.
        is_public: Whether the page answers to every IP address, not to those of this machine alone. A public page
            cannot know the addresses under which others reach it, and an address cannot be rebound to another one.
    """

    names: frozenset[str]
    is_public: bool

    @classmethod
    def of_page(cls, is_public: bool, more: Iterable[str], environment: Mapping[str, str]) -> "OwnHosts":
        """The hosts of a page on this machine.

        Args:
            is_public: Whether others can reach the page.
            more: Further host names.
            environment: On a Space, ``SPACE_HOST`` holds its host names, separated by commas.
        """
        names = {name.lower() for name in more}
        if is_public:
            machine = socket.gethostname().lower()
            space = environment.get("SPACE_HOST", "").lower()
            names |= {machine, f"{machine}.local", *(name.strip() for name in space.split(","))}
        return cls(frozenset(names - {""}), is_public)

    def allow(self, hosts: list[str], origins: list[str]) -> bool:
        """Whether a request may pass.

        Args:
            hosts: Its ``Host`` headers; exactly one is allowed.
            origins: Its ``Origin`` headers; none, or one of an own page. ``null`` is no own page: sandboxed frames and
                files send it.
        """
        host = host_name(hosts[0]) if len(hosts) == 1 else None
        if host is None or not self._is_own(host) or len(origins) > 1:
            return False
        if not origins:
            return True
        match = _ORIGIN.fullmatch(origins[0])
        origin = host_name(match["host"]) if match else None
        if origin is None:
            return False
        return origin == host or origin in self.names or (is_loopback(origin) and is_loopback(host))

    def _is_own(self, host: str) -> bool:
        return host in self.names or is_loopback(host) or (self.is_public and _address(host) is not None)


class OwnHostsOnly:
    """ASGI middleware: requests and web sockets that ``hosts`` does not allow get status 403 and one sentence."""

    def __init__(self, app: ASGIApp, hosts: OwnHosts) -> None:
        self.app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, web socket, or start of the server."""
        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            is_own = self._hosts.allow(headers.getlist("host"), headers.getlist("origin"))
            is_post = scope["type"] == "http" and scope["method"] == "POST"
            if not is_own or (is_post and set(headers.getlist("sec-fetch-site")) not in _OWN_SITES):
                await PlainTextResponse(_REFUSAL, status_code=403)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def guarded(
    hosts: OwnHosts, within: Sequence[Middleware] = (KeptPage,), around: Sequence[Middleware] = ()
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """A lifespan for ``launch(app_kwargs=...)`` that puts ``OwnHostsOnly`` before all other middleware of Gradio's.

    Args:
        hosts: Of the page.
        within: Middleware that sees what ``OwnHostsOnly`` lets pass, the innermost first.
        around: Middleware that sees refusals too, the innermost first.

    Gradio adds its middleware for cross-origin requests in front of those that ``app_kwargs`` can name, and it would
    answer foreign origins first. The server opens its port after the lifespan has begun.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        assert app.middleware_stack is not None  # built for the call that brought us here
        stack: ASGIApp = app.middleware_stack
        in_order: list[Middleware] = [*within, partial(OwnHostsOnly, hosts=hosts), *around]
        for middleware in in_order:
            stack = middleware(stack)
        app.middleware_stack = stack
        yield

    return lifespan


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """``host`` as an IP address, with or without brackets; ``None`` for a name."""
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
