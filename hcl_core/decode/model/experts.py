"""An MLP of experts: each row goes through the few that a router chooses for it."""

import torch
from torch import Tensor

from hcl_core.decode.model.family.records import ExpertsParts
from hcl_core.decode.model.linear import PackedLinear, affine


class Experts:
    """All experts of a block.

    The products of an expert are made for its rows alone, and a row's sum over its experts has one order: so a result
    depends on no other row. On a GPU, each call waits until the router's choice is known.

    Args:
        parts: Router and matrices.
        release: Free the matrices that are kept here in another form; the modules can't be used afterwards.
    """

    def __init__(self, parts: ExpertsParts, *, release: bool = False) -> None:
        self._parts = parts
        self._router = affine(parts.router)
        self._up = [affine(matrix) for matrix in parts.gate_up]
        self._down = [affine(matrix) for matrix in parts.down]
        if release and isinstance(self._up[0], PackedLinear):
            for matrices in (parts.gate_up, parts.down):
                matrices.data = matrices.new_empty(0)

    def __call__(self, rows: Tensor, num_rows: int) -> Tensor:
        """``[n, hidden_size]`` to the same; zeros from ``num_rows`` on."""
        wanted = rows[:num_rows]
        shares, chosen = self._router(wanted).float().softmax(dim=-1).topk(self._parts.num_active, dim=-1)
        if self._parts.shares_sum_to_one:
            shares = shares / shares.sum(dim=-1, keepdim=True)
        mixed = torch.zeros_like(rows)
        for expert in chosen.unique().tolist():
            of_expert, place = (chosen == expert).nonzero(as_tuple=True)
            gate, up = self._up[expert](wanted[of_expert]).chunk(2, dim=-1)
            made = self._down[expert](self._parts.activation(gate) * up)
            mixed.index_add_(0, of_expert, (made * shares[of_expert, place, None]).to(rows.dtype))
        return mixed
