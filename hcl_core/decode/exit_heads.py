"""How the hidden state of an early layer is read as if it were the last one."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hcl_core.catalogue import check_exit_head


class ExitHead(Protocol):
    """Maps the hidden state after an exit layer towards the last layer's, before the final norm.

    Attributes:
        name: As chosen by the user.
        fingerprint: Decides, with the model, what the head answers; part of the run id.
    """

    name: str
    fingerprint: str

    def translate(self, hidden: Tensor, exit_layers: NDArray[np.int64]) -> Tensor:
        """Map ``hidden [m, hidden_size]``, row ``i`` taken after ``exit_layers[i]`` blocks, to the same shape."""
        ...


class SharedHead:
    """Final norm and unembedding as they are (LayerSkip, arXiv 2404.16710): nothing to translate."""

    name = "shared"
    fingerprint = "shared"

    def translate(self, hidden: Tensor, exit_layers: NDArray[np.int64]) -> Tensor:
        """The identity."""
        return hidden


def load_exit_head(name: str) -> ExitHead:
    """The exit head of that name.

    Raises:
        SettingsError: There is none.
    """
    check_exit_head(name)
    return SharedHead()
