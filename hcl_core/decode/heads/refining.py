"""Gradient steps that bring a fitted map nearer to the model's own distribution."""

import torch
from torch import Tensor

from hcl_core.decode.heads.fidelity import ROWS_PER_LOGITS, final_logits
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.models.head_records import FitSettings


class RefinedMaps:
    """Gradient steps from the ridge maps towards the last layer's distribution (Tuned Lens, arXiv 2303.08112).

    The loss is the Kullback-Leibler divergence over the likeliest tokens, all of them, and a fresh random
    share of the others that stands for the rest: a sixth of the work of the whole vocabulary.

    Args:
        lm: The model.
        states: ``[num_hidden_layers, n, hidden_size]`` positions to learn from.
        weights: ``[n]`` how often each is drawn.
        settings: For the number of steps.
    """

    _POSITIONS_A_STEP = 512
    _LIKELIEST, _OTHERS = 4096, 4096
    _LEARNING_RATE = 0.01  # times the spread of the map's entries

    def __init__(self, lm: CausalLM, states: Tensor, weights: Tensor, settings: FitSettings) -> None:
        self._lm, self._states, self._steps = lm, states, settings.refine_steps
        self._weights = weights.double()
        mean_probabilities = torch.zeros(lm.vocab_size, device=lm.readout_device)
        for rows in states[-1].split(ROWS_PER_LOGITS):
            mean_probabilities += final_logits(lm, rows).softmax(-1).sum(0)
        order = mean_probabilities.argsort(descending=True).cpu()
        self._likeliest, self._others = order[: self._LIKELIEST], order[self._LIKELIEST :]

    def layer(self, place: int, weight: Tensor, bias: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
        """Refine one layer's map ``[hidden_size, hidden_size]`` and bias; ``scales`` make its inputs alike."""
        device = self._lm.readout_device
        noise = torch.Generator().manual_seed(place)
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
            others = self._others[torch.randperm(len(self._others), generator=noise)[: self._OTHERS]]
            vocabulary = torch.cat((self._likeliest, others))
            # Each sampled token stands for as many as were left out.
            stands_for = torch.ones(len(vocabulary))
            stands_for[len(self._likeliest) :] = len(self._others) / max(1, len(others))
            early, last = (self._states[layer, drawn].to(device).float() for layer in (place, -1))
            own = self._log_probabilities(last, vocabulary, stands_for.to(device))
            with torch.enable_grad():
                translated = (early / scales.to(device)) @ scaled + bias
                read = self._log_probabilities(translated, vocabulary, stands_for.to(device))
                loss = (own.exp() * (own - read)).sum(-1).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return (scaled.detach() / scales.to(device)[:, None]).cpu(), bias.detach().cpu()

    def _log_probabilities(self, hidden: Tensor, vocabulary: Tensor, stands_for: Tensor) -> Tensor:
        """``[n, len(vocabulary)]`` of groups of tokens: each one's own times how many it stands for."""
        return (self._lm.logits_of(hidden, vocabulary) + stands_for.log()).log_softmax(-1)
