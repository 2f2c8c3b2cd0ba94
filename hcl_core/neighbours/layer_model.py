"""A model at one exit layer, as the arguments of another program name it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hcl_core import registry
from hcl_core.errors import SettingsError
from hcl_core.models.head_records import HeadChoice

if TYPE_CHECKING:
    from hcl_core.decode.continuing import TextDecoder
    from hcl_core.decode.engine import EngineParts
    from hcl_core.decode.likelihood import LayerReader


@dataclass(frozen=True, slots=True, eq=False)
class LayerModel:
    """A model in memory and the layer at which it stops.

    Attributes:
        parts: Model and exit head.
        exit_layer: Decoder blocks run, from 1.
    """

    parts: "EngineParts"
    exit_layer: int

    @classmethod
    def load(
        cls, model: str, exit_layer: object = None, exit_head: str = "auto", dtype: str = "auto", device: str = "auto"
    ) -> "LayerModel":
        """Load a model.

        Args:
            model: A catalogue name, Hub id or local folder.
            exit_layer: From 1; ``None``: the last layer.
            exit_head: ``"auto"``, ``"shared"``, ``"linear"`` or a head's file.
            dtype: As ``registry.load_model`` takes it.
            device: Likewise.

        Raises:
            SettingsError: The layer is no whole number, or the model does not have it.
            HclError: As ``registry.load_model`` and ``decode.heads.exit_heads.load_exit_head``.
        """
        if exit_layer is not None and (isinstance(exit_layer, bool) or not isinstance(exit_layer, int)):
            raise SettingsError(f"exit_layer must be a whole number from 1; got {str(exit_layer)[:40]!r}")
        lm, _ = registry.load_model(str(model), str(dtype), str(device))
        layer = lm.num_hidden_layers if exit_layer is None else exit_layer
        parts = registry.plain_parts(lm, str(exit_head))
        parts.check_layers([layer])
        if layer < lm.num_hidden_layers:
            HeadChoice.of(str(exit_head), parts.exit_head).warn(lm.name)
        return cls(parts, layer)

    def reader(self) -> "LayerReader":
        """What the layer says of given texts."""
        return registry.LayerReader(self.parts, self.exit_layer)

    def decoder(self, stops: list[str], *, is_chat: bool = False, shorten: bool = False) -> "TextDecoder":
        """How the layer goes on; see ``decode.continuing.TextDecoder`` for the arguments."""
        return registry.TextDecoder(self.parts, stops, is_chat=is_chat, shorten=shorten)


def refuse_unknown(arguments: dict[str, Any], known: str) -> None:
    """Raise ``SettingsError`` for ``arguments``, which nothing takes; ``known`` says what could be given."""
    if arguments:
        raise SettingsError(f"unknown: {', '.join(sorted(map(str, arguments)))[:200]}; known are {known}")
