"""The exit head of a model: which one is there, the fit of one from the page, and one that others fitted."""

import math
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from app.head_fits import Fitted, TakenIn
from app.jobs import StoppedError
from app.live import Notice, Ready
from app.messages import FitStep, Message, message_of, message_of_trial
from app.visit import Visit
from hcl_core import registry
from hcl_core.errors import ExitHeadError, HclError, HeadIsThereError, NotHereError, SettingsError
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
        file: Name of that head's file, where this page gives it to its visitor.
        is_trained_for_exit: Whether its early layers need none.
        is_offered: Whether this page fits one: it fits heads, and the model has and needs none yet.
        takes_in: Whether this page takes in one that was fitted elsewhere.
        num_bytes: Of the file: the one that is there, or that a fit would make; ``None`` where that is not known, or
            neither is offered.
        num_tokens: That a fit would read.
        foretold: How long it would take; ``None`` likewise.
        problem: Why that is not known, or why no head can be fitted; empty where only the Hub could tell.
    """

    model: str
    config: HeadConfig | None
    file: str | None
    is_trained_for_exit: bool
    is_offered: bool
    takes_in: bool
    num_bytes: int | None
    num_tokens: int = 0
    foretold: Foretold | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class HeadUpdate:
    """A step of a fit, or of taking in a head: what is going on, and the head once more is known of it.

    Attributes:
        status: What is going on.
        head: The head of the model.
        is_new: Whether ``auto`` may take another head from now on.
        asked: The model, and the file of a head that would take the place of another: the visitor is asked first.
    """

    status: Message | FitStep
    head: HeadOfModel | None = None
    is_new: bool = False
    asked: tuple[str, str] | None = None


def head_of(visit: Visit, model: str) -> HeadOfModel:
    """What the page says of a model's exit head; loads no model, and asks no network."""
    name = model.strip()
    known, fits = find_model(name), visit.service.head_fits
    loaded = visit.service.models.find(name)
    found = None
    if known or (name and fits.is_allowed):  # a public page looks at no folders, whose names visitors may have sent
        found = registry.known_head(name, loaded.first.lm if loaded else None)
    is_trained_for_exit = known is not None and known.is_layerskip
    takes_in = fits.is_allowed and bool(name) and not is_trained_for_exit
    if found is not None or not takes_in:
        file, config = found or (None, None)
        given = file if fits.is_allowed else None
        num_bytes = given.stat().st_size if given else None
        return HeadOfModel(
            name,
            config,
            given.name if given else None,
            is_trained_for_exit,
            is_offered=False,
            takes_in=takes_in,
            num_bytes=num_bytes,
        )
    num_bytes, problem, is_offered = None, "", True
    try:
        shape, _ = registry.shape_and_engine(name, config_is_enough=True)
        num_bytes = bytes_of_maps(shape.num_hidden_layers, shape.hidden_size)
    except NotHereError:
        pass  # the fit asks the Hub for it
    except HclError as error:
        problem, is_offered = str(error), False
    foretold = fits.foretell(name, _SETTINGS) if is_offered else None
    return HeadOfModel(
        name,
        None,
        None,
        is_trained_for_exit,
        is_offered,
        takes_in,
        num_bytes,
        _SETTINGS.num_tokens,
        foretold,
        problem,
    )


def fit(visit: Visit, model: str) -> Generator[HeadUpdate, None, None]:
    """Fit a head; raises ``HclError`` if that is not possible."""
    began, first = 0.0, 0
    try:
        with closing(visit.service.head_fits.fit(model.strip(), _SETTINGS, visit.visitor, visit.address)) as steps:
            for step in steps:
                if isinstance(step, Fitted):
                    yield HeadUpdate(Message("fit_done"), head_of(visit, model), is_new=True)
                elif isinstance(step, FitProgress):
                    if not began or step.phase != "reading":
                        began, first = time.monotonic(), step.num_done
                    yield HeadUpdate(FitStep(step, _seconds_left(step, time.monotonic() - began, first)))
                else:
                    # The model is here by now, and with it its size.
                    yield HeadUpdate(
                        _told(step, "fit_begins"), head_of(visit, model) if isinstance(step, Ready) else None
                    )
    except StoppedError:
        yield HeadUpdate(Message("fit_stopped"))


def take_in(visit: Visit, model: str, file: str, replace: bool = False) -> Generator[HeadUpdate, None, None]:
    """Check a head that somebody else fitted, and keep it.

    Args:
        visit: Whose.
        model: The model that it shall read.
        file: That was uploaded.
        replace: Whether the visitor has been asked, and it may take the place of another.

    Raises:
        HclError: It is no head for the model, or something else that the visitor can mend.
    """
    fits, path = visit.service.head_fits, Path(file)
    try:
        with closing(fits.take_in(model.strip(), path, replace, visit.visitor, visit.address)) as steps:
            for step in steps:
                if isinstance(step, TakenIn):
                    told = message_of_trial("head_taken" if step.is_used else "head_kept_beside", step.trial)
                    yield HeadUpdate(told, head_of(visit, model), is_new=True)
                else:
                    yield HeadUpdate(_told(step, "head_tried"))
    except HeadIsThereError:
        yield HeadUpdate(Message("head_is_there"), asked=(model, file))
    except ExitHeadError as error:
        raise ExitHeadError(str(error).replace(file, path.name)) from None
    except StoppedError:
        yield HeadUpdate(Message("head_not_taken"))


def shared_file(visit: Visit, head: str, name: str) -> bytes:
    """A file that goes to others with a head, as ``registry.shared_files`` names it.

    Raises:
        SettingsError: The page is public.
        ExitHeadError: There is no such head or file, or it is damaged.
    """
    if not visit.service.head_fits.is_allowed:
        raise SettingsError("this page gives out no exit heads: run the program yourself for it")
    file = registry.head_file(head)
    content = None if file is None else registry.shared_files(file).get(name)
    if content is None:
        raise ExitHeadError(f"there is no exit head {head[:200]!r} with a file {name[:40]!r} here: open the page again")
    return content


def _told(notice: Notice, begins: str) -> Message:
    told = message_of(notice)
    return Message(begins) if told.key == "looking" else told


def _seconds_left(step: FitProgress, seconds: float, first: int) -> float | None:
    """By the fit's own rate; what was read before it was stopped does not count."""
    if step.phase != "reading" or step.num_done <= first:
        return None
    return math.ceil(seconds * (step.num_wanted - step.num_done) / (step.num_done - first))
