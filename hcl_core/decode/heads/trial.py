"""Weights that no head was fitted for: how well one reads them that was fitted for others, and where no head does."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hcl_core.decode.heads.fidelity import measure
from hcl_core.decode.heads.hidden_states import read_text
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.folders import shipped_heads_folder
from hcl_core.models.head_records import HeadConfig, HeadTrial

if TYPE_CHECKING:
    from hcl_core.decode.heads.exit_heads import ExitHead

# Layers at which a head is tried: in the deeper half, where heads say something.
_NUM_LAYERS = 6
# Agreement below which a layer's readout is noise: it names another word than the last layer more often than not.
_NOISE = 0.5


def trial_states(lm: LanguageModel) -> Tensor:
    """Hidden states of the stored questions and answers, ``[num_hidden_layers, n, hidden_size]``."""
    texts = (shipped_heads_folder() / "trial.txt").read_text(encoding="utf-8").split("\n\n\n")
    with torch.inference_mode():
        return torch.cat([read_text(lm, lm.tokenize(text)[: lm.max_positions]) for text in texts], dim=1)


def try_head(lm: LanguageModel, head: "ExitHead", config: HeadConfig, states: Tensor) -> HeadTrial:
    """How well ``head``, fitted for other weights, reads these."""
    deepest = lm.num_hidden_layers - 1
    span = deepest - lm.num_hidden_layers // 2
    layers = sorted({deepest - round(span * place / _NUM_LAYERS) for place in range(_NUM_LAYERS)})
    return HeadTrial(
        num_positions=states.shape[1],
        first_layer=layers[0],
        last_layer=layers[-1],
        agreement=_mean(_agreement(lm, head, states, layers)),
        expected=_mean([config.after[layer - 1].agreement for layer in layers]),
    )


def noise_below(lm: LanguageModel, shared: "ExitHead", states: Tensor) -> int:
    """The first layer from which on the model's own head agrees with the last layer in most positions."""
    for layer in range(lm.num_hidden_layers - 1, 0, -1):
        if _agreement(lm, shared, states, [layer])[0] < _NOISE:
            return layer + 1
    return 1


def _agreement(lm: LanguageModel, head: "ExitHead", states: Tensor, layers: Sequence[int]) -> list[float]:
    """Share of positions at which the most probable token of each layer is the last layer's."""
    with torch.inference_mode():
        *_, (_, (fidelities,)) = measure(lm, [head], states, layers)
    return [each.agreement for each in fidelities]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
