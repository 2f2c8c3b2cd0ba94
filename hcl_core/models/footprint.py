"""How much memory a model and a run take, before anything is loaded.

It needs a model's shape only, so the catalogue's models are estimated without being on the machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hcl_core.models.attention_kinds import FLEX, GATHERED, TILE_ROWS, AttentionKind, attention_on, blocks_kept
from hcl_core.models.shapes import ModelShape

# Of a CPU: more would leave the caches, and newly mapped memory costs page faults.
_CPU_SCRATCH_BYTES = 96 * 2**20
# Of other devices: each chunk of rows reads all weights again. 1 GiB holds 400 rows or more of every model of the
# catalogue (paths of 50 tokens), and from about 300 rows on, the operations of a product take longer than reading its
# weights (989e12 operations and 3.35e12 bytes a second on an H100). A fixed number: an estimate made before loading
# would otherwise change with what is free.
_OTHER_SCRATCH_BYTES = 2**30
# ``decode.model.linear.MIN_ROWS``, repeated because that module loads torch; a test holds both equal.
MIN_READOUT_ROWS = 16


@dataclass(frozen=True, slots=True)
class WeightFormat:
    """Number format of the weights in memory.

    Attributes:
        name: As chosen with ``--dtype``.
        matrix_bytes: Bytes of one weight of a block's matrices, its share of scales included.
        number_bytes: Bytes of every other number: embeddings, norms, keys, values, activations.
        is_quantized: Whether it needs ``bitsandbytes``.
    """

    name: str
    matrix_bytes: float
    number_bytes: int
    is_quantized: bool = False


WEIGHT_FORMATS = {
    weight_format.name: weight_format
    for weight_format in (
        WeightFormat("float32", 4, 4),
        WeightFormat("bfloat16", 2, 2),
        WeightFormat("float16", 2, 2),
        # LLM.int8() (arXiv 2208.07339): a byte a weight, a float32 scale a row.
        WeightFormat("int8", 1.001, 2, is_quantized=True),
        # NF4 (QLoRA, arXiv 2305.14314): half a byte, an 8-bit scale for 64 weights, and a float32 one for 256 of those.
        WeightFormat("nf4", 0.5 + 1 / 64 + 4 / (64 * 256), 2, is_quantized=True),
    )
}


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes that a model and one answer take, by kind.

    Attributes:
        weights: The model.
        exit_head: A map for every layer but the last, if the head is linear.
        prompt: The prompt's keys and values.
        sample: The most that one answer can add to the trie: keys, values and hidden states.
        readouts: Logits and other short-lived tensors of a step.
    """

    weights: int
    exit_head: int
    prompt: int
    sample: int
    readouts: int

    @property
    def minimum(self) -> int:
        """Bytes that one answer needs. More answers are decoded in more waves."""
        return self.weights + self.exit_head + self.prompt + self.sample + self.readouts


def scratch_bytes(device_type: str) -> int:
    """Bytes for short-lived tensors of one step: so much for activations, and so much for logits.

    Args:
        device_type: As torch names it: ``"cpu"``, ``"cuda"``, ``"mps"``.
    """
    return _CPU_SCRATCH_BYTES if device_type == "cpu" else _OTHER_SCRATCH_BYTES


def row_scratch(shape: ModelShape, prompt_tokens: int, path_tokens: int) -> int:
    """Short-lived bytes of a trie's node in a block, as if all numbers were float32.

    Args:
        shape: Of the model.
        prompt_tokens: Length of the prompt.
        path_tokens: Tokens from the prompt's end to the node.
    """
    path = path_tokens * shape.kv_numbers
    activations = 3 * (shape.active_size or shape.intermediate_size) + 6 * shape.hidden_size + path
    scores = 3 * shape.num_attention_heads * (prompt_tokens + path_tokens)
    return 4 * (activations + scores)


def pooled_row_scratch(
    shape: ModelShape,
    kind: AttentionKind,
    number_bytes: int,
    prompt_tokens: int,
    path_tokens: int,
    num_slots: int,
    *,
    scores_in_memory: bool,
) -> int:
    """The same where attention reads a pool.

    Args:
        shape: Of the model.
        kind: Of the attention.
        number_bytes: Of a key's number.
        prompt_tokens: Length of the prompt.
        path_tokens: Tokens from the prompt's end to the node.
        num_slots: Of the pool.
        scores_in_memory: Whether scores are tables of their own, as where they have a soft cap.
    """
    tiled = kind == GATHERED
    # At most as many rows fill up the tiles as there are: so twice. The prompt is read once a tile.
    keys = 2 * (path_tokens + prompt_tokens // TILE_ROWS) * shape.kv_numbers if tiled else 0
    columns = 2 * (prompt_tokens + TILE_ROWS * path_tokens) if tiled else num_slots
    group = shape.num_attention_heads // shape.num_key_value_heads if tiled else 1
    # A mask of booleans, and as the numbers that are added to scores; text tables of 8 bytes a token.
    masks = 0 if kind == FLEX else (1 + number_bytes) * group * columns
    masks += 16 * (prompt_tokens + path_tokens)
    scores = 12 * shape.num_attention_heads * columns if scores_in_memory and kind != FLEX else 0
    activations = 3 * (shape.active_size or shape.intermediate_size) + 6 * shape.hidden_size
    return 4 * activations + number_bytes * keys + masks + scores


def readout_rows(vocab_size: int, num_tables: int, device_type: str) -> int:
    """How many rows are read out together, so that their tables over the vocabulary fit the scratch memory.

    Args:
        vocab_size: Width of a table.
        num_tables: Float32 tables of a row that the caller holds.
        device_type: As for ``scratch_bytes``. Off the CPU, a product and a draw make up to three more such tables of
            all rows; on a CPU they work in small blocks.
    """
    tables = num_tables if device_type == "cpu" else num_tables + 3
    return max(MIN_READOUT_ROWS, scratch_bytes(device_type) // (4 * tables * vocab_size))


def footprint(
    shape: ModelShape,
    weight_format: WeightFormat,
    *,
    on_cpu: bool = False,
    has_linear_head: bool = False,
    prompt_tokens: int = 256,
    max_new_tokens: int = 50,
    exit_layer: int | None = None,
) -> Footprint:
    """Memory of ``shape`` in ``weight_format``.

    Args:
        shape: Of the model.
        weight_format: Of its weights.
        on_cpu: On a CPU the packed copy of the unembedding is held beside the original, and scratch memory is small.
        has_linear_head: Whether the exit head has a map for each layer.
        prompt_tokens: Length of the prompt.
        max_new_tokens: Longest answer.
        exit_layer: Of the answer; ``None``: the last layer.
    """
    number = weight_format.number_bytes
    matrices = shape.num_hidden_layers * shape.matrix_weights
    weights = matrices * weight_format.matrix_bytes + (shape.num_weights - matrices) * number
    head = shape.vocab_size * shape.hidden_size * number
    scratch = scratch_bytes("cpu" if on_cpu else "cuda")
    return Footprint(
        weights=int(weights) + (head if on_cpu else 0),
        exit_head=(shape.num_hidden_layers - 1) * shape.hidden_size**2 * number if has_linear_head else 0,
        prompt=prompt_tokens * shape.num_hidden_layers * shape.kv_numbers * number,
        sample=wave_bytes(shape, number, max_new_tokens, [exit_layer or shape.num_hidden_layers], on_cpu=on_cpu),
        readouts=scratch + max(scratch, 4 * MIN_READOUT_ROWS * shape.vocab_size),
    )


def sample_bytes(shape: ModelShape, number_bytes: int, max_new_tokens: int, exit_layer: int) -> int:
    """The most that one answer can add: a new node each step, kept to ``exit_layer`` and read out once."""
    numbers = exit_layer * shape.kv_numbers + shape.hidden_size
    # A node's row numbers: of its keys in each layer, and of its states; both tables grow by doubling.
    index = 2 * (8 * shape.num_hidden_layers + 4 * (shape.num_hidden_layers + 1))
    return max_new_tokens * (numbers * number_bytes + index)


def wave_bytes(
    shape: ModelShape, number_bytes: int, max_new_tokens: int, exit_layers: Sequence[int], *, on_cpu: bool = False
) -> int:
    """The most that one answer at each of ``exit_layers`` can add together."""
    kind = attention_on("cpu" if on_cpu else "cuda")
    kept = [blocks_kept(kind, shape.num_hidden_layers, exit_layer) for exit_layer in exit_layers]
    return sum(sample_bytes(shape, number_bytes, max_new_tokens, num_blocks) for num_blocks in kept)
