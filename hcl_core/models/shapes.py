"""The numbers in a model's config that decide its size and the cost of a token."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from hcl_core.errors import DamagedModelError

# Layers, or experts of a layer: more are a mistake in a config. The deepest known models have fewer than 200.
_MOST_PARTS = 1_000
# Families whose MLP has two matrices, where Llama's has three.
_WITHOUT_GATE = ("gpt2", "gpt_neox")
# What GPT-2's config calls the numbers that others call so.
_GPT2_NAMES = {"num_attention_heads": "n_head", "num_hidden_layers": "n_layer", "hidden_size": "n_embd"}

# Families with experts: what the intermediate size of one is called.
_EXPERTS = {"mixtral": "intermediate_size", "qwen3_moe": "moe_intermediate_size"}


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The sizes of a decoder as a Llama has them; those of other families in the same numbers.

    Attributes:
        num_hidden_layers: Decoder blocks.
        hidden_size: Width of the residual stream.
        intermediate_size: Width between a block's up and down projections.
        num_attention_heads: Query heads.
        num_key_value_heads: Key/value heads; fewer than query heads under grouped-query attention.
        head_dim: Width of a head.
        vocab_size: Tokens.
        has_tied_head: Whether the unembedding is the embedding.
        active_size: The part of ``intermediate_size`` that a token goes through, where a block has experts of which the
            token has some; ``None``: all of it, or not known.
    """

    num_hidden_layers: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    has_tied_head: bool = False
    active_size: int | None = None

    def __post_init__(self) -> None:
        sizes = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "has_tied_head"}
        check_number_of_parts("num_hidden_layers", self.num_hidden_layers)
        if too_small := [f"{name} {size}" for name, size in sizes.items() if size is not None and size < 1]:
            raise DamagedModelError(f"its config must have sizes from 1; got {', '.join(too_small)}")

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> "ModelShape":
        """Read the content of a ``config.json``.

        Raises:
            DamagedModelError: A number is missing, or the value is no number.
        """
        try:
            family, active = config.get("model_type"), None
            if family in _WITHOUT_GATE:
                config = _as_gated(config)
            elif family in _EXPERTS:
                config, active = _as_one_mlp(config)
            heads = int(config["num_attention_heads"])
            return cls(
                int(config["num_hidden_layers"]),
                int(config["hidden_size"]),
                int(config["intermediate_size"]),
                heads,
                int(config.get("num_key_value_heads") or heads),
                int(config.get("head_dim") or int(config["hidden_size"]) // heads),
                int(config["vocab_size"]),
                bool(config.get("tie_word_embeddings", False)),
                active,
            )
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise DamagedModelError(f"its config lacks a number, or it is none: {error}") from None

    @property
    def matrix_weights(self) -> int:
        """Weights of one block's matrices."""
        attention = 2 * (self.num_attention_heads + self.num_key_value_heads) * self.head_dim
        return self.hidden_size * (attention + 3 * self.intermediate_size)

    @property
    def row_weights(self) -> int:
        """Weights of one block's matrices that a token is multiplied with."""
        left_out = self.intermediate_size - (self.active_size or self.intermediate_size)
        return self.matrix_weights - 3 * self.hidden_size * left_out

    @property
    def embedding_weights(self) -> int:
        """Weights of the embedding, and of the unembedding if that is a matrix of its own."""
        return self.vocab_size * self.hidden_size * (1 if self.has_tied_head else 2)

    @property
    def num_weights(self) -> int:
        """Weights of all matrices, embeddings and norms; biases are not counted."""
        norms = self.hidden_size * (2 * self.num_hidden_layers + 1)
        return self.num_hidden_layers * self.matrix_weights + self.embedding_weights + norms

    @property
    def kv_numbers(self) -> int:
        """Numbers in the keys and values of one token in one layer."""
        return 2 * self.num_key_value_heads * self.head_dim


def check_number_of_parts(name: str, number: int) -> None:
    """Raise ``DamagedModelError`` for more layers or experts than a model can have.

    Each takes memory, if it is only made without its weights, or named in a list.

    Args:
        name: What the config calls the number.
        number: What it says.
    """
    if number > _MOST_PARTS:
        raise DamagedModelError(f"its config says {name} {number:,}; at most {_MOST_PARTS:,} can be")


def _as_gated(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a Llama with as many weights as a family without a gate has, whose heads share nothing."""
    renamed = dict(config) | {"num_key_value_heads": None, "head_dim": None}
    if config["model_type"] == "gpt2":
        renamed |= {name: config[theirs] for name, theirs in _GPT2_NAMES.items() if theirs in config}
        renamed["intermediate_size"] = config.get("n_inner") or 4 * int(renamed["hidden_size"])
    return renamed | {"intermediate_size": round(2 * int(renamed["intermediate_size"]) / 3)}


def _as_one_mlp(config: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """The config of a model whose blocks have one MLP with the weights of all experts, and the part that a token has.

    Of both, the mean over blocks: some blocks of Qwen3-MoE have no experts.
    """
    experts = int(config["num_experts"] if "num_experts" in config else config["num_local_experts"])
    size = int(config[_EXPERTS[config["model_type"]]])
    num_layers, step = int(config["num_hidden_layers"]), int(config.get("decoder_sparse_step") or 1)
    plain = set(config.get("mlp_only_layers") or [])
    share = sum(layer not in plain and (layer + 1) % step == 0 for layer in range(num_layers)) / max(1, num_layers)
    of_plain = (1 - share) * int(config["intermediate_size"])
    mean, active = (round(share * number * size + of_plain) for number in (experts, int(config["num_experts_per_tok"])))
    return dict(config) | {"intermediate_size": mean}, active
