"""A causal language model, split into the parts that early exit needs. ``pretrained`` reads one from disk."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hcl_core.decode.model.attention import Limits, soft_cap
from hcl_core.decode.model.decoder_block import Attend, DecoderBlock, fuses_on
from hcl_core.decode.model.families import check_fast, longest_text
from hcl_core.decode.model.family.table import parts_of
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.decode.model.linear import product_with
from hcl_core.decode.model.norms import Norm
from hcl_core.decode.model.prompt_tokens import PromptTokens
from hcl_core.models.attention_kinds import AttentionKind, attention_on
from hcl_core.models.engines import FAST
from hcl_core.models.shapes import ModelShape


class CausalLM(LanguageModel):
    """Embedding, decoder blocks, final norm and unembedding of a family of the fast engine.

    It is the fast engine's. The other attributes are those of ``LanguageModel``.

    Attributes:
        num_heads: Query heads per block.
        num_key_value_heads: Key/value heads per block (fewer than ``num_heads`` under grouped-query attention).
        head_dim: Width of one head.
        limits: Of each block's attention, ``num_hidden_layers`` entries.
        attention: How the rows of trees attend; ``models.attention_kinds``.
    """

    engine = FAST

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
        attention: AttentionKind | None = None,
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
            attention: See the attribute; ``None``: that of the blocks' device.

        Raises:
            UnsupportedArchitectureError: The family or its position scaling is unknown here.
            DamagedModelError: The tokenizer has tokens that the model has no embedding for.
        """
        config: Any = model.config
        check_fast(config)
        super().__init__(model, tokenizer, name, weights_hash, revision)
        self._parts = parts = parts_of(model)
        self.num_hidden_layers = len(parts.blocks)
        self.vocab_size, is_tied = int(parts.head.weight.shape[0]), parts.head.weight is parts.embedding.weight
        sizes = config.to_dict() | {"vocab_size": self.vocab_size, "tie_word_embeddings": is_tied}
        self.shape = shape = ModelShape.of_config(sizes)
        self.hidden_size, self.num_heads = shape.hidden_size, shape.num_attention_heads
        self.num_key_value_heads, self.head_dim = shape.num_key_value_heads, shape.head_dim
        self.max_positions = longest_text(config)
        norm: Tensor = parts.final_norm.module.weight
        self.readout_device, self.dtype = norm.device, norm.dtype
        self._blocks = [DecoderBlock(block, release=release, is_fused=is_fused) for block in parts.blocks]
        self.layer_devices = [block.device for block in self._blocks]
        self.is_parallel = any(block.is_parallel for block in self._blocks)
        self.limits: list[Limits] = [block.limits for block in self._blocks]
        device_type = self.layer_devices[0].type
        self.attention: AttentionKind = attention or attention_on(device_type)
        # Torch has kernels for a CPU and for CUDA that keep no scores in memory; none has a soft cap.
        self.scores_in_memory = device_type not in ("cpu", "cuda") or any(each.soft_cap for each in self.limits)
        self._norm = Norm(parts.final_norm, is_fused=fuses_on(self.readout_device) if is_fused is None else is_fused)
        self._tokens = PromptTokens(tokenizer, self.vocab_size, name)
        self._unembed = product_with(parts.head)
        if release:
            _unmap(model)

    def embed(self, token_ids: Tensor, positions: Tensor) -> Tensor:
        """``[n]`` token ids at ``[n]`` positions of their texts to ``[n, hidden_size]``."""
        parts = self._parts
        hidden: Tensor = parts.embedding(token_ids.to(parts.embedding.weight.device))
        if parts.positions is not None:
            hidden = hidden + parts.positions(positions.to(parts.positions.weight.device)).to(hidden.device)
        if parts.embedding_scale != 1:
            hidden = hidden * parts.embedding_scale
        return hidden.to(self.layer_devices[0])

    def rotary(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines for ``[n]`` positions, each ``[n, r, rotary_dim]`` of ``r`` rotary embeddings."""
        like = torch.empty(0, dtype=self.dtype, device=self.layer_devices[0])
        places = positions.to(like.device)[None]
        if not self._parts.rotaries:
            return like.new_empty(len(positions), 0, 0), like.new_empty(len(positions), 0, 0)
        cos, sin = zip(*(rotary(like, places) for rotary in self._parts.rotaries), strict=True)
        return torch.cat(cos).transpose(0, 1), torch.cat(sin).transpose(0, 1)

    def block(
        self,
        layer: int,
        hidden: Tensor,
        rotary: tuple[Tensor, Tensor],
        attend: Attend,
        added: list[Tensor] | None = None,
    ) -> Tensor:
        """Run decoder block ``layer`` (from 0).

        Args:
            layer: Which block.
            hidden: ``[n, hidden_size]``, on the block's device.
            rotary: From ``rotary``; broadcasts over rows.
            attend: Stores the keys and values, and mixes the values.
            added: Gets what attention adds to ``hidden``, then what the MLP adds, ``[n, hidden_size]`` each.

        Returns:
            ``[n, hidden_size]``.
        """
        return self._blocks[layer](hidden, rotary, attend, added)

    def final_norm(self, hidden: Tensor) -> Tensor:
        """``[n, hidden_size]`` to the same, ready for ``unembed``."""
        return self._norm(hidden)

    def unembed(self, normed: Tensor, out: Tensor) -> Tensor:
        """Logits of ``normed``; see ``LanguageModel.unembed``."""
        logits = out[: len(normed)]
        # A quarter of the scratch memory a product on a CPU: larger temporaries are newly mapped, and page faults then
        # cost as much as the product.
        chunk = self.readout_rows(4) if out.device.type == "cpu" else len(normed)
        for rows, target in zip(normed.split(chunk), logits.split(chunk), strict=True):
            target.copy_(self._cap(self._unembed(rows)))
        return logits if self._parts.logits_scale == 1 else logits.mul_(self._parts.logits_scale)

    def logits_of(self, hidden: Tensor, vocabulary: Tensor) -> Tensor:
        """Float32 logits of some tokens only; see ``LanguageModel.logits_of``."""
        head = self._parts.head
        token_ids = vocabulary.to(head.weight.device)
        bias = head.bias[token_ids].float() if head.bias is not None else None
        logits = F.linear(self._norm.in_float32(hidden), head.weight[token_ids].float(), bias)
        return self._cap(logits) * self._parts.logits_scale

    def _cap(self, logits: Tensor) -> Tensor:
        cap = self._parts.logits_soft_cap
        return logits if cap is None else soft_cap(logits, cap)


def _unmap(model: nn.Module) -> None:
    """Copy the remaining weights out of the memory-mapped file: one view into it would keep all of it in memory."""
    for weights in model.parameters():
        if weights.device.type == "cpu" and weights.numel():
            weights.data = weights.data.clone()
