"""Gradio's queue of events, of which one address gets a part: else a script could fill it, and nobody else get in."""

from collections.abc import Sequence
from typing import Any

from gradio.queueing import Event, Queue
from starlette.requests import Request

from app.addresses import caller_address
from app.settings import PageSettings


class SharedQueue(Queue):  # type: ignore[misc]
    """As Gradio's; made of one, before the page is launched.

    Args:
        queue: Takes its place.
        settings: With the limit.
    """

    def __init__(self, queue: Queue, settings: PageSettings) -> None:
        self.__dict__ |= queue.__dict__
        self._settings = settings

    async def push(self, body: Any, request: Request, username: str | None) -> Any:
        """Take an event, or say that the queue is full where so many from the same address have not begun yet."""
        address = self._address(request)
        number = sum(self._address(event.request) == address for event in self._waiting())
        if self._settings.is_public and number >= self._settings.most_events_an_address:
            most = self._settings.most_events_an_address
            refusal = f"{number} events from your network address wait, and {most} may: try again in a minute."
            return False, refusal, "queue_full"
        return await super().push(body, request, username)

    def _waiting(self) -> Sequence[Event]:
        return [event for lane in self.event_queue_per_concurrency_id.values() for event in lane.queue]

    def _address(self, request: Request) -> str:
        peer = request.client.host if request.client else ""
        return caller_address(peer, request.headers.getlist("x-forwarded-for"), self._settings.proxies)
