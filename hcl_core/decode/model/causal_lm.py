"""A causal language model, split into the parts that early exit needs. ``pretrained`` reads one from disk."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hcl_core.decode.model.decoder_block import Attend, DecoderBlock, fuses_on, rms_norm
from hcl_core.decode.model.families import check_architecture, max_positions
from hcl_core.decode.model.linear import product_with
from hcl_core.decode.model.prompt_tokens import PromptTokens
from hcl_core.models.footprint import readout_rows
from hcl_core.models.shapes import ModelShape


class CausalLM:
    """Embedding, decoder blocks, final norm and unembedding of a Llama, Mistral, Qwen2 or Qwen3 model.

    Attributes:
        name: Catalogue name, Hub id or folder name.
        num_hidden_layers: Decoder blocks.
        hidden_size: Width of the residual stream.
        num_heads: Query heads per block.
        num_key_value_heads: Key/value heads per block (fewer than ``num_heads`` under grouped-query attention).
        head_dim: Width of one head.
        vocab_size: Rows of the unembedding.
        max_positions: Longest text the model can attend over exactly, in tokens.
        stop_token_ids: Tokens that end a text.
        layer_devices: Device of each block, ``num_hidden_layers`` entries.
        readout_device: Device of the final norm and the unembedding.
        dtype: Of hidden states, keys and values.
        shape: All sizes.
        weights_hash: Hash of the whole weight files, whatever the number format in memory; empty: not from files.
        revision: A Hub commit, a wheel's version or a folder's fingerprint; empty: not from files.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        name: str = "this model",
        *,
        weights_hash: str = "",
        revision: str = "",
        release: bool = False,
        is_fused: bool | None = None,
    ) -> None:
        """Split ``model`` into its parts.

        Args:
            model: A ``transformers`` causal LM of a supported family, in evaluation mode.
            tokenizer: Its tokenizer.
            name: For people and messages.
            weights_hash: See the attribute.
            revision: See the attribute.
            release: Free the weights of ``model`` that are kept here in another form; it can't be used afterwards.
            is_fused: See ``DecoderBlock``; of the final norm too.

        Raises:
            UnsupportedArchitectureError: The family or its position scaling is unknown here.
            DamagedModelError: The tokenizer has tokens that the model has no embedding for.
        """
        config: Any = model.config
        check_architecture(config)
        self.name = name
        self.config = config
        self.tokenizer = tokenizer
        model.eval().requires_grad_(False)
        self.weights_hash, self.revision = weights_hash, revision
        self._quantized = _quantized_format(model)
        decoder: Any = model.model
        self._embed_tokens, self._norm, self._rotary_emb = decoder.embed_tokens, decoder.norm, decoder.rotary_emb
        self.num_hidden_layers = len(decoder.layers)
        self.hidden_size = int(config.hidden_size)
        self.intermediate_size = int(config.intermediate_size)
        self.num_heads = int(config.num_attention_heads)
        self.num_key_value_heads = int(config.num_key_value_heads)
        self.head_dim = int(decoder.layers[0].self_attn.head_dim)
        self.max_positions = max_positions(config)
        self.stop_token_ids = _stop_token_ids(model, tokenizer)
        self.readout_device = self._norm.weight.device
        self.dtype: torch.dtype = self._norm.weight.dtype
        self._blocks = [DecoderBlock(block, release=release, is_fused=is_fused) for block in decoder.layers]
        self.layer_devices = [block.device for block in self._blocks]
        self._fuses_norm = fuses_on(self.readout_device) if is_fused is None else is_fused
        lm_head: Any = model.lm_head
        self.vocab_size = int(lm_head.weight.shape[0])
        self._tokens = PromptTokens(tokenizer, self.vocab_size, name)
        self.shape = ModelShape(
            self.num_hidden_layers,
            self.hidden_size,
            self.intermediate_size,
            self.num_heads,
            self.num_key_value_heads,
            self.head_dim,
            self.vocab_size,
            lm_head.weight is self._embed_tokens.weight,
        )
        self._head_weight, self._head_bias = lm_head.weight, lm_head.bias  # fitting a head reads some rows
        self._unembed = product_with(lm_head)
        if release:
            _unmap(model)

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
        return 2 * self.shape.matrix_weights

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

    def token_text(self, token_id: int) -> str:
        """One token as people should see it: its text, or its name where it is special."""
        return self._tokens.token_text(token_id)

    def embed(self, token_ids: Tensor) -> Tensor:
        """``[n]`` token ids to ``[n, hidden_size]``."""
        hidden: Tensor = self._embed_tokens(token_ids.to(self._embed_tokens.weight.device))
        return hidden.to(self.layer_devices[0])

    def rotary(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines for ``[n]`` positions, each ``[n, 1, head_dim]``."""
        like = torch.empty(0, dtype=self.dtype, device=self.layer_devices[0])
        cos, sin = self._rotary_emb(like, positions.to(like.device)[None])
        return cos[0].unsqueeze(1), sin[0].unsqueeze(1)

    def block(self, layer: int, hidden: Tensor, rotary: tuple[Tensor, Tensor], attend: Attend) -> Tensor:
        """Run decoder block ``layer`` (from 0).

        Args:
            layer: Which block.
            hidden: ``[n, hidden_size]``, on the block's device.
            rotary: From ``rotary``; broadcasts over rows.
            attend: Stores the keys and values, and mixes the values.

        Returns:
            ``[n, hidden_size]``.
        """
        return self._blocks[layer](hidden, rotary, attend)

    def final_norm(self, hidden: Tensor) -> Tensor:
        """``[n, hidden_size]`` to the same, ready for ``unembed``."""
        return rms_norm(self._norm, hidden, is_fused=self._fuses_norm)

    def readout_rows(self, num_tables: int = 1) -> int:
        """Rows ``n`` at a time so that ``num_tables`` float32 tables ``[n, vocab_size]`` fit the scratch memory."""
        return readout_rows(self.vocab_size, num_tables, self.readout_device.type)

    def logits_buffer(self, num_rows: int) -> Tensor:
        """Uninitialised float32 ``[num_rows, vocab_size]`` for ``unembed`` to fill."""
        # Pad rows by 16 floats: a power-of-two stride maps all rows to the same cache sets.
        padded = torch.empty(num_rows, self.vocab_size + 16, device=self.readout_device)
        return padded[:, : self.vocab_size]

    def unembed(self, normed: Tensor, out: Tensor) -> Tensor:
        """Logits of ``normed [n, hidden_size]``, written into the float32 buffer ``out [n or more, vocab_size]``.

        Returns:
            The first ``n`` rows of ``out``.
        """
        logits = out[: len(normed)]
        # A quarter of the scratch memory a product on a CPU: larger temporaries are newly mapped, and page faults then
        # cost as much as the product.
        chunk = self.readout_rows(4) if out.device.type == "cpu" else len(normed)
        for rows, target in zip(normed.split(chunk), logits.split(chunk), strict=True):
            target.copy_(self._unembed(rows))
        return logits

    def logits_of(self, hidden: Tensor, vocabulary: Tensor) -> Tensor:
        """Float32 logits of some tokens only, by final norm and unembedding; differentiable.

        Args:
            hidden: ``[n, hidden_size]`` before the final norm.
            vocabulary: ``[v]`` token ids.

        Returns:
            ``[n, v]``.
        """
        normed = F.rms_norm(hidden.float(), (self.hidden_size,), self._norm.weight.float(), self._norm.variance_epsilon)
        token_ids = vocabulary.to(self._head_weight.device)
        bias = self._head_bias[token_ids].float() if self._head_bias is not None else None
        return F.linear(normed, self._head_weight[token_ids].float(), bias)


def _quantized_format(model: Any) -> str | None:
    """``"int8"`` or ``"nf4"``, or ``None`` where the weights are plain numbers."""
    if getattr(model, "is_loaded_in_8bit", False):
        return "int8"
    return "nf4" if getattr(model, "is_loaded_in_4bit", False) else None


def _unmap(model: nn.Module) -> None:
    """Copy the remaining weights out of the memory-mapped file: one view into it would keep all of it in memory."""
    for weights in model.parameters():
        if weights.device.type == "cpu" and weights.numel():
            weights.data = weights.data.clone()


def _stop_token_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """What ``generate`` stops at, and the tokenizer's own end token."""
    end = getattr(model.generation_config, "eos_token_id", None)
    listed = end if isinstance(end, (list, tuple)) else [end]
    return frozenset(token for token in (*listed, getattr(tokenizer, "eos_token_id", None)) if token is not None)
