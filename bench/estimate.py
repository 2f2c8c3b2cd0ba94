"""What the paper's protocol would cost on one GPU, term by term: ``python -m bench.estimate``.

Arithmetic on the models' shapes, the GPU's data sheet and stated assumptions; nothing here was measured on a GPU;
``bench.gpu`` measures there. A question is 50 answers of 50 tokens at every second layer. Each term is the longer of
moving its bytes and doing its operations:

- weights: a step's rows go through the blocks in chunks whose activations fit the scratch memory, rows of near depth
  together; each chunk reads the matrices of the blocks up to its deepest row, and they multiply the rows;
- readouts: the unembedding is read once a chunk of rows; each row's logits are written once and read five times;
- keys and values: each row gathers its own path (read, written, read again) in each layer;
- launches: kernels that a block of a chunk and a readout of a chunk start, one after another.

Two rows a model: nothing is shared (every answer is unlike every other from its first token, and none ends early),
and the sharing that SmolLM2 with its linear head showed at T 0.6 (``bench.curves``). The published script's method, one
answer after another, is estimated alike: each token reads all weights below its exit.
"""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from bench.curves import OUT
from hcl_core.models.attention_kinds import GATHERED
from hcl_core.models.catalogue import find_model
from hcl_core.models.footprint import MIN_READOUT_ROWS, pooled_row_scratch, readout_rows, scratch_bytes
from hcl_core.models.shapes import ModelShape
from hcl_core.settings.layers import parse_layers

MODELS = ("layerskip-llama3.2-1b", "layerskip-llama2-7b", "layerskip-llama3-8b", "layerskip-llama2-13b")
LAYERS = "2::2"
# Reported for one model, by second-hand notes on the paper.
REPORTED_HOURS = 1066


@dataclass(frozen=True, slots=True)
class Protocol:
    """What a question asks for; the defaults are the paper's.

    Attributes:
        samples: Answers a layer.
        tokens: Longest answer.
        prompt_tokens: Length of the prompt.
    """

    samples: int = 50
    tokens: int = 50
    prompt_tokens: int = 128


PAPER = Protocol()


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU by its data sheet, and the part of it that is assumed to be reached.

    Attributes:
        name: Of the card.
        bandwidth: Bytes a second.
        flops: Dense bfloat16 operations a second.
        bandwidth_reach: Assumed share.
        flops_reach: Assumed share.
        launch: Assumed seconds for a kernel to start.
    """

    name: str
    bandwidth: float
    flops: float
    bandwidth_reach: float = 0.7
    flops_reach: float = 0.4
    launch: float = 5e-6

    def seconds(self, moved: float, operations: float) -> float:
        """The longer of moving ``moved`` bytes and doing ``operations``."""
        return max(moved / (self.bandwidth * self.bandwidth_reach), operations / (self.flops * self.flops_reach))


GPUS = (Gpu("A100 80 GB SXM", 2.039e12, 312e12), Gpu("H100 80 GB SXM", 3.35e12, 989e12))
# Counted by reading `DecoderBlock`, `LayerKv.attend` and `draw_tokens`, rounded up.
KERNELS_A_BLOCK, KERNELS_A_READOUT = 50, 40


@dataclass(frozen=True, slots=True)
class Sharing:
    """Share of the unshared work that remains.

    Attributes:
        blocks: Rows through blocks, against those of samples that share nothing and do not end early.
        readouts: Rows read out, likewise.
    """

    blocks: float = 1.0
    readouts: float = 1.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds a question, by term."""

    weights: float
    readouts: float
    keys_values: float
    launches: float
    one_at_a_time: float

    @property
    def total(self) -> float:
        """All terms, one after another."""
        return self.weights + self.readouts + self.keys_values + self.launches


def blocks_read(
    shape: ModelShape, exits: Sequence[int], sharing: Sharing, scratch: int, protocol: Protocol = PAPER
) -> int:
    """How often a block's matrices are read for a question: once for each block of each chunk of each step."""
    deepest_first = sorted(exits, reverse=True)
    rows_an_exit = protocol.samples * sharing.blocks
    num_read = 0
    for path_tokens in range(1, protocol.tokens + 1):
        # Gathered attention reads a tree's own slots, whatever the pool has.
        row = pooled_row_scratch(shape, GATHERED, 2, protocol.prompt_tokens, path_tokens, 0, scores_in_memory=False)
        chunk = max(MIN_READOUT_ROWS, scratch // row)
        starts = range(0, math.ceil(rows_an_exit * len(exits)), chunk)
        num_read += sum(deepest_first[int(start / rows_an_exit)] for start in starts)
    return num_read


def estimate(
    shape: ModelShape,
    gpu: Gpu,
    sharing: Sharing,
    exits: Sequence[int],
    *,
    number_bytes: int = 2,
    scratch: int = scratch_bytes("cuda"),
    protocol: Protocol = PAPER,
) -> Estimate:
    """Seconds a question on ``gpu``; ``number_bytes`` of a weight, ``scratch`` bytes for a chunk's activations."""
    deepest, samples, tokens = max(exits), protocol.samples, protocol.tokens
    rows = samples * sum(exits) * sharing.blocks  # a step's rows, summed over blocks
    block_bytes = shape.matrix_weights * number_bytes
    num_read = blocks_read(shape, exits, sharing, scratch, protocol)
    weights = gpu.seconds(num_read * block_bytes, tokens * 2 * shape.matrix_weights * rows)
    head = shape.vocab_size * shape.hidden_size
    readouts = samples * len(exits) * sharing.readouts
    chunks = math.ceil(readouts / readout_rows(shape.vocab_size, 1, "cuda"))
    logits = 6 * 4 * shape.vocab_size * readouts
    reading = tokens * gpu.seconds(chunks * head * number_bytes + logits, 2 * head * readouts)
    path = rows * (tokens / 2) * shape.kv_numbers * number_bytes
    prompt = deepest * protocol.prompt_tokens * shape.kv_numbers * number_bytes
    keys_values = tokens * gpu.seconds(3 * path + prompt, 0)
    launches = gpu.launch * (num_read * KERNELS_A_BLOCK + tokens * chunks * KERNELS_A_READOUT)
    alone = sum(
        gpu.seconds(e * block_bytes + head * number_bytes, 0) + gpu.launch * (e * KERNELS_A_BLOCK + KERNELS_A_READOUT)
        for e in exits
    )
    return Estimate(weights, reading, keys_values, launches, samples * tokens * alone)


def measured_sharing() -> Sharing:
    """What SmolLM2's linear head shared at the middle of ``bench.curves``."""
    point = json.loads(OUT.read_text(encoding="utf-8"))["points"]["linear samples 50"]
    exits = parse_layers(point["layers"], 30)
    unshared = point["samples"] * point["tokens"]
    return Sharing(point["block_rows"] / (unshared * sum(exits)), point["readouts"] / (unshared * len(exits)))


def rows(scratch: int = scratch_bytes("cuda")) -> list[tuple[str, str, str, Estimate]]:
    """GPU, model, sharing, estimate."""
    estimates = []
    for gpu in GPUS:
        for name in MODELS:
            known = find_model(name)
            assert known is not None
            exits = parse_layers(LAYERS, known.num_hidden_layers)
            for label, sharing in (("nothing shared", Sharing()), ("shared as in SmolLM2", measured_sharing())):
                estimates.append((gpu.name, name, label, estimate(known.shape, gpu, sharing, exits, scratch=scratch)))
    return estimates


def assumptions(scratch: int) -> str:
    """What the numbers rest on, in a few lines."""
    cards = "; ".join(
        f"{gpu.name}: {gpu.bandwidth_reach:.0%} of {gpu.bandwidth / 1e12:.2f} TB/s, {gpu.flops_reach:.0%} of "
        f"{gpu.flops / 1e12:.0f} TFLOP/s, {gpu.launch * 1e6:.0f} us a kernel"
        for gpu in GPUS
    )
    return (
        f"An estimate, not measured. Assumed: bfloat16; {PAPER.samples} answers of {PAPER.tokens} tokens at layers "
        f"{LAYERS} after {PAPER.prompt_tokens} tokens of prompt; {scratch / 2**20:.0f} MiB for the activations of a "
        f"chunk of rows, each of which reads the weights again; {KERNELS_A_BLOCK} kernels a block of a chunk, "
        f"{KERNELS_A_READOUT} a readout; no overlap of the terms; the prompt itself and the host's own work are left "
        f"out. {cards}."
    )


def main() -> None:
    """Print the assumptions and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = scratch_bytes("cuda") // 2**20
    parser.add_argument("--scratch-mib", type=int, default=default, help=f"of a chunk; a GPU's: {default}")
    scratch = parser.parse_args().scratch_mib * 2**20
    heads = (
        "GPU",
        "model",
        "",
        "weights",
        "readouts",
        "keys, values",
        "launches",
        "s a question",
        "one at a time",
        "ratio",
    )
    table = Table(*heads, box=None)
    for gpu, model, label, each in rows(scratch):
        terms = (each.weights, each.readouts, each.keys_values, each.launches, each.total, each.one_at_a_time)
        ratio = each.one_at_a_time / each.total
        table.add_row(gpu, model, label, *(f"{term:.2f}" for term in terms), f"{ratio:.0f}x")
    console = Console(width=160)
    console.print(assumptions(scratch), highlight=False)
    console.print(table)


if __name__ == "__main__":
    main()
