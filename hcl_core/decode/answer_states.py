"""Hidden states along stored answers, after every layer that is asked for: what probes are trained on."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from hcl_core.decode.heads.hidden_states import read_text
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.decode.model.memory import explain_out_of_memory
from hcl_core.records import StoredQuestion
from hcl_core.settings.prompts import PromptTemplate, one_line


@torch.inference_mode()
def answer_states(
    lm: LanguageModel,
    template: PromptTemplate,
    stored: StoredQuestion,
    completion_token_ids: Sequence[int],
    layers: Sequence[int],
) -> tuple[int, NDArray[np.float32]]:
    """The states at the prompt's last token and at each token of an answer, before the final norm.

    A layer's state depends on the tokens before it alone. So it is the one that decoding had, at whatever exit layer
    the answer was given; layers above that were not run then, and are what the whole model makes of the text.

    Args:
        lm: The model.
        template: Of the run; it made the prompt.
        stored: The question with its prompt.
        completion_token_ids: The answer, ``t`` tokens.
        layers: Blocks run, from 1.

    Returns:
        The prompt's last token, and the states ``[len(layers), 1 + t, hidden_size]``.

    Raises:
        NotEnoughMemoryError: Memory ran out.
    """
    prompt = lm.tokenize(stored.prompt, is_chat=template.is_chat, question=one_line(stored.question.text))
    with explain_out_of_memory("reading the answers"):
        states = read_text(lm, [*prompt, *completion_token_ids])
    chosen = states[[layer - 1 for layer in layers], len(prompt) - 1 :]
    return prompt[-1], chosen.float().cpu().numpy()
