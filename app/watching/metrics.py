"""``/metrics``: the page's numbers as Prometheus reads them."""

from prometheus_client import Gauge
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.service import Service
from app.watching.counts import REGISTRY

_QUEUE = Gauge("hcl_queue_length", "Jobs that wait for a model", registry=REGISTRY)
_MODELS = Gauge("hcl_models_loaded", "Models in memory", registry=REGISTRY)


def metrics_routes(service: Service, is_on: bool) -> list[Route]:
    """The route, or none: the numbers of a public page are its owner's."""

    async def serve(_: Request) -> Response:
        _QUEUE.set(service.num_waiting)
        _MODELS.set(len(service.models.names))
        return Response(generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [Route("/metrics", serve)] if is_on else []
