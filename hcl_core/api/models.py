"""A model in memory."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hcl_core import registry
from hcl_core.api.arguments import as_device, as_name, as_torch_name
from hcl_core.models.catalogue import DEFAULT_MODEL
from hcl_core.models.engines import EngineName
from hcl_core.text import counted

if TYPE_CHECKING:
    from hcl_core.decode.model.checkpoints import Checkpoint
    from hcl_core.decode.model.language_model import LanguageModel


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Model:
    """A model in memory, as ``load_model`` returns it.

    Attributes:
        lm: The model.
        checkpoint: The weights that it was loaded from.
        others: The same model on further devices, for runs and sweeps alone.
    """

    lm: "LanguageModel"
    checkpoint: "Checkpoint"
    others: "tuple[LanguageModel, ...]" = ()

    @property
    def name(self) -> str:
        """Its name in the catalogue, its Hub id, or its folder's name."""
        return self.checkpoint.model

    @property
    def num_layers(self) -> int:
        """Decoder blocks: the last exit layer."""
        return self.lm.num_hidden_layers

    @property
    def engine(self) -> EngineName:
        """``"fast"`` or ``"reference"``: what computes it."""
        return self.lm.engine

    def __repr__(self) -> str:
        devices = ",".join(each.device_name for each in (self.lm, *self.others))
        return f"Model({self.name!r}, {counted(self.num_layers, 'layer')}, {self.lm.dtype_name} on {devices})"


def load_model(name: str | Path = DEFAULT_MODEL.name, dtype: object = "auto", device: object = "auto") -> Model:
    """Load a model; once for any number of runs.

    Args:
        name: A catalogue name such as ``"smollm2-135m"``, a Hub id, a local folder, or a GGUF file.
        dtype: ``"auto"`` (float32 on a CPU), ``"fastest"`` (measured now), ``"float32"``, ``"bfloat16"``,
            ``"float16"``, ``"int8"`` or ``"nf4"``.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``; or several GPUs, such as
            ``"cuda:0,cuda:1"``, each of which gets the whole model and answers some of a run's questions.

    Raises:
        ModelNotFoundError: There is no such model.
        NotEnoughMemoryError: It does not fit; raised before the weights are read.
        HclError: Its weights are damaged, or cannot be fetched.
    """
    (lm, *others), checkpoint = registry.load_replicas(
        as_name("name", name), as_torch_name("dtype", dtype), as_device(device)
    )
    return Model(lm, checkpoint, tuple(others))


def loaded(model: Model | str | Path) -> Model:
    """``model`` itself, or the one of that name; raises ``SettingsError`` for anything else."""
    return model if isinstance(model, Model) else load_model(as_name("model", model))
