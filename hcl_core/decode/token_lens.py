"""The token lens: every layer's next-token distribution at every position of a text, from one forward pass.

After the "logit lens" (nostalgebraist 2020) and the Tuned Lens (arXiv 2303.08112): the hidden state after
each layer is read by an exit head as if it were the last one.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hcl_core.answer_rules import FIRST_LINE, chat_rule
from hcl_core.decode.early_exit import early_exit
from hcl_core.decode.forest import follow
from hcl_core.decode.heads.exit_heads import ExitHead
from hcl_core.decode.heads.hidden_states import read_site
from hcl_core.decode.model.finite import check_rows
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.decode.model.memory import explain_out_of_memory
from hcl_core.decode.trie.engines import run_prompt
from hcl_core.errors import ContextTooLongError, SettingsError
from hcl_core.models.head_records import HeadChoice
from hcl_core.models.lens_records import RESID_POST, LensTable, head_at
from hcl_core.records import SamplingSettings

# Tables of logits held at a time while a layer is read: its own, the last layer's, and two temporary ones.
_NUM_TABLES = 4


@torch.inference_mode()
def read_layers(
    lm: LanguageModel,
    head: ExitHead,
    question_id: str,
    prompt: str,
    token_ids: Sequence[int],
    first: int,
    num_top: int = 10,
    site: str = RESID_POST,
) -> LensTable:
    """Read every layer at the positions ``first`` on of a text.

    Args:
        lm: The model.
        head: How early layers are read.
        question_id: For the table.
        prompt: For the table.
        token_ids: The whole text.
        first: First position whose token is predicted, from 1: no position before it predicts position 0.
        num_top: Most probable tokens of each readout in the table.
        site: Where each block is read, one of ``SITES``.

    Raises:
        SettingsError: ``first`` or ``num_top`` is out of range, or ``lm`` or ``head`` cannot be read at ``site``.
        ContextTooLongError: The text is longer than the model can attend over.
        NotEnoughMemoryError: It does not fit.
        NotFiniteError: A logit is infinite or undefined.
    """
    head_at(site, head.name)
    if not 1 <= first < len(token_ids):
        raise SettingsError(f"the lens needs a position from 1 to {len(token_ids) - 1}; got {first}")
    if not 1 <= num_top <= min(100, lm.vocab_size):
        raise SettingsError(f"top must be between 1 and {min(100, lm.vocab_size)}; got {num_top}")
    if len(token_ids) > lm.max_positions:
        raise ContextTooLongError(
            f"a text of {len(token_ids)} tokens exceeds this model's window of {lm.max_positions}"
        )
    with explain_out_of_memory("reading the layers"):
        # The state at a position predicts the token after it.
        states, last = read_site(lm, token_ids, site)
        states, last = states[:, first - 1 : -1], last[first - 1 : -1]  # [L, P, hidden_size], [P, hidden_size]
        following = torch.tensor(list(token_ids[first:]), device=lm.readout_device)
        chunk = lm.readout_rows(_NUM_TABLES)
        columns = [
            _readouts(lm, head, positions, lasts, tokens, num_top, site == RESID_POST)
            for positions, lasts, tokens in zip(
                states.split(chunk, dim=1), last.split(chunk), following.split(chunk), strict=True
            )
        ]
    cells = {name: np.concatenate([column[name] for column in columns], axis=1) for name in columns[0]}
    texts = {
        token_id: lm.token_text(token_id) for token_id in np.unique([*cells["top_token_ids"].flat, *token_ids]).tolist()
    }
    return LensTable(
        question_id=question_id,
        prompt=prompt,
        token_ids=tuple(token_ids[first:]),
        token_texts=tuple(texts[token_id] for token_id in token_ids[first:]),
        positions=tuple(range(first, len(token_ids))),
        top_token_texts=[
            [[texts[token_id] for token_id in top] for top in layer] for layer in cells["top_token_ids"].tolist()
        ],
        **cells,
        head=HeadChoice.of(head.name, head),
        site=site,
    )


def _readouts(
    lm: LanguageModel,
    head: ExitHead,
    states: Tensor,
    last_state: Tensor,
    following: Tensor,
    num_top: int,
    is_after_blocks: bool,
) -> dict[str, np.ndarray]:
    """Every layer's readouts at ``P`` positions, arrays of a ``LensTable``.

    ``states`` is ``[L, P, hidden_size]``, ``last_state`` ``[P, hidden_size]`` that after the last block, which is the
    last of ``states`` if ``is_after_blocks``.
    """
    num_positions = states.shape[1]
    buffer = lm.logits_buffer(num_positions)
    last = _log_probabilities(lm, last_state, buffer, lm.num_hidden_layers)  # no head translates the last layer
    last_tokens = last.argmax(-1)
    layers: dict[str, list[Tensor]] = {}
    for exit_layer, hidden in enumerate(states, 1):
        is_last = is_after_blocks and exit_layer == lm.num_hidden_layers
        translated = (
            hidden if is_last or not is_after_blocks else head.translate(hidden, np.full(num_positions, exit_layer))
        )
        log_probabilities = last if is_last else _log_probabilities(lm, translated, buffer, exit_layer)
        top = log_probabilities.topk(num_top, dim=-1)
        cells = {
            "top_token_ids": top.indices,
            "top_probabilities": top.values.exp(),
            # 0, not NaN, for a token of probability 0.
            "entropy": torch.special.entr(log_probabilities.exp()).sum(-1),
            "final_rank": _rank(log_probabilities, last_tokens),
            "text_rank": _rank(log_probabilities, following),
            "kl_to_last": (last.exp() * (last - log_probabilities)).sum(-1).clamp_min(0),
        }
        for name, values in cells.items():
            layers.setdefault(name, []).append(values.cpu())
    return {name: torch.stack(values).numpy() for name, values in layers.items()}


def _log_probabilities(lm: LanguageModel, hidden: Tensor, buffer: Tensor, exit_layer: int) -> Tensor:
    logits = lm.unembed(lm.final_norm(hidden), out=buffer)
    check_rows(lm, logits, np.full(len(logits), exit_layer))
    return logits.log_softmax(-1)


def _rank(log_probabilities: Tensor, token_ids: Tensor) -> Tensor:
    """Rank, from 1, of one token in each row: ``[P]``; of equally probable tokens the lower id comes first."""
    of_token = log_probabilities.gather(1, token_ids[:, None])
    has_lower_id = torch.arange(log_probabilities.shape[1], device=token_ids.device) < token_ids[:, None]
    return 1 + ((log_probabilities > of_token) | ((log_probabilities == of_token) & has_lower_id)).sum(-1)


@torch.inference_mode()
def read_layers_along_answer(
    lm: LanguageModel,
    head: ExitHead,
    question_id: str,
    prompt: str,
    *,
    is_chat: bool = False,
    question: str = "",
    answer: str | None = None,
    max_new_tokens: int = 20,
    whole_text: bool = False,
    num_top: int = 10,
    site: str = RESID_POST,
) -> LensTable:
    """Read every layer along an answer to ``prompt``.

    Args:
        lm: The model.
        head: How early layers are read.
        question_id: For the table.
        prompt: The exact text sent to the model.
        is_chat: Whether the prompt has its special tokens already.
        question: The part of the prompt in which control tokens are text.
        answer: Its text; ``None`` takes the whole model's greedy one.
        max_new_tokens: Longest greedy answer.
        whole_text: Read the prompt's positions too, except the first.
        num_top: Most probable tokens of each readout in the table.
        site: Where each block is read, one of ``SITES``.

    Raises:
        SettingsError: The prompt or the answer is empty, ``num_top`` is out of range, or ``lm`` or ``head`` cannot be
            read at ``site``.
        ContextTooLongError: Prompt and answer are longer than the model can attend over.
        NotEnoughMemoryError: They do not fit.
        NotFiniteError: A logit is infinite or undefined.
    """
    prompt_ids = lm.tokenize(prompt, is_chat=is_chat, question=question)
    if not prompt_ids:
        raise SettingsError("the lens needs a prompt; got an empty one")
    if answer is None:
        if len(prompt_ids) + max_new_tokens > lm.max_positions:
            raise ContextTooLongError(
                f"a prompt of {len(prompt_ids)} tokens and {max_new_tokens} more exceed this model's window of "
                f"{lm.max_positions}"
            )
        answer_rule = chat_rule(prompt) if is_chat else FIRST_LINE
        greedy = SamplingSettings(temperature=0, max_new_tokens=max_new_tokens)
        policy = early_exit(
            run_prompt(lm, prompt_ids, answer_rule), head, greedy, question_id, [[(lm.num_hidden_layers, 0)]]
        )
        (sample,) = (sample for progress in follow(lm, policy) for sample in progress.finished)
        token_ids, first = [*prompt_ids, *sample.completion_token_ids], len(prompt_ids)
    else:
        if not answer.strip():
            raise SettingsError("the lens needs an answer with a letter in it; leave it out for the greedy one")
        space = "" if prompt[-1:].isspace() else " "
        token_ids = lm.tokenize(prompt + space + answer.strip(), is_chat=is_chat, question=question)
        # A tokenizer may join the prompt's end and the answer's start: the answer begins at the first other token.
        is_same = [one == other for one, other in zip(prompt_ids, token_ids, strict=False)]
        first = is_same.index(False) if False in is_same else len(prompt_ids)
    return read_layers(lm, head, question_id, prompt, token_ids, 1 if whole_text else max(first, 1), num_top, site)
