"""A causal language model, split into the parts that early exit needs. ``pretrained`` reads one from disk."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hcl_core.decode.model.decoder_block import Attend, DecoderBlock, fuses_on, rms_norm
from hcl_core.decode.model.facts import ModelFacts
from hcl_core.decode.model.families import check_fast, max_positions
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.decode.model.linear import product_with
from hcl_core.decode.model.prompt_tokens import PromptTokens
from hcl_core.models.engines import FAST
from hcl_core.models.shapes import ModelShape


class CausalLM(LanguageModel):
    """Embedding, decoder blocks, final norm and unembedding of a family of the fast engine.

    It is the fast engine's. The other attributes are those of ``LanguageModel``.

    Attributes:
        num_heads: Query heads per block.
        num_key_value_heads: Key/value heads per block (fewer than ``num_heads`` under grouped-query attention).
        head_dim: Width of one head.
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
        check_fast(config)
        super().__init__(model, tokenizer, name, weights_hash, revision)
        self._facts = ModelFacts.of(config)
        decoder: Any = model.model
        self._embed_tokens, self._norm, self._rotary_emb = decoder.embed_tokens, decoder.norm, decoder.rotary_emb
        self.num_hidden_layers = len(decoder.layers)
        self.hidden_size = int(config.hidden_size)
        self.intermediate_size = int(config.intermediate_size)
        self.num_heads = int(config.num_attention_heads)
        self.num_key_value_heads = int(config.num_key_value_heads)
        self.head_dim = int(decoder.layers[0].self_attn.head_dim)
        self.max_positions = max_positions(config)
        self.readout_device = self._norm.weight.device
        self.dtype = self._norm.weight.dtype
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

    def embed(self, token_ids: Tensor) -> Tensor:
        """``[n]`` token ids to ``[n, hidden_size]``."""
        hidden: Tensor = self._embed_tokens(token_ids.to(self._embed_tokens.weight.device))
        if self._facts.embedding_scale != 1:
            hidden = hidden * self._facts.embedding_scale
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

    def unembed(self, normed: Tensor, out: Tensor) -> Tensor:
        """Logits of ``normed``; see ``LanguageModel.unembed``."""
        logits = out[: len(normed)]
        # A quarter of the scratch memory a product on a CPU: larger temporaries are newly mapped, and page faults then
        # cost as much as the product.
        chunk = self.readout_rows(4) if out.device.type == "cpu" else len(normed)
        for rows, target in zip(normed.split(chunk), logits.split(chunk), strict=True):
            target.copy_(self._unembed(rows))
        return logits if self._facts.logits_scale == 1 else logits.mul_(self._facts.logits_scale)

    def logits_of(self, hidden: Tensor, vocabulary: Tensor) -> Tensor:
        """Float32 logits of some tokens only; see ``LanguageModel.logits_of``."""
        normed = F.rms_norm(hidden.float(), (self.hidden_size,), self._norm.weight.float(), self._norm.variance_epsilon)
        token_ids = vocabulary.to(self._head_weight.device)
        bias = self._head_bias[token_ids].float() if self._head_bias is not None else None
        return F.linear(normed, self._head_weight[token_ids].float(), bias) * self._facts.logits_scale


def _unmap(model: nn.Module) -> None:
    """Copy the remaining weights out of the memory-mapped file: one view into it would keep all of it in memory."""
    for weights in model.parameters():
        if weights.device.type == "cpu" and weights.numel():
            weights.data = weights.data.clone()
