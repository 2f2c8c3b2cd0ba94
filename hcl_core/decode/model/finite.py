"""Checks where logits and hidden states are made: a value that overflowed becomes an error, never part of an answer."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.errors import NotFiniteError


def check_finite(lm: LanguageModel, values: NDArray[np.floating], exit_layers: NDArray[np.int64]) -> None:
    """Raise ``NotFiniteError``, which names the first layer, unless all of ``values`` are finite.

    Args:
        lm: The model that computed them.
        values: ``[n]``.
        exit_layers: ``[n]`` layer of each.
    """
    if not (is_finite := np.isfinite(values)).all():
        raise NotFiniteError(
            f"layer {exit_layers[~is_finite].min()} of {lm.name} computes infinite or undefined numbers in "
            f"{lm.dtype_name}: {_advice(lm.dtype_name)}"
        )


def check_rows(lm: LanguageModel, rows: Tensor, exit_layers: NDArray[np.int64]) -> None:
    """Do the same for ``rows [n, width]`` of logits or hidden states, one exit layer each."""
    lowest, highest = rows.aminmax(dim=-1)  # NaN where the row has one
    check_finite(lm, (highest.double() - lowest.double()).cpu().numpy(), exit_layers)


def _advice(dtype_name: str) -> str:
    if dtype_name == "float32":
        return "its weights or its exit head are damaged; load the model anew, or use --exit-head shared"
    return "use --dtype float32" if dtype_name == "bfloat16" else "use --dtype bfloat16 or float32"
