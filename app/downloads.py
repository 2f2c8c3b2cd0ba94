"""Files at addresses of their own, which a link saves.

Those of a question, ``share/curves.svg?run=...&question=...``, and of a head, ``head/NAME/exit_head.safetensors``.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from threading import BoundedSemaphore

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from app.handlers.head import shared_file
from app.handlers.links import read_link
from app.handlers.share import make_file
from app.language import Translator
from app.service import Service
from app.views.base import without_paths
from app.visit import Visit
from hcl_core.errors import HclError
from hcl_core.text import printable

logger = logging.getLogger(__name__)

# Files that are made or wait at a time: each takes a thread from the page's other events.
_AT_ONCE = 8


def download_routes(service: Service) -> list[Route]:
    """Serve ``handlers.share.FILES`` of stored questions, and what goes to others with an exit head."""
    free = BoundedSemaphore(_AT_ONCE)
    return [
        _route("/share/{file}", _share, service, free),
        _route("/head/{head}/{file}", _head, service, free),
    ]


def _route(path: str, answer: Callable[[Request, Visit], Response], service: Service, free: BoundedSemaphore) -> Route:

    def serve(request: Request) -> Response:
        words = Translator.of(request)
        if not free.acquire(blocking=False):
            return PlainTextResponse(words("share_busy"), 503)
        try:
            return answer(request, Visit(words, service, ""))
        except HclError as error:
            return PlainTextResponse(printable(words.error(without_paths(str(error))))[:1000], 404)
        except Exception as error:
            logger.error("a file could not be made", exc_info=error)
            return PlainTextResponse(words("went_wrong"), 500)
        finally:
            free.release()

    return Route(path, serve)


def _share(request: Request, visit: Visit) -> Response:
    query = request.query_params
    more = tuple(filter(None, query.get("more", "").split(",")))
    balance = replace(read_link(dict(query), []).balance, more=more)
    made = make_file(visit, request.path_params["file"], query.get("run", ""), query.get("question", ""), balance)
    return _saved(made.name, made.content, made.media_type)


def _head(request: Request, visit: Visit) -> Response:
    name = request.path_params["file"]
    content = shared_file(visit, request.path_params["head"], name)
    return _saved(name, content, "text/markdown" if name.endswith(".md") else "application/octet-stream")


def _saved(name: str, content: bytes | str, media_type: str) -> Response:
    # Saved, never opened on the page's own address: a page of answers is other people's text.
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return Response(content, media_type=media_type, headers=headers)
