"""Ridge regression from sums over positions: from each layer's hidden state to the last one's."""

import torch
from torch import Tensor

STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)


class Moments:
    """Weighted float64 sums over positions that give the ridge map of every layer but the last.

    Attributes:
        inputs: ``[L - 1, hidden_size + 1, hidden_size + 1]``: products of a layer's units, a constant 1 appended.
        cross: ``[L - 1, hidden_size + 1, hidden_size]``: products of those and the last layer's units.

    Args:
        num_hidden_layers: ``L``.
        hidden_size: Units of a hidden state.
    """

    def __init__(self, num_hidden_layers: int, hidden_size: int, device: torch.device | str = "cpu") -> None:
        shape = (num_hidden_layers - 1, hidden_size + 1)
        self.inputs = torch.zeros(*shape, hidden_size + 1, dtype=torch.float64, device=device)
        self.cross = torch.zeros(*shape, hidden_size, dtype=torch.float64, device=device)

    def add(self, states: Tensor, weights: Tensor) -> None:
        """Add positions: ``states [L, n, hidden_size]``, ``weights [n]``."""
        device = self.inputs.device
        weights = weights.to(device, torch.float64)[:, None]
        target = states[-1].to(device, torch.float64)
        constant = torch.ones_like(weights)
        for index in range(len(self.inputs)):
            units = torch.cat((states[index].to(device, torch.float64), constant), dim=1)
            weighted = (units * weights).T
            self.inputs[index].addmm_(weighted, units)
            self.cross[index].addmm_(weighted, target)

    def solve(self, index: int, strengths: tuple[float, ...] = STRENGTHS) -> tuple[Tensor, Tensor, Tensor]:
        """Ridge maps of one layer, the constant left unpenalised.

        Args:
            index: Exit layer - 1.
            strengths: Times the mean variance of a unit.

        Returns:
            Maps ``[len(strengths), hidden_size, hidden_size]`` for row vectors, their biases
            ``[len(strengths), hidden_size]``, and the units' standard deviations ``[hidden_size]``.
        """
        inputs, cross = self.inputs[index], self.cross[index]
        total = inputs[-1, -1]
        mean, target_mean = inputs[-1, :-1] / total, cross[-1] / total
        covariance = inputs[:-1, :-1] / total - torch.outer(mean, mean)
        cross_covariance = cross[:-1] / total - torch.outer(mean, target_mean)
        variances = covariance.diagonal().clamp_min(0)
        penalties = torch.tensor(strengths, dtype=torch.float64).to(inputs.device) * variances.mean().clamp_min(1e-30)
        penalised = covariance + penalties[:, None, None] * torch.eye(len(mean)).to(inputs)
        maps = torch.linalg.solve(penalised, cross_covariance.expand(len(strengths), -1, -1))
        return maps, target_mean - mean @ maps, variances.sqrt()


def best_strength(maps: Tensor, biases: Tensor, early: Tensor, last: Tensor) -> int:
    """Index of the map of ``maps [s, hidden_size, hidden_size]`` that brings ``early`` nearest to ``last``.

    ``early`` and ``last`` are ``[n, hidden_size]``, ``biases`` is ``[s, hidden_size]``.
    """
    early, last = (states.to(maps.device, torch.float64) for states in (early, last))
    errors = (torch.matmul(early, maps) + biases[:, None] - last).square().mean(dim=(1, 2))
    return int(errors.argmin())
