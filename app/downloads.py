"""Files of a question at addresses of their own, ``share/curves.svg?run=...&question=...``, which a link saves."""

import logging
from dataclasses import replace
from threading import BoundedSemaphore

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

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


def download_route(service: Service) -> Route:
    """Serves ``handlers.share.FILES`` of stored questions."""
    free = BoundedSemaphore(_AT_ONCE)

    def serve(request: Request) -> Response:
        words = Translator.of(request)
        if not free.acquire(blocking=False):
            return PlainTextResponse(words("share_busy"), 503)
        try:
            return _answer(request, Visit(words, service, ""))
        except HclError as error:
            return PlainTextResponse(printable(words.error(without_paths(str(error))))[:1000], 404)
        except Exception as error:
            logger.error("a file could not be made", exc_info=error)
            return PlainTextResponse(words("went_wrong"), 500)
        finally:
            free.release()

    return Route("/share/{file}", serve)


def _answer(request: Request, visit: Visit) -> Response:
    query = request.query_params
    more = tuple(filter(None, query.get("more", "").split(",")))
    balance = replace(read_link(dict(query), []).balance, more=more)
    made = make_file(visit, request.path_params["file"], query.get("run", ""), query.get("question", ""), balance)
    # Saved, never opened on the page's own address: a page of answers is other people's text.
    headers = {"Content-Disposition": f'attachment; filename="{made.name}"', "X-Content-Type-Options": "nosniff"}
    return Response(made.content, media_type=made.media_type, headers=headers)
