"""Gradient steps that bring fitted maps nearer to the last layer's distribution."""

import torch
from torch import Tensor

from hcl_core.decode.heads.fidelity import NUM_TABLES, final_logits
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.models.head_records import FitSettings


class RefinedMaps:
    """Gradient steps from the ridge maps towards the last layer's distribution (Tuned Lens, arXiv 2303.08112).

    The loss is the Kullback-Leibler divergence over the most probable tokens and a new random sample of the others in
    each step, weighted for those left out: a sixth of the work of the whole vocabulary.

    Args:
        lm: The model.
        states: ``[num_hidden_layers, n, hidden_size]`` positions to learn from.
        weights: ``[n]`` relative frequency at which each is drawn.
        settings: For the number of steps.
    """

    _POSITIONS_A_STEP = 512
    _NUM_TOP, _NUM_OTHERS = 4096, 4096
    _LEARNING_RATE = 0.01  # times the spread of the map's entries

    def __init__(self, lm: LanguageModel, states: Tensor, weights: Tensor, settings: FitSettings) -> None:
        self._lm, self._states, self._steps = lm, states, settings.refine_steps
        self._weights = weights.double()
        mean_probabilities = torch.zeros(lm.vocab_size, device=lm.readout_device)
        for rows in states[-1].split(lm.readout_rows(NUM_TABLES)):
            mean_probabilities += final_logits(lm, rows).softmax(-1).sum(0)
        order = mean_probabilities.argsort(descending=True).cpu()
        self._top, self._others = order[: self._NUM_TOP], order[self._NUM_TOP :]

    def layer(self, index: int, weight: Tensor, bias: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
        """Refine the map of one layer.

        Args:
            index: Exit layer - 1.
            weight: ``[hidden_size, hidden_size]`` for row vectors.
            bias: ``[hidden_size]``.
            scales: ``[hidden_size]`` standard deviation of each input unit; steps are taken on inputs divided by it.

        Returns:
            The refined weight and bias.
        """
        device = self._lm.readout_device
        noise = torch.Generator().manual_seed(index)
        scaled = (weight * scales[:, None]).to(device).requires_grad_()
        bias = bias.to(device).requires_grad_()
        rates = [
            self._LEARNING_RATE * float(scaled.std()),
            0.1 * self._LEARNING_RATE * float(self._states[-1].float().std()),
        ]
        optimizer = torch.optim.Adam(
            [{"params": [scaled], "lr": rates[0]}, {"params": [bias], "lr": rates[1]}], betas=(0.9, 0.98)
        )
        for step in range(self._steps):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * (1 - step / self._steps)
            drawn = torch.multinomial(self._weights, self._POSITIONS_A_STEP, replacement=True, generator=noise)
            others = self._others[torch.randperm(len(self._others), generator=noise)[: self._NUM_OTHERS]]
            vocabulary = torch.cat((self._top, others))
            multiplicity = torch.ones(len(vocabulary))
            multiplicity[len(self._top) :] = len(self._others) / max(1, len(others))
            early, last = (self._states[layer, drawn].to(device).float() for layer in (index, -1))
            target = self._log_probabilities(last, vocabulary, multiplicity.to(device))
            with torch.enable_grad():
                translated = (early / scales.to(device)) @ scaled + bias
                readout = self._log_probabilities(translated, vocabulary, multiplicity.to(device))
                loss = (target.exp() * (target - readout)).sum(-1).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return (scaled.detach() / scales.to(device)[:, None]).cpu(), bias.detach().cpu()

    def _log_probabilities(self, hidden: Tensor, vocabulary: Tensor, multiplicity: Tensor) -> Tensor:
        """``[n, v]`` log-probabilities of ``vocabulary [v]``, each token counted ``multiplicity [v]`` times."""
        return (self._lm.logits_of(hidden, vocabulary) + multiplicity.log()).log_softmax(-1)
