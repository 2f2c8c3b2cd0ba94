"""Serves the answers of a stored question, layer by layer, as an animated SVG file."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from app.language import Translator
from app.library import find_run
from app.question_view import QuestionView
from app.views.base import without_paths
from app.views.depth_svg import animated_svg
from hcl_core.errors import HclError
from hcl_core.records import DEFAULT_SCALING, Weights

# It is a page of our own address to who opens it: nothing in it may run, or come from elsewhere.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept-Language",
}


def depth_route() -> Route:
    """``depth.svg?run=…&question=…``, in the language of who asks."""

    def serve(request: Request) -> Response:
        run_id = request.query_params.get("run", "")
        words = Translator.of(request)
        try:
            view = QuestionView.load(find_run(run_id), request.query_params.get("question", ""))
        except HclError as error:
            return PlainTextResponse(words.error(without_paths(str(error))), 404)
        if not view.layers:
            return PlainTextResponse(words("no_answers_yet"), 404)
        picture = animated_svg(view, view.outcomes.scored(Weights(), DEFAULT_SCALING), words)
        name = f'attachment; filename="hcl-explorer-{view.manifest.id}.svg"'
        return Response(picture, media_type="image/svg+xml", headers=_HEADERS | {"Content-Disposition": name})

    return Route("/depth.svg", serve)
