"""Norms over the last axis, as each model computes its own."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hcl_core.decode.model.family.records import NormParts


class Norm:
    """A model's own norm.

    In float32, torch's functions give the bits of ``transformers``.

    Args:
        parts: The module, and what is added to its weight.
        is_fused: In half precision, one kernel, which rounds once, where Llama's own norm rounds before and after it
            multiplies with the weight: the last bit can differ.
    """

    def __init__(self, parts: NormParts, *, is_fused: bool) -> None:
        self._module, self._is_fused = parts.module, is_fused
        self._is_layer_norm = isinstance(parts.module, nn.LayerNorm)
        self._eps = float(getattr(parts.module, "variance_epsilon", None) or parts.module.eps)
        self._has_offset = parts.offset != 0
        weight: Tensor = parts.module.weight
        # The sum is one in float32, as in the module: in half precision, 1 and a small number are 1.
        self._weight = weight.detach().float() + parts.offset if self._has_offset else weight

    def __call__(self, rows: Tensor) -> Tensor:
        """``[n, width]`` to the same."""
        if self._has_offset:
            return F.rms_norm(rows.float(), self._weight.shape, self._weight, self._eps).to(rows.dtype)
        if not self._is_layer_norm and (self._is_fused or rows.dtype == torch.float32):
            return F.rms_norm(rows, self._weight.shape, self._weight, self._eps)
        normed: Tensor = self._module(rows)
        return normed

    def in_float32(self, rows: Tensor) -> Tensor:
        """The same, computed in float32; differentiable."""
        weight = self._weight.float()
        if self._is_layer_norm:
            bias = self._module.bias
            return F.layer_norm(rows.float(), weight.shape, weight, None if bias is None else bias.float(), self._eps)
        return F.rms_norm(rows.float(), weight.shape, weight, self._eps)
