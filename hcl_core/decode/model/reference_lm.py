"""A causal language model as ``transformers`` computes it: any decoder-only family, exact and slower.

Blocks, masks, positions, cache, final norm and head with its scale or soft cap are the model's own. The state after
each block is caught in one pass; it is read out by the model itself, whose blocks return that state meanwhile.
"""

import copy
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from hcl_core.decode.model.families import longest_text
from hcl_core.decode.model.inside_blocks import Watch, watched
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.decode.model.linear import MIN_ROWS, pad_rows
from hcl_core.decode.model.prompt_tokens import PromptTokens
from hcl_core.decode.model.truncation import BlockStack
from hcl_core.errors import UnsupportedArchitectureError
from hcl_core.models.engines import REFERENCE
from hcl_core.models.shapes import ModelShape
from hcl_core.text import one_line

# Tokens of the text that a model is tried with, and how many of them come in the first of two pieces.
_TRIED_TOKENS, _FIRST_PIECE = 7, 4


class ReferenceLM(LanguageModel):
    """The reference engine's model. The attributes are those of ``LanguageModel``.

    Args:
        model: A ``transformers`` causal LM, on the device where it shall run; used from now on.
        tokenizer: Its tokenizer.
        name: For people and messages.
        weights_hash: See ``LanguageModel``.
        revision: See ``LanguageModel``.

    Raises:
        UnsupportedArchitectureError: The model cut after a layer is not defined by its blocks.
        DamagedModelError: The tokenizer has tokens that the model has no embedding for.
    """

    engine = REFERENCE

    def __init__(
        self, model: Any, tokenizer: Any, name: str = "this model", *, weights_hash: str = "", revision: str = ""
    ) -> None:
        super().__init__(model, tokenizer, name, weights_hash, revision)
        self._stack = BlockStack(model)
        embedding: nn.Module = model.get_input_embeddings()
        weight: Tensor = embedding.weight  # type: ignore[assignment]
        self._device, self.dtype = weight.device, weight.dtype
        self.shape = shape_of(model)
        self.num_hidden_layers, self.hidden_size = self.shape.num_hidden_layers, self.shape.hidden_size
        self.vocab_size = self.shape.vocab_size
        self.max_positions = longest_text(self._stack.decoder.config)
        self.layer_devices = [self._device] * self.num_hidden_layers
        # Draws are made in float64, which Metal lacks.
        self.readout_device = torch.device("cpu") if self._device.type == "mps" else self._device
        self._tokens = PromptTokens(tokenizer, self.vocab_size, name)
        self._try(model)

    def run(
        self, token_ids: Tensor, num_layers: int, cache: Any = None, watch: Watch | None = None
    ) -> tuple[list[Tensor], Any]:
        """The states ``[b, t, hidden_size]`` after each of the first layers, and the cache; see ``BlockStack.run``.

        ``watch`` is told what each block adds to the states, where that is found; see ``inside_blocks``.
        """
        with watched(self._stack.blocks, watch) if watch is not None else nullcontext():
            return self._stack.run(token_ids.to(self._device), num_layers, cache)

    def spread(self, cache: Any, num_texts: int) -> Any:
        """A copy of the cache of one text, for so many that begin with it."""
        spread = copy.deepcopy(cache)
        spread.batch_repeat_interleave(num_texts)
        return spread

    def final_norm(self, hidden: Tensor) -> Tensor:
        """``hidden`` itself: the model's own norm is part of ``unembed``."""
        return hidden

    def unembed(self, normed: Tensor, out: Tensor) -> Tensor:
        """Logits of hidden states before the final norm; see ``LanguageModel.unembed``."""
        logits = out[: len(normed)]
        rows = pad_rows(normed.to(self._device), MIN_ROWS)
        logits.copy_(self._stack.read(rows)[: len(normed)])
        return logits

    def logits_of(self, hidden: Tensor, vocabulary: Tensor) -> Tensor:
        """Float32 logits of some tokens only; see ``LanguageModel.logits_of``."""
        logits = self._stack.read(hidden.to(self._device, self.dtype))
        return logits[:, vocabulary.to(logits.device)].float()

    @torch.inference_mode()
    def _try(self, model: Any) -> None:
        """Raise ``UnsupportedArchitectureError`` unless the states are those of the model that is cut after a layer.

        They must not depend on later tokens, nor on where a text is cut in two; and read out, they must be the logits
        of the cut model.
        """
        token_ids = torch.arange(_TRIED_TOKENS, device=self._device)[None] % self.vocab_size
        try:
            whole, cache = self.run(token_ids, self.num_hidden_layers)
            if whole[0].shape[-1] != self.hidden_size:
                raise self._refused("its blocks hand on more than one hidden state")
            self.spread(cache, 2).batch_select_indices(torch.zeros(1, dtype=torch.int64, device=self._device))
            first, cache = self.run(token_ids[:, :_FIRST_PIECE], self.num_hidden_layers)
            second, _ = self.run(token_ids[:, _FIRST_PIECE:], self.num_hidden_layers, cache)
            for states, *pieces in zip(whole, first, second, strict=True):
                if not _are_alike(torch.cat(pieces, dim=1), states):
                    raise self._refused("a state depends on later tokens, or its cache leaves something out")
            for layer in sorted({1, self.num_hidden_layers // 2 or 1, self.num_hidden_layers}):
                with self._stack.cut_to(layer):
                    logits = model(input_ids=token_ids, use_cache=False).logits[0]
                if not _are_alike(self._stack.read(whole[layer - 1][0]), logits):
                    raise self._refused(f"the model cut after layer {layer} is not what its blocks compute")
        except (
            AttributeError,
            IndexError,
            KeyError,
            NotImplementedError,
            TypeError,
            ValueError,
            RuntimeError,
        ) as error:
            if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
                raise
            reason = one_line(str(error))[:120] or type(error).__name__
            raise self._refused(f"a trial of it fails with: {reason}") from error

    def _refused(self, reason: str) -> UnsupportedArchitectureError:
        return UnsupportedArchitectureError(
            f"model family {self.config.model_type!r} cannot be read at its early layers: {reason}"
        )


def shape_of(model: Any) -> ModelShape:
    """The sizes of any causal LM. Blocks of experts count as one block with as many weights.

    Args:
        model: Of ``transformers``; its weights may be on the meta device.
    """
    stack = BlockStack(model)
    config = stack.decoder.config
    hidden, heads = int(config.hidden_size), int(config.num_attention_heads)
    num_kv_heads = getattr(config, "num_key_value_heads", None) or heads
    if getattr(config, "multi_query", False) and not getattr(config, "new_decoder_architecture", False):
        num_kv_heads = 1
    head_dim = int(getattr(config, "head_dim", None) or hidden // heads)
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    vocab_size = int(head.weight.shape[0] if head is not None else embedding.weight.shape[0])
    attention = 2 * (heads + int(num_kv_heads)) * head_dim
    per_block = sum(weights.numel() for weights in stack.blocks.parameters()) / len(stack.blocks)
    return ModelShape(
        len(stack.blocks),
        hidden,
        max(1, round((per_block / hidden - attention) / 3)),
        heads,
        int(num_kv_heads),
        head_dim,
        vocab_size,
        head is not None and head.weight is embedding.weight,
    )


def _are_alike(ours: Tensor, theirs: Tensor) -> bool:
    """Whether two tables ``[..., n, width]`` are the same but for rounding, in most rows.

    In half precision, rounding can send single tokens to other experts.
    """
    ours, theirs = ours.float(), theirs.float()
    errors = (ours - theirs).norm(dim=-1) / theirs.norm(dim=-1).clamp_min(1e-6)
    return bool(errors.median() < 0.05)
