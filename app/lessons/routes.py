"""The pages of a class beside Gradio's: small, without a session of Gradio's for each browser.

Browsers ask whether anything is new, and such a request waits until there is. What all see is made once for each stage,
so that an answer to a student is a few bytes from memory.
"""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from functools import cache, wraps
from pathlib import Path
from threading import Lock
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from app.language import Translator
from app.lessons import pages
from app.lessons.live import start_live
from app.lessons.predictions import predictions_csv
from app.lessons.room import LOBBY, RefusedError, Room, Stage
from app.service import Service
from app.views.base import without_paths
from hcl_core.errors import HclError

logger = logging.getLogger(__name__)

_ASSETS = Path(__file__).parents[2] / "assets"
# Of what a browser sends: a prediction has some fifty.
_MOST_BYTES = 1_000
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # The teacher's link must not go to where a link on the page leads.
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_WHO = "x-class-student"
# The longest that a request waits for news, and how often it looks. Proxies give up after 30 s or more.
_MOST_SECONDS_WAITING, _SECONDS_BETWEEN_LOOKS = 15.0, 0.1


class _Predicted(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    step: Annotated[int, Field(ge=0, le=1_000)]
    question: Annotated[int, Field(ge=0, le=100)]
    value: Annotated[int, Field(ge=0, le=10_000)]


class _Done(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    do: Literal["go", "reveal", "run", "reset"]
    at: Annotated[int, Field(ge=LOBBY, le=1_000)] = LOBBY


_Answer = Callable[[Request], Awaitable[Response]]


class ClassPages:
    """The routes of one room.

    Args:
        room: Of the class.
        service: For questions that are asked live.
        address: That students open; known once the page listens.
    """

    def __init__(self, room: Room, service: Service, address: str = "") -> None:
        self.room, self.address = room, address
        self._service, self._words = service, Translator(room.lesson.language)
        self._made: dict[tuple[str, str], str] = {}
        self._lock = Lock()

    def routes(self) -> list[Route]:
        """All of them, to be put in front of Gradio's."""
        return [
            Route("/class", self._page("student", "class/")),
            Route("/class/", self._page("student", "")),
            Route("/class/join", self._guarded(self._join), methods=["POST"]),
            Route("/class/state", self._guarded(self._student_state)),
            Route("/class/predict", self._guarded(self._predict), methods=["POST"]),
            Route("/class/show", self._page("show", "")),
            Route("/class/show/state", self._guarded(self._show_state)),
            Route("/class/teacher/{token}", self._for_teacher(self._page("teacher", "../"))),
            Route("/class/teacher/{token}/state", self._for_teacher(self._guarded(self._teacher_state))),
            Route("/class/teacher/{token}/do", self._for_teacher(self._guarded(self._do)), methods=["POST"]),
            Route("/class/teacher/{token}/predictions.csv", self._for_teacher(self._guarded(self._csv))),
            Route("/class/assets/{name}", _asset),
        ]

    # Pages and guards.

    def _page(self, view: str, base: str) -> _Answer:
        async def serve(request: Request) -> Response:
            return HTMLResponse(pages.page(view, base, self.room, self._words), headers=_HEADERS)

        return serve

    def _for_teacher(self, answer: _Answer) -> _Answer:
        """To another link than the teacher's, as if there were nothing."""

        @wraps(answer)
        async def serve(request: Request) -> Response:
            given = request.path_params["token"].encode("utf-8", "replace")
            if not secrets.compare_digest(given, self.room.store.teacher_token.encode()):
                return PlainTextResponse("Not Found", 404, headers=_HEADERS)
            return await answer(request)

        return serve

    def _guarded(self, answer: _Answer) -> _Answer:
        """What is refused or goes wrong is a sentence in the lesson's language."""

        @wraps(answer)
        async def serve(request: Request) -> Response:
            try:
                return await answer(request)
            except RefusedError as error:
                return self._problem(self._words(error.key), 409)
            except (ValidationError, ValueError):
                return self._problem(self._words("class_no_prediction"), 400)
            except HclError as error:
                return self._problem(self._words.error(without_paths(str(error)))[:1_000], 409)
            except ClientDisconnect:
                return Response(status_code=400)
            except Exception as error:
                logger.error("a page of a class failed", exc_info=error)
                return self._problem(self._words("went_wrong"), 500)

        return serve

    def _problem(self, sentence: str, status: int) -> Response:
        return JSONResponse({"problem": sentence}, status, headers=_HEADERS)

    # Students.

    async def _join(self, request: Request) -> Response:
        token = await run_in_threadpool(self.room.join, request.headers.get(_WHO))
        number = self.room.number_of(token)
        return JSONResponse({"token": token, "who": self._words("class_student", number=number)}, headers=_HEADERS)

    async def _student_state(self, request: Request) -> Response:
        token = request.headers.get(_WHO, "")

        def version_now() -> str:
            if self.room.number_of(token) is None:  # also while the request waits: the teacher starts a new class
                raise RefusedError("class_not_in")
            return self.room.stage.student_version

        is_news = await _is_news(request, version_now)
        stage = self.room.stage
        version = stage.student_version
        if not is_news:
            return JSONResponse({"version": version}, headers=_HEADERS)
        html = await self._make("student", version, lambda: self._student(stage))
        mine = self.room.mine(token, stage.at)
        return JSONResponse({"version": version, "html": html, "mine": mine}, headers=_HEADERS)

    async def _predict(self, request: Request) -> Response:
        sent = _Predicted.model_validate_json(await _body(request))
        token = request.headers.get(_WHO, "")
        await run_in_threadpool(self.room.predict, token, sent.step, sent.question, sent.value)
        return JSONResponse({}, headers=_HEADERS)

    # The projector.

    async def _show_state(self, request: Request) -> Response:
        is_news = await _is_news(request, lambda: self._show_version(self.room.stage))
        stage = self.room.stage
        version = self._show_version(stage)
        if not is_news:
            return JSONResponse({"version": version}, headers=_HEADERS)
        html = await self._make("show", version, lambda: self._show(stage))
        return JSONResponse({"version": version, "html": html}, headers=_HEADERS)

    def _show_version(self, stage: Stage) -> str:
        """Once all is revealed, late joiners change nothing on the projector."""
        return stage.version if stage.is_revealed else self.room.version

    # The teacher.

    async def _teacher_state(self, request: Request) -> Response:
        is_news = await _is_news(request, lambda: self.room.version)
        version, stage = self.room.version, self.room.stage
        if not is_news:
            return JSONResponse({"version": version}, headers=_HEADERS)
        html = await self._make("teacher", version, lambda: self._teacher(stage))
        return JSONResponse({"version": version, "html": html}, headers=_HEADERS)

    async def _do(self, request: Request) -> Response:
        done = _Done.model_validate_json(await _body(request))
        if done.do == "go":
            await run_in_threadpool(self.room.go, done.at)
        elif done.do == "reveal":
            await run_in_threadpool(self.room.reveal, done.at)
        elif done.do == "run":
            await run_in_threadpool(start_live, self.room, self._service, done.at)
        else:
            await run_in_threadpool(self.room.reset)
        return JSONResponse({}, headers=_HEADERS)

    async def _csv(self, request: Request) -> Response:
        content = await run_in_threadpool(predictions_csv, self.room, self._words)
        name = {"Content-Disposition": 'attachment; filename="predictions.csv"'}
        return Response(content, media_type="text/csv; charset=utf-8", headers=_HEADERS | name)

    # What is made once for all.

    async def _make(self, view: str, version: str, make: Callable[[], str]) -> str:
        if (found := self._made.get((view, version))) is not None:
            return found
        return await run_in_threadpool(self._make_once, view, version, make)

    def _make_once(self, view: str, version: str, make: Callable[[], str]) -> str:
        with self._lock:  # fifty browsers ask at once: the first one's answer is made, and all get it
            if (found := self._made.get((view, version))) is None:
                found = make()
                self._made = {key: html for key, html in self._made.items() if key[0] != view}
                self._made[view, version] = found
            return found

    def _student(self, stage: Stage) -> str:
        return pages.student_stage(self.room, stage, self._words)

    def _show(self, stage: Stage) -> str:
        return pages.show_stage(self.room, stage, self.address, self._words)

    def _teacher(self, stage: Stage) -> str:
        return pages.teacher_stage(self.room, stage, self.address, self._words)


async def _is_news(request: Request, version: Callable[[], str]) -> bool:
    """Whether the browser has seen another version; with ``wait`` in the address, this waits for one."""
    seen, until = request.query_params.get("seen"), time.monotonic() + _MOST_SECONDS_WAITING
    while "wait" in request.query_params and seen == version() and time.monotonic() < until:
        if await request.is_disconnected():
            break
        await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
    return seen != version()


async def _body(request: Request) -> bytes:
    """What was sent; raises ``ValueError`` where that is more than any page of ours sends."""
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > _MOST_BYTES:
            raise ValueError("too long")
    return content


async def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in ("class.css", "class.js"):
        return PlainTextResponse("Not Found", 404)
    media_type = "text/css" if name == "class.css" else "text/javascript"
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
    return Response(_asset_text(name), media_type=media_type, headers=headers)


@cache
def _asset_text(name: str) -> str:
    """A file of ``assets/class``; the style sheet with the page's own colours, dark where the browser is."""
    content = (_ASSETS / "class" / name).read_text(encoding="utf-8")
    if name != "class.css":
        return content
    style = (_ASSETS / "style.css").read_text(encoding="utf-8")
    light, dark = (re.search(rf"^{kind}\s*{{([^}}]*)}}", style, re.MULTILINE) for kind in (r":root", r"\.dark"))
    assert light and dark
    return f":root {{{light[1]}}}\n@media (prefers-color-scheme: dark) {{ :root {{{dark[1]}}} }}\n{content}"
