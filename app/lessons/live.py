"""A question of a lesson that is asked live: one run for the whole class."""

import logging
import threading
from contextlib import closing

from app.lessons.records import Ask
from app.lessons.room import Room
from app.live import LiveEvent
from app.service import Service
from app.views.base import without_paths
from hcl_core import pipeline
from hcl_core.errors import HclError

logger = logging.getLogger(__name__)

# Whose run it is, to the page's queue and limits: the class is one visitor at an address of its own, whoever is in it.
# Only the teacher's secret link starts its runs, one at a time.
_VISITOR = "class"
_FAILED = "the run failed: the log of the program says why"


def start_live(room: Room, service: Service, at: int) -> None:
    """Run a step in a thread of its own; raises ``RefusedError`` where that cannot be."""
    ask = room.start_run(at).ask
    assert ask is not None  # start_run refuses others
    try:
        threading.Thread(target=_run, args=(room, service, at, ask), daemon=True).start()
    except RuntimeError:  # the system has no thread left
        room.run_ended(at, None, _FAILED)
        raise


def _run(room: Room, service: Service, at: int, ask: Ask) -> None:
    try:
        with closing(service.run(ask.request(), _VISITOR, "explore")) as events:
            for live in events:
                if not isinstance(live, LiveEvent):
                    continue
                if isinstance(live.event, pipeline.Finished):
                    room.run_ended(at, (live.run.manifest.id, live.run.questions[0].question.id))
                    return
                if isinstance(live.event, pipeline.WaveDone):
                    room.run_went_on(at, live.event.num_done, live.event.num_wanted)
        room.run_ended(at, None, "the run was stopped")
    except HclError as error:
        room.run_ended(at, None, without_paths(str(error)))
    except Exception as error:
        logger.error("the run of a lesson failed", exc_info=error)
        room.run_ended(at, None, _FAILED)
