"""How rows of many trees attend to their own prompts and paths: the names, and which is taken where. Free of torch."""

from typing import Literal

AttentionKind = Literal["by_tree", "gathered", "masked", "flex"]

BY_TREE: AttentionKind = "by_tree"
GATHERED: AttentionKind = "gathered"
MASKED: AttentionKind = "masked"
FLEX: AttentionKind = "flex"
# All but ``BY_TREE`` keep keys and values in one pool for all trees: ``decode.trie.pooled_attention``.
ATTENTION_KINDS: tuple[AttentionKind, ...] = (BY_TREE, GATHERED, MASKED, FLEX)

# On every device but a CPU. Not measured on a GPU yet: chosen because its work grows with the rows alone.
ATTENTION_OFF_CPU: AttentionKind = GATHERED

# Rows of one tree that ``GATHERED`` takes together: as many as a GPU's matrix unit has rows.
TILE_ROWS = 16


def attention_on(device_type: str) -> AttentionKind:
    """The kind for a device, as torch names it. On a CPU tree by tree, where answers must keep their bits."""
    return BY_TREE if device_type == "cpu" else ATTENTION_OFF_CPU


def blocks_kept(kind: AttentionKind, num_hidden_layers: int, exit_layer: int) -> int:
    """Blocks for whose keys and values a node takes memory when it runs ``exit_layer`` of them.

    In a pool a node has the same slot in every layer, also in those that it does not reach.
    """
    return exit_layer if kind == BY_TREE else num_hidden_layers
