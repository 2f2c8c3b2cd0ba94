"""The models that can be chosen: how each stands to this machine, and what is known of the chosen one."""

from dataclasses import dataclass

from app.models_here import Standing, standing_of
from app.visit import Visit
from hcl_core import registry
from hcl_core.errors import HclError
from hcl_core.models.catalogue import CatalogueModel, find_model
from hcl_core.models.engines import EngineName
from hcl_core.models.shapes import ModelShape


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a model before it is loaded.

    Attributes:
        name: As it was chosen.
        known: Its entry in the catalogue, which names its licence and the test that verified it; ``None``: it has none.
        shape: Its sizes; ``None`` where they are not known.
        engine: What computes it; ``None`` likewise.
    """

    name: str
    known: CatalogueModel | None
    shape: ModelShape | None
    engine: EngineName | None


def choices(visit: Visit) -> list[tuple[CatalogueModel, Standing]]:
    """The models of the list, each with how it stands to this machine now."""
    return [(model, standing_of(model)) for model in visit.service.offered_models()]


def num_hidden_layers(visit: Visit, model: object) -> int | None:
    """Layers of a model, as the catalogue or its config says; ``None`` where ``facts_of`` does not know its sizes."""
    facts = facts_of(visit, model) if isinstance(model, str) else None
    return facts.shape.num_hidden_layers if facts and facts.shape else None


def facts_of(visit: Visit, model: str) -> ModelFacts | None:
    """What is known of the chosen model, without a network; ``None`` where none is chosen, or a public page has none.

    A public page looks at no folders, whose names visitors may have sent.
    """
    name = model.strip()
    known = find_model(name)
    if not name or (known is None and visit.service.is_public):
        return None
    try:
        return ModelFacts(name, known, *registry.shape_and_engine(name, config_is_enough=True))
    except HclError:
        return ModelFacts(name, known, None, None)
