"""Models of a known shape with random weights, made on their device: no file and no network is needed.

Their answers mean nothing, but cost what the answers of a trained model cost, except for how many tokens answers share.
That is set by the spread of the logits, their standard deviation over the vocabulary: at 1, nearly every answer differs
from its first token on; at 12, one token has most of the probability, and answers share most of their tokens.
"""

from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from hcl_core.models.shapes import ModelShape

_INITIAL_SPREAD = 0.02  # of the weights, as transformers initialises Llama
_SPECIAL_TOKENS = ("<s>", "</s>", "<unk>")
_WORD = r" ?\w+|\s|[^\w\s]"


def random_model(shape: ModelShape, dtype: torch.dtype, device: str, seed: int = 0) -> Any:
    """A Llama of ``shape`` as ``transformers`` has it, its weights drawn on ``device``."""
    config = AutoConfig.for_model(
        "llama",
        num_hidden_layers=shape.num_hidden_layers,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_attention_heads=shape.num_attention_heads,
        num_key_value_heads=shape.num_key_value_heads,
        head_dim=shape.head_dim,
        vocab_size=shape.vocab_size,
        tie_word_embeddings=shape.has_tied_head,
        max_position_embeddings=4096,
        initializer_range=_INITIAL_SPREAD,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    torch.manual_seed(seed)
    return _from_config(config, dtype, device)


def copy_on(model: Any, device: str) -> Any:
    """A model of the same weights on ``device``.

    They go by way of the host: not all machines copy from one GPU to another without errors, and GPUs of different
    kinds draw different numbers from one seed.
    """
    copied = _from_config(model.config, model.dtype, device)
    with torch.no_grad():
        for target, source in zip(copied.parameters(), model.parameters(), strict=True):
            target.copy_(source.cpu())
    return copied


def _from_config(config: Any, dtype: torch.dtype, device: str) -> Any:
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


def set_spread(model: Any, spread: float) -> None:
    """Scale the final norm so that logits have the standard deviation ``spread``: a normed state has unit numbers."""
    norm = model.model.norm.weight
    with torch.no_grad():
        norm.fill_(spread / (_INITIAL_SPREAD * norm.numel() ** 0.5))


def word_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """A token for each word and sign of ``texts``; the vocabulary's other numbers stand for no text."""
    split = pre_tokenizers.Split(Regex(_WORD), "isolated")
    words = sorted({word for text in texts for word, _ in split.pre_tokenize_str(text)})
    vocabulary = {word: number for number, word in enumerate((*_SPECIAL_TOKENS, *words))}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer, raw.decoder = split, decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
