"""``/healthz``: whether the program lives, for Docker's health check and others that ask often."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.service import Service


def health_route(service: Service) -> Route:
    """Answers from the server's own thread, which no decoding and no waiting visitor holds up."""

    async def serve(_: Request) -> Response:
        models = service.models.names
        state = {"live": True, "model_loaded": bool(models), "models": len(models), "queue": service.num_waiting}
        return JSONResponse(state, headers={"Cache-Control": "no-store"})

    return Route("/healthz", serve)
