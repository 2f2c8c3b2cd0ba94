"""The exit head of a model: which one is there, and the fit of one from the page."""

import math
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

from app.head_fits import Fitted
from app.jobs import StoppedError
from app.live import Notice
from app.messages import FitStep, Message, message_of
from app.visit import Visit
from hcl_core import registry
from hcl_core.errors import HclError
from hcl_core.models.catalogue import find_model
from hcl_core.models.head_records import FitProgress, FitSettings, HeadConfig, bytes_of_maps
from hcl_core.pipeline.estimate import Foretold

_SETTINGS = FitSettings()


@dataclass(frozen=True, slots=True)
class HeadOfModel:
    """What is known of a model's exit head before the model is loaded.

    Attributes:
        model: Its name.
        config: Of a head that was fitted for a model of that name; ``None``: there is none.
        is_trained_for_exit: Whether its early layers need none.
        is_offered: Whether this page fits one: it fits heads, and the model has and needs none yet.
        num_bytes: Of the file that a fit would make; ``None`` where that is not known, or none is offered.
        num_tokens: That a fit would read.
        foretold: How long it would take; ``None`` likewise.
    """

    model: str
    config: HeadConfig | None
    is_trained_for_exit: bool
    is_offered: bool
    num_bytes: int | None
    num_tokens: int
    foretold: Foretold | None


@dataclass(frozen=True, slots=True)
class FitUpdate:
    """A step of a fit: what is going on, and the head once it is there."""

    status: Message | FitStep
    head: HeadOfModel | None = None


def head_of(visit: Visit, model: str) -> HeadOfModel:
    """What the page says of a model's exit head; loads no model."""
    name = model.strip()
    known, fits = find_model(name), visit.service.head_fits
    config = registry.known_head(name) if name else None
    is_trained_for_exit = known is not None and known.is_layerskip
    is_offered = fits.is_allowed and bool(name) and config is None and not is_trained_for_exit
    return HeadOfModel(
        name,
        config,
        is_trained_for_exit,
        is_offered,
        _num_bytes(name) if is_offered else None,
        _SETTINGS.num_tokens,
        fits.foretell(name, _SETTINGS) if is_offered else None,
    )


def fit(visit: Visit, model: str) -> Generator[FitUpdate, None, None]:
    """Fit a head; raises ``HclError`` if that is not possible."""
    began, first = 0.0, 0
    try:
        with closing(visit.service.head_fits.fit(model.strip(), _SETTINGS, visit.visitor, visit.address)) as steps:
            for step in steps:
                if isinstance(step, Fitted):
                    yield FitUpdate(Message("fit_done"), head_of(visit, model))
                elif isinstance(step, FitProgress):
                    if not began or step.phase != "reading":
                        began, first = time.monotonic(), step.num_done
                    yield FitUpdate(FitStep(step, _seconds_left(step, time.monotonic() - began, first)))
                else:
                    yield FitUpdate(_told(step))
    except StoppedError:
        yield FitUpdate(Message("fit_stopped"))


def _told(notice: Notice) -> Message:
    told = message_of(notice)
    return Message("fit_begins") if told.key == "looking" else told


def _seconds_left(step: FitProgress, seconds: float, first: int) -> float | None:
    """By the fit's own rate; what was read before it was stopped does not count."""
    if step.phase != "reading" or step.num_done <= first:
        return None
    return math.ceil(seconds * (step.num_wanted - step.num_done) / (step.num_done - first))


def _num_bytes(model: str) -> int | None:
    try:
        shape = registry.model_shape(model)
    except HclError:
        return None
    return bytes_of_maps(shape.num_hidden_layers, shape.hidden_size)
