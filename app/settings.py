"""What the owner of a page sets for it, in environment variables ``HCL_...``; every limit of a public page is here."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class PageSettings(BaseSettings):
    """Read when the program starts; each field is the environment variable ``HCL_`` and its name in capitals.

    Attributes:
        public: Whether others than the owner of the machine can reach the page, such as through a proxy.
    """

    model_config = SettingsConfigDict(env_prefix="HCL_", frozen=True, extra="ignore")

    public: bool = False
