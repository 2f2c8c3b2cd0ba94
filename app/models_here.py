"""What stands in the way of a model before it is loaded: it is not here, it needs access, or it is too large."""

import psutil

from app.messages import Message
from hcl_core import registry
from hcl_core.errors import HclError
from hcl_core.models.catalogue import find_model
from hcl_core.models.engines import REFERENCE
from hcl_core.models.footprint import WEIGHT_FORMATS, footprint
from hcl_core.models.shapes import ModelShape

_GIGABYTE = 1e9


def notice_on_model(name: str, is_public: bool = False) -> Message | None:
    """What a visitor should know before Run is pressed; ``None`` of a model that can be loaded, or is not known.

    A page that others can reach fetches nothing from the Hub; ``app.weights`` says there what is missing.
    """
    model = find_model(name)
    if model is None:
        return None if is_public else _notice_on_own(name)
    if (too_large := _notice_on_size(model.name, model.shape)) is not None:
        return too_large
    if is_public or registry.is_available(model):
        return None
    fetched = footprint(model.shape, WEIGHT_FORMATS["bfloat16"]).weights / _GIGABYTE
    return Message("model_gated" if model.is_gated else "model_absent", {"model": model.name, "size": fetched})


def _notice_on_size(name: str, shape: ModelShape) -> Message | None:
    # In two bytes each, as the Hub holds most weights.
    size = footprint(shape, WEIGHT_FORMATS["bfloat16"], on_cpu=True).weights / _GIGABYTE
    here = psutil.virtual_memory().total / _GIGABYTE
    return Message("model_too_large", {"model": name, "size": size, "here": here}) if size > here else None


def _notice_on_own(name: str) -> Message | None:
    """What to know of a model that is in no catalogue, but on this machine."""
    try:
        shape, engine = registry.model_shape(name), registry.model_engine(name)
    except HclError:  # said when it is loaded
        return None
    if (too_large := _notice_on_size(name, shape)) is not None:
        return too_large
    return Message("model_reference", {"model": name}) if engine == REFERENCE else None
