"""Visitors of a running page, each a browser's session over HTTP, without a browser: what they send and wait for."""

import asyncio
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from app.handlers.form import CONTROLS

ROOT = Path(__file__).parent.parent
_CONFIG = re.compile(r"window\.gradio_config = (\{.*?\});</script>", re.DOTALL)
# A run may wait for many others.
TIMEOUT = httpx.Timeout(600, connect=30)


@contextmanager
def page_process(**environment: str) -> Iterator[tuple[str, psutil.Process]]:
    """The app, public, in a process of its own: its address, and the process."""
    with tempfile.TemporaryFile("w+") as printed:
        process = psutil.Popen(
            [sys.executable, str(ROOT / "app.py"), "--public"],
            stdout=printed,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment,
        )
        try:
            yield _address(process, printed), process
        finally:
            process.kill()
            process.wait(10)


def _address(process: psutil.Process, printed: Any) -> str:
    for _ in range(1_200):
        printed.seek(0)
        text = printed.read()
        if found := re.search(r"http://[\d.]+:\d+", text):
            return found.group()
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            raise RuntimeError(f"the app ended before it had an address: {text[-2_000:]}")
        time.sleep(0.1)
    raise RuntimeError("the app had no address after two minutes")


@dataclass(frozen=True, slots=True)
class Events:
    """What the page's configuration says of its events: their numbers, and what their inputs hold at first."""

    config: Mapping[str, Any]

    def number(self, elem_id: str | None, event: str) -> int:
        """Of the event of the component with that id; ``None`` is the page itself."""
        names = {each["id"]: (each.get("props") or {}).get("elem_id") for each in self.config["components"]}
        return next(
            each["id"]
            for each in self.config["dependencies"]
            if each["backend_fn"]
            and any(names.get(target) == elem_id and event == on for target, on in each["targets"])
        )

    def named(self, api_name: str) -> int:
        """Of the event of that name."""
        return next(each["id"] for each in self.config["dependencies"] if each["api_name"] == api_name)

    def values(self, number: int, changed: Mapping[str, Any]) -> list[Any]:
        """The event's inputs as on a first visit, with other values for some of ``CONTROLS``, which are the last."""
        at_first = {each["id"]: (each.get("props") or {}).get("value") for each in self.config["components"]}
        inputs = next(each["inputs"] for each in self.config["dependencies"] if each["id"] == number)
        values = [at_first[each] for each in inputs]
        for name, value in changed.items():
            values[len(values) - len(CONTROLS) + CONTROLS.index(name)] = value
        return values


@dataclass(slots=True)
class Asked:
    """What came of a press of Run.

    Attributes:
        first: Seconds to the first answers; ``None`` where none came.
        seconds: To the end.
        said: Lines of the status, in order.
        text: Everything that was sent.
        is_done: Whether the run came to its end.
    """

    first: float | None = None
    seconds: float = 0.0
    said: list[str] = field(default_factory=list)
    text: str = ""
    is_done: bool = False


class Visitor:
    """One browser's session; see ``visiting``."""

    def __init__(self, client: httpx.AsyncClient, events: Events) -> None:
        self._client, self._events, self.session = client, events, secrets.token_hex(6)
        self._heart: asyncio.Task[None] | None = None
        self.received = 0

    async def open(self, query: str = "") -> str:
        """The page, and what its first event brings."""
        page = await self._client.get(f"/{query}")
        page.raise_for_status()
        self.received += len(page.content)
        self._heart = self._heart or asyncio.create_task(self._beat())
        number = self._events.number(None, "load")
        return await self.post(number, self._events.values(number, {}), query=query)

    async def show(self, run_id: str, question_id: str) -> str:
        """A stored question, as Back and Forward show it."""
        target = {"query": f"?run={run_id}&question={question_id}"}
        return await self.post(self._event_of_address(), [], target)

    async def choose(self, layer: int) -> str:
        """A layer of the question on screen."""
        number = self._events.number("answers", "choose")
        return await self.post(number, self._events.values(number, {}), {"layer": layer})

    async def post(self, number: int, values: list[Any], event_data: Any = None, query: str = "") -> str:
        """An event that does not wait in the queue; what it brings."""
        answer = await self._client.post(f"/gradio_api/run/predict{query}", json=self._call(number, values, event_data))
        self.received += len(answer.content)
        answer.raise_for_status()
        return answer.text

    async def ask(self, changed: Mapping[str, Any], stop_after: float | None = None) -> Asked:
        """Run with other values of ``CONTROLS``; ``stop_after`` so many seconds, the visitor presses Stop."""
        asked, began = Asked(), time.perf_counter()
        number = self._events.named("page_explore")
        joined = await self._client.post(
            "/gradio_api/queue/join", json=self._call(number, self._events.values(number, changed), None)
        )
        joined.raise_for_status()
        stopper = asyncio.create_task(self._stop(stop_after)) if stop_after is not None else None
        try:
            async for message in self._messages():
                kind = message["msg"]
                if kind in ("process_generating", "process_completed"):
                    text = json.dumps(message["output"], ensure_ascii=False)
                    asked.text += text
                    asked.said += re.findall(r"hcl-status[^>]*>([^<]+)", text)
                    if asked.first is None and "hcl-column" in text:
                        asked.first = time.perf_counter() - began
                if kind == "process_completed":
                    asked.is_done = bool(message["success"])
                    break
        finally:
            if stopper is not None:
                await stopper
        asked.seconds = time.perf_counter() - began
        return asked

    async def leave(self) -> None:
        """Close the tab."""
        if self._heart is not None:
            self._heart.cancel()
            await asyncio.gather(self._heart, return_exceptions=True)

    async def _stop(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.post(self._events.number("stop", "click"), [])

    async def _beat(self) -> None:
        with suppress(httpx.HTTPError):  # the page has ended
            async with self._client.stream("GET", f"/gradio_api/heartbeat/{self.session}") as beats:
                async for _ in beats.aiter_lines():
                    pass

    async def _messages(self) -> AsyncIterator[dict[str, Any]]:
        query = {"session_hash": self.session}
        async with self._client.stream("GET", "/gradio_api/queue/data", params=query) as stream:
            # Not by httpx's lines: answers of a model may have further line ends of Unicode, which end no line here.
            rest = ""
            async for text in stream.aiter_text():
                *lines, rest = (rest + text).split("\n")
                for line in lines:
                    if line.startswith("data:"):
                        self.received += len(line)
                        yield json.loads(line[5:])

    def _event_of_address(self) -> int:
        config = self._events.config["dependencies"]
        return next(each["id"] for each in config if each["backend_fn"] and each["targets"][0][1] == "open")

    def _call(self, number: int, values: list[Any], event_data: Any) -> dict[str, Any]:
        return {"data": values, "event_data": event_data, "fn_index": number, "session_hash": self.session}


@asynccontextmanager
async def visiting(address: str) -> AsyncIterator["Visitors"]:
    """Visitors of the page at ``address``."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
    async with httpx.AsyncClient(base_url=address, timeout=TIMEOUT, limits=limits) as client:
        page = (await client.get("/")).text
        found = _CONFIG.search(page)
        if found is None:
            raise RuntimeError("the page has no configuration")
        yield Visitors(client, Events(json.loads(found.group(1))))


@dataclass(frozen=True, slots=True)
class Visitors:
    """Makes them."""

    client: httpx.AsyncClient
    events: Events

    def __call__(self) -> Visitor:
        """A new one."""
        return Visitor(self.client, self.events)
