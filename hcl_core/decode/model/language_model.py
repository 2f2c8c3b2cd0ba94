"""What every engine's model has: a name, sizes, a tokenizer, and readouts of hidden states."""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from hcl_core.decode.model.prompt_tokens import PromptTokens
from hcl_core.decode.model.token_texts import TokenTexts
from hcl_core.models.engines import EngineName
from hcl_core.models.footprint import readout_rows
from hcl_core.models.shapes import ModelShape


class LanguageModel(ABC):
    """A causal language model that can be read after each of its blocks.

    Attributes:
        name: Catalogue name, Hub id or folder name.
        engine: What computes it; see ``models.engines``.
        num_hidden_layers: Decoder blocks.
        hidden_size: Width of the residual stream.
        vocab_size: Entries of a row of logits.
        max_positions: Longest text the model can attend over exactly, in tokens.
        stop_token_ids: Tokens that end a text.
        layer_devices: Device of each block, ``num_hidden_layers`` entries.
        readout_device: Device of the logits, and of the hidden states that are kept.
        dtype: Of hidden states, keys and values.
        shape: All sizes.
        weights_hash: Hash of the whole weight files, whatever the number format in memory; empty: not from files.
        revision: A Hub commit, a wheel's version or a folder's fingerprint; empty: not from files.

    Args:
        model: A ``transformers`` causal LM.
        tokenizer: Its tokenizer.
        name: See the attribute.
        weights_hash: See the attribute.
        revision: See the attribute.
    """

    engine: EngineName
    num_hidden_layers: int
    hidden_size: int
    vocab_size: int
    max_positions: int
    layer_devices: list[torch.device]
    readout_device: torch.device
    dtype: torch.dtype
    shape: ModelShape
    _tokens: PromptTokens

    def __init__(self, model: Any, tokenizer: Any, name: str, weights_hash: str, revision: str) -> None:
        model.eval().requires_grad_(False)
        self.name, self.config, self.tokenizer = name, model.config, tokenizer
        self.weights_hash, self.revision = weights_hash, revision
        self.stop_token_ids = _stop_token_ids(model, tokenizer)
        self._quantized = _quantized_format(model)

    @property
    def dtype_name(self) -> str:
        """Number format of the weights, as ``--dtype`` names it, such as ``"float32"`` or ``"nf4"``."""
        return self._quantized or str(self.dtype).removeprefix("torch.")

    @property
    def device_name(self) -> str:
        """Device of the last block, such as ``"cuda:0"``; ``"mps:0"`` on an Apple GPU, though the CPU reads out."""
        return str(self.layer_devices[-1])

    @property
    def block_flops(self) -> int:
        """Floating-point operations of one token in one decoder block: two for each weight of its matrices."""
        return 2 * self.shape.row_weights

    def tokenize(self, prompt: str, *, is_chat: bool = False, question: str = "") -> list[int]:
        """Token ids of a prompt; see ``PromptTokens.tokenize``."""
        return self._tokens.tokenize(prompt, is_chat=is_chat, question=question)

    @property
    def has_chat_template(self) -> bool:
        """Whether ``wrap_chat`` can be used."""
        return self._tokens.has_chat_template

    def wrap_chat(self, user_turn: str) -> str:
        """``user_turn`` in the model's chat format; see ``PromptTokens.wrap_chat``."""
        return self._tokens.wrap_chat(user_turn)

    @property
    def end_of_turn_ids(self) -> frozenset[int]:
        """The token that ends a turn in the model's chat format; see ``PromptTokens.end_of_turn_ids``."""
        return self._tokens.end_of_turn_ids

    def detokenize(self, token_ids: list[int]) -> str:
        """Text of ``token_ids``, special tokens left out."""
        return self._tokens.detokenize(token_ids)

    @cached_property
    def token_texts(self) -> TokenTexts:
        """What the tokens' texts have."""
        return TokenTexts(self.detokenize)

    def token_text(self, token_id: int) -> str:
        """One token as people should see it: its text, or its name where it is special."""
        return self._tokens.token_text(token_id)

    @abstractmethod
    def final_norm(self, hidden: Tensor) -> Tensor:
        """``[n, hidden_size]`` to the same, ready for ``unembed``."""

    @abstractmethod
    def unembed(self, normed: Tensor, out: Tensor) -> Tensor:
        """Logits of ``normed [n, hidden_size]``, written into the float32 buffer ``out [n or more, vocab_size]``.

        Returns:
            The first ``n`` rows of ``out``.
        """

    @abstractmethod
    def logits_of(self, hidden: Tensor, vocabulary: Tensor) -> Tensor:
        """Float32 logits of some tokens only, by final norm and unembedding; differentiable.

        Args:
            hidden: ``[n, hidden_size]`` before the final norm.
            vocabulary: ``[v]`` token ids.

        Returns:
            ``[n, v]``.
        """

    def readout_rows(self, num_tables: int = 1) -> int:
        """Rows ``n`` at a time so that ``num_tables`` float32 tables ``[n, vocab_size]`` fit the scratch memory."""
        return readout_rows(self.vocab_size, num_tables, self.readout_device.type)

    def logits_buffer(self, num_rows: int) -> Tensor:
        """Uninitialised float32 ``[num_rows, vocab_size]`` for ``unembed`` to fill."""
        # Pad rows by 16 floats: a power-of-two stride maps all rows to the same cache sets.
        padded = torch.empty(num_rows, self.vocab_size + 16, device=self.readout_device)
        return padded[:, : self.vocab_size]


def _quantized_format(model: Any) -> str | None:
    """``"int8"`` or ``"nf4"``, or ``None`` where the weights are plain numbers."""
    if getattr(model, "is_loaded_in_8bit", False):
        return "int8"
    return "nf4" if getattr(model, "is_loaded_in_4bit", False) else None


def _stop_token_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """What ``generate`` stops at, and the tokenizer's own end token."""
    end = getattr(model.generation_config, "eos_token_id", None)
    listed = end if isinstance(end, (list, tuple)) else [end]
    return frozenset(token for token in (*listed, getattr(tokenizer, "eos_token_id", None)) if token is not None)
