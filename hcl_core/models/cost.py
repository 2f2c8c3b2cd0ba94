"""Operations that a token costs at each exit layer."""

from dataclasses import dataclass

from hcl_core.errors import SettingsError


@dataclass(frozen=True, slots=True)
class ModelCost:
    """Floating-point operations of one token's matrix products, two a weight; attention scores are left out.

    Attributes:
        num_hidden_layers: Decoder blocks of the model.
        block: Operations of one decoder block.
        readout: Operations of the unembedding.
        exit_head: Operations of the exit head's map, at every layer but the last; 0 for the shared head.
    """

    num_hidden_layers: int
    block: int
    readout: int
    exit_head: int

    def __post_init__(self) -> None:
        numbers = (self.num_hidden_layers, self.block, self.readout, self.exit_head)
        if min(numbers) < 0 or not self.num_hidden_layers * self.block:
            raise SettingsError(f"a cost is four whole numbers, layers and blocks above 0; got {numbers}")

    def relative_flops(self, exit_layer: int) -> float:
        """Cost of a token at ``exit_layer``, divided by its cost in the full model; above 0."""
        full = self.num_hidden_layers * self.block + self.readout
        mapped = self.exit_head if exit_layer < self.num_hidden_layers else 0
        return (exit_layer * self.block + mapped + self.readout) / full
