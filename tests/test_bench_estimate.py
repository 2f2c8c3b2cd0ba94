"""The estimate for a GPU: each chunk of rows reads the weights again."""

import pytest

from bench.estimate import GPUS, LAYERS, PAPER, Sharing, assumptions, blocks_read, estimate
from hcl_core.models.catalogue import find_model
from hcl_core.models.footprint import scratch_bytes
from hcl_core.settings.layers import parse_layers

SHAPE = find_model("layerskip-llama2-7b").shape
EXITS = parse_layers(LAYERS, SHAPE.num_hidden_layers)


def test_with_memory_for_all_rows_a_step_reads_each_block_once():
    assert blocks_read(SHAPE, EXITS, Sharing(), scratch=2**40) == PAPER.tokens * max(EXITS)


def test_with_memory_for_the_fewest_rows_each_chunk_reads_its_blocks():
    # Chunks of 16 rows, each as deep as its deepest row: rows 0, 16, 32 and so on, 50 an exit layer, the deepest first.
    starts = range(0, PAPER.samples * len(EXITS), 16)
    assert blocks_read(SHAPE, EXITS, Sharing(), scratch=1) == PAPER.tokens * sum(
        sorted(EXITS, reverse=True)[start // PAPER.samples] for start in starts
    )


def test_fewer_rows_need_fewer_chunks():
    scratch = scratch_bytes("cpu")
    assert blocks_read(SHAPE, EXITS, Sharing(blocks=0.05), scratch) < blocks_read(SHAPE, EXITS, Sharing(), scratch) / 5


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.name)
def test_less_scratch_memory_makes_weights_and_launches_dearer_and_nothing_else(gpu):
    large, small = (estimate(SHAPE, gpu, Sharing(), EXITS, scratch=scratch_bytes(kind)) for kind in ("cuda", "cpu"))
    assert small.weights > large.weights and small.launches > 3 * large.launches
    assert (small.readouts, small.keys_values) == (large.readouts, large.keys_values)


def test_the_assumptions_say_that_nothing_was_measured():
    text = assumptions(scratch_bytes("cuda"))
    assert text.startswith("An estimate, not measured.") and "1024 MiB" in text
