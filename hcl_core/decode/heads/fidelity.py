"""How well an exit head reads each layer, compared with the model's own last layer."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hcl_core.decode.model.finite import check_rows
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.models.head_records import Fidelity

if TYPE_CHECKING:
    from hcl_core.decode.heads.exit_heads import ExitHead

# Tables of logits held at a time: the last layer's probabilities and one readout.
NUM_TABLES = 2


def measure(
    lm: LanguageModel, heads: Sequence["ExitHead"], states: Tensor, exit_layers: Sequence[int]
) -> Iterator[tuple[int, list[list[Fidelity]]]]:
    """How well each of ``heads`` reads each exit layer, over ``states [num_hidden_layers, n, hidden_size]``.

    Yields:
        After every few hundred positions: how many of the ``n`` were read, and the means over those,
        ``[len(heads)][len(exit_layers)]``.

    Raises:
        NotFiniteError: A logit is infinite or undefined.
    """
    num_agreeing = np.zeros((len(heads), len(exit_layers)))
    cross_entropy = np.zeros_like(num_agreeing)
    num_read = 0
    for chunk in states.split(lm.readout_rows(NUM_TABLES), dim=1):
        last_logits = final_logits(lm, chunk[-1])
        check_rows(lm, last_logits, np.full(len(last_logits), lm.num_hidden_layers))
        last = last_logits.log_softmax(-1)
        probabilities, top_tokens = last.exp(), last.argmax(-1)
        num_read += len(last)
        for column, exit_layer in enumerate(exit_layers):
            layers = np.full(len(last), exit_layer)
            for row, head in enumerate(heads):
                logits = final_logits(lm, head.translate(chunk[exit_layer - 1].to(lm.readout_device), layers))
                check_rows(lm, logits, layers)
                num_agreeing[row, column] += int((logits.argmax(-1) == top_tokens).sum())
                # As the probabilities sum to 1, -sum(p * log q) is log-sum-exp(logits) - sum(p * logits).
                normaliser = logits.logsumexp(-1).sum(dtype=torch.float64)
                cross_entropy[row, column] += float(normaliser - torch.einsum("nv,nv->", probabilities, logits))
        agreement, entropy = (num_agreeing / num_read).tolist(), (cross_entropy / num_read).tolist()
        yield (
            num_read,
            [[Fidelity(*pair) for pair in zip(agreement[row], entropy[row], strict=True)] for row in range(len(heads))],
        )


def final_logits(lm: LanguageModel, hidden: Tensor) -> Tensor:
    """Float32 logits ``[n, vocab_size]`` of ``hidden [n, hidden_size]`` after final norm and unembedding."""
    hidden = hidden.to(lm.readout_device)
    return lm.unembed(lm.final_norm(hidden), out=lm.logits_buffer(len(hidden)))
