"""The texts of rows of many trees as slots of their pool."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """The texts of ``n`` rows as slots, on one device: the prompts of ``g`` trees, and the rows' paths.

    Attributes:
        prompts: ``[g, P]``, padded on the left with a prompt's first slot.
        lengths: ``[g]`` tokens of the prompts.
        trees: ``[n]`` the rows' trees.
        paths: ``[n, t]``, padded on the left with the row's own slot.
        padding: ``[n]`` columns of ``paths`` that are padding.
    """

    prompts: Tensor
    lengths: Tensor
    trees: Tensor
    paths: Tensor
    padding: Tensor

    def select(self, rows: slice | Tensor) -> "Texts":
        """Some of the rows."""
        return Texts(self.prompts, self.lengths, self.trees[rows], self.paths[rows], self.padding[rows])

    def slots(self) -> Tensor:
        """``[n, P + t]`` of prompts and paths."""
        return torch.cat((self.prompts[self.trees], self.paths), dim=1)

    def visible(self, window: int | None) -> tuple[Tensor, Tensor]:
        """Which columns of the prompt ``[n, P]`` and of the path ``[n, t]`` a row attends to."""
        width, length = self.prompts.shape[1], self.paths.shape[1]
        before = torch.arange(width - 1, -1, -1, device=self.paths.device)  # prompt tokens after each column
        ago = torch.arange(length - 1, -1, -1, device=self.paths.device)  # columns of the path after each
        depths = length - self.padding[:, None]
        of_prompt, of_path = before < self.lengths[self.trees][:, None], ago < depths
        if window is not None:
            of_prompt, of_path = of_prompt & (before + depths < window), of_path & (ago < window)
        return of_prompt, of_path
