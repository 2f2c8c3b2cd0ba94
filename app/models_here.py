"""What stands in the way of a model before it is loaded: it is not here, it needs access, or it is too large."""

from dataclasses import dataclass

import psutil

from app.messages import Message
from hcl_core import registry
from hcl_core.errors import HclError, NotHereError
from hcl_core.models.catalogue import CatalogueModel, find_model
from hcl_core.models.engines import REFERENCE
from hcl_core.models.footprint import WEIGHT_FORMATS, footprint
from hcl_core.models.shapes import ModelShape

_GIGABYTE = 1e9


@dataclass(frozen=True, slots=True)
class Standing:
    """How a model of the catalogue stands to this machine.

    Attributes:
        gigabytes: Of its weights, in two bytes each, as the Hub holds most.
        is_here: Whether they are on this machine in any form.
        is_gated: Whether the Hub asks for an accepted licence and a token.
        is_too_large: Whether this machine's memory cannot hold them.
    """

    gigabytes: float
    is_here: bool
    is_gated: bool
    is_too_large: bool


def standing_of(model: CatalogueModel) -> Standing:
    """How ``model`` stands; asks no network."""
    is_too_large = _notice_on_size(model.name, model.shape) is not None
    return Standing(_fetched_gigabytes(model.shape), registry.is_available(model), model.is_gated, is_too_large)


def notice_on_model(name: str, is_public: bool = False) -> Message | None:
    """What a visitor should know before Run is pressed; ``None`` of a model that can be loaded.

    A page that others can reach fetches nothing from the Hub; ``app.weights`` says there what is missing.
    """
    model = find_model(name)
    if model is None:
        return None if is_public else _notice_on_own(name)
    if (too_large := _notice_on_size(model.name, model.shape)) is not None:
        return too_large
    if is_public or registry.is_available(model):
        return None
    return _notice_on_absent(model.name, model.shape, model.is_gated)


def _notice_on_absent(name: str, shape: ModelShape, is_gated: bool) -> Message:
    size = _fetched_gigabytes(shape)
    return Message("model_gated" if is_gated else "model_absent", {"model": name, "size": size})


def _fetched_gigabytes(shape: ModelShape) -> float:
    """Of the weights in two bytes each, as the Hub holds most."""
    return footprint(shape, WEIGHT_FORMATS["bfloat16"]).weights / _GIGABYTE


def _notice_on_size(name: str, shape: ModelShape) -> Message | None:
    # In two bytes each, as the Hub holds most weights.
    size = footprint(shape, WEIGHT_FORMATS["bfloat16"], on_cpu=True).weights / _GIGABYTE
    here = psutil.virtual_memory().total / _GIGABYTE
    return Message("model_too_large", {"model": name, "size": size, "here": here}) if size > here else None


def _notice_on_own(name: str) -> Message | None:
    """What to know of a model that is in no catalogue."""
    try:
        shape, engine = registry.shape_and_engine(name, config_is_enough=True)
        if (too_large := _notice_on_size(name, shape)) is not None:
            return too_large
        if not registry.is_here(name):
            return _notice_on_absent(name, shape, is_gated=False)
    except NotHereError:
        return Message("model_unknown", {"model": name[:200]})
    except HclError:  # said when it is loaded
        return None
    return Message("model_reference", {"model": name}) if engine == REFERENCE else None
