"""How well an exit head reads each layer, against the model's own last one."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from hcl_core.decode.heads.exit_heads import ExitHead
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.models.head_records import Fidelity

ROWS_PER_LOGITS = 256


def measure(
    lm: CausalLM, heads: Sequence[ExitHead], states: Tensor, exit_layers: Sequence[int]
) -> Iterator[list[list[Fidelity]]]:
    """How well each of ``heads`` reads each exit layer, over ``states [num_hidden_layers, n, hidden_size]``.

    Yields:
        ``[len(heads)][len(exit_layers)]``, each time better known: once after every few hundred positions.
    """
    agreed = np.zeros((len(heads), len(exit_layers)))
    entropy = np.zeros_like(agreed)
    num_seen = 0
    for some in states.split(ROWS_PER_LOGITS, dim=1):
        own = final_logits(lm, some[-1]).log_softmax(-1)
        probabilities, choices = own.exp(), own.argmax(-1)
        num_seen += len(own)
        for column, exit_layer in enumerate(exit_layers):
            layers = np.full(len(own), exit_layer)
            for row, head in enumerate(heads):
                logits = final_logits(lm, head.translate(some[exit_layer - 1].to(lm.readout_device), layers))
                agreed[row, column] += int((logits.argmax(-1) == choices).sum())
                # The distribution sums to 1, so the logits' own normaliser stands apart: no second table is needed.
                normaliser = logits.logsumexp(-1).sum(dtype=torch.float64)
                entropy[row, column] += float(normaliser - torch.einsum("nv,nv->", probabilities, logits))
        yield [
            [
                Fidelity(*each)
                for each in zip((agreed[row] / num_seen).tolist(), (entropy[row] / num_seen).tolist(), strict=True)
            ]
            for row in range(len(heads))
        ]


def final_logits(lm: CausalLM, hidden: Tensor) -> Tensor:
    """Float32 logits ``[n, vocab_size]`` of ``hidden [n, hidden_size]`` after final norm and unembedding."""
    hidden = hidden.to(lm.readout_device)
    out = lm.logits_buffer(len(hidden))
    return lm.unembed(lm.final_norm(hidden), out=out)
