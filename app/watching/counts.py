"""What is counted while the page runs, and what its log says of it: numbers and kinds, and no text of anybody's."""

import logging
import time
from collections.abc import Generator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.jobs import StoppedError
from app.live import LiveEvent, Notice
from hcl_core import pipeline
from hcl_core.errors import HclError

logger = logging.getLogger(__name__)

# Of its own: other libraries' numbers stay out.
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)  # memory in use, processor seconds, open files

_RUNS = Counter("hcl_runs", "Runs that have ended, by how", ["outcome"], registry=REGISTRY)
_WAVES = Counter("hcl_waves", "Waves of answers", registry=REGISTRY)
_ANSWERS = Counter("hcl_answers", "Answers", registry=REGISTRY)
_SECONDS = Histogram(
    "hcl_run_seconds", "From the start of a run to its end", buckets=(1, 2, 5, 10, 30, 60, 120, 300), registry=REGISTRY
)
_REFUSALS = Counter("hcl_refusals", "What was asked for and refused, by kind of error", ["kind"], registry=REGISTRY)
_ERRORS = Counter("hcl_errors", "Errors in the log", registry=REGISTRY)
_ANSWERED = Counter("hcl_http_answers", "Answers to requests, by status", ["status"], registry=REGISTRY)
_VISITS = Counter("hcl_visits", "Pages that were opened", registry=REGISTRY)
_VISITORS = Gauge("hcl_visitors", "Pages that are open now", registry=REGISTRY)
# A browser holds this connection while the page is open.
_HEARTBEAT = "/gradio_api/heartbeat/"


def counted(events: Generator[Notice | LiveEvent, None, None]) -> Generator[Notice | LiveEvent, None, None]:
    """The events of a run, unchanged; they are counted, and the log says how the run has ended."""
    began_at, num_waves, num_answers, outcome = time.monotonic(), 0, 0, "stopped"
    try:
        for event in events:
            inner = event.event if isinstance(event, LiveEvent) else None
            if isinstance(inner, pipeline.WaveDone):
                num_waves += 1
                num_answers += len(inner.samples)
                _WAVES.inc()
                _ANSWERS.inc(len(inner.samples))
            elif isinstance(inner, pipeline.Finished):
                outcome = "finished"
            yield event
    except StoppedError:
        raise
    except Exception as error:
        outcome = "refused" if isinstance(error, HclError) else "failed"
        raise
    finally:
        events.close()
        seconds = time.monotonic() - began_at
        _RUNS.labels(outcome).inc()
        _SECONDS.observe(seconds)
        numbers = {"outcome": outcome, "waves": num_waves, "answers": num_answers, "seconds": round(seconds, 3)}
        logger.info("a run has ended", extra={"numbers": numbers})


def count_refusal(error: HclError) -> None:
    """Something was refused: its kind is counted, and what the error says of it goes nowhere."""
    kind = type(error).__name__
    _REFUSALS.labels(kind).inc()
    logger.info("a request was refused", extra={"numbers": {"kind": kind}})


class CountErrors(logging.Handler):
    """Counts what is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)

    def emit(self, record: logging.LogRecord) -> None:
        """One more."""
        _ERRORS.inc()


class CountRequests:
    """ASGI middleware: counts answers by status, and the pages that are open."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, web socket, or start of the server."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_visit = False

        async def send_counted(message: Message) -> None:
            nonlocal is_visit
            if message["type"] == "http.response.start":
                _ANSWERED.labels(str(message["status"])).inc()
                if scope["path"].startswith(_HEARTBEAT) and message["status"] == 200 and not is_visit:
                    is_visit = True
                    _VISITS.inc()
                    _VISITORS.inc()
            await send(message)

        try:
            await self.app(scope, receive, send_counted)
        finally:
            if is_visit:
                _VISITORS.dec()
