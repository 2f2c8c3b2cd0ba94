"""Products with a packed matrix: the sums of torch, and a row's bits whatever stands beside it."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from conftest import make_model
from torch import nn

from hcl_core.decode.model import linear
from hcl_core.decode.model.linear import MIN_ROWS, PackedLinear, affine, pad_rows, product_with
from hcl_core.models import footprint

ROOT = Path(__file__).parent.parent
DTYPES = (torch.float32, torch.bfloat16)
SHAPES = ((576, 576), (192, 576), (1536, 576), (576, 1536), (260, 64), (33, 16))  # out, in
needs_packing = pytest.mark.skipif(
    not isinstance(affine(torch.ones(2, 2)), PackedLinear), reason="this CPU has no packed products"
)


def random(*shape, dtype=torch.float32, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@needs_packing
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@torch.inference_mode()
def test_a_rows_bits_do_not_depend_on_the_rows_beside_it(shape, dtype):
    product = PackedLinear(random(*shape, dtype=dtype), random(shape[0], dtype=dtype, seed=1))
    rows = random(300, shape[1], dtype=dtype, seed=2)
    whole = product(rows)
    for count in (1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 100, 255):
        assert torch.equal(product(rows[:count]), whole[:count]), count
        assert torch.equal(product(rows[-count:]), whole[-count:]), count
        assert torch.equal(product(rows[::3][:count]), whole[::3][:count]), count


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("with_bias", [False, True])
@torch.inference_mode()
def test_the_product_is_that_of_the_layer(dtype, with_bias):
    linear = nn.Linear(96, 40, bias=with_bias, dtype=dtype)
    rows = random(MIN_ROWS + 5, 96, dtype=dtype)
    product = product_with(linear)
    for count in (1, 5, MIN_ROWS, MIN_ROWS + 5):
        torch.testing.assert_close(product(rows[:count]), linear(rows[:count]), atol=2e-2, rtol=2e-2)
    exact = F.linear(rows.double(), linear.weight.double(), linear.bias.double() if with_bias else None)
    error = (product(rows).double() - exact).abs().max()
    assert error < (1e-5 if dtype == torch.float32 else 2e-2)


def test_what_is_no_plain_linear_is_called_as_it_is():
    class Quantised(nn.Linear):
        def forward(self, rows):
            return super().forward(rows) + 1

    linear = Quantised(8, 4).requires_grad_(False)
    rows = random(3, 8)
    torch.testing.assert_close(product_with(linear, release=True)(rows), F.linear(rows, linear.weight, linear.bias) + 1)


def test_a_model_keeps_its_weights_unless_they_are_released():
    from conftest import make_tokenizer

    from hcl_core.decode.model.causal_lm import CausalLM

    model = make_model("llama")
    before = model(torch.tensor([[2, 3, 4]])).logits
    CausalLM(model, make_tokenizer())
    assert torch.equal(model(torch.tensor([[2, 3, 4]])).logits, before)
    kept = CausalLM(model, make_tokenizer(), release=True)
    released = [name for name, weights in model.named_parameters() if not weights.numel()]
    assert all("proj" in name for name in released)  # an unembedding is read by the fit
    assert len(released) == (7 * kept.num_hidden_layers if isinstance(affine(torch.ones(2, 2)), PackedLinear) else 0)


@pytest.mark.parametrize("ratio, wanted", [(2.0, torch.bfloat16), (1.1, torch.float32), (0.1, torch.float32)])
def test_the_fastest_dtype_is_the_one_that_was_measured(monkeypatch, ratio, wanted):
    # A clock that goes by the products: one in bfloat16 takes as much less than one in float32 as the ratio says.
    took, now = {torch.float32: 1.0, torch.bfloat16: 1 / ratio}, 0.0

    def product_of(weight):
        def product(rows):
            nonlocal now
            now += took[rows.dtype]

        return product

    monkeypatch.setattr(linear, "affine", product_of)
    monkeypatch.setattr(linear, "time", SimpleNamespace(perf_counter=lambda: now))
    assert linear.fastest_dtype() == wanted


def test_the_footprint_knows_the_smallest_number_of_rows():
    assert footprint.MIN_READOUT_ROWS == MIN_ROWS


def test_rows_are_padded_on_a_cpu_only():
    assert [len(pad_rows(torch.ones(count, 1, device="meta"), MIN_ROWS)) for count in (1, 3, 17)] == [1, 3, 17]


def test_rows_are_padded_to_few_numbers():
    padded = [len(pad_rows(torch.ones(count, 1))) for count in range(1, 1025)]
    assert all(count <= padded[count - 1] <= max(2, 2 * count) for count in range(1, 1025))
    assert padded[:5] == [2, 2, 4, 4, 8] and len(set(padded)) == 2 + 8 + 12 + 24
    assert all(len(pad_rows(torch.ones(count, 1))) == count for count in set(padded))
    assert len(pad_rows(torch.ones(3, 1), 16)) == 16
    assert torch.equal(pad_rows(torch.ones(3, 2)), torch.tensor([[1.0, 1], [1, 1], [1, 1], [0, 0]]))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("with_bias", [False, True])
@torch.inference_mode()
def test_matrices_below_each_other_give_the_bits_that_each_gives_alone(dtype, with_bias):
    for number, shapes in enumerate([((576, 576), (192, 576), (192, 576)), ((64, 64), (32, 64), (32, 64))]):
        weights = [random(*shape, dtype=dtype, seed=number) for shape in shapes]
        biases = [random(len(weight), dtype=dtype) for weight in weights] if with_bias else [None] * 3
        merged = affine(torch.cat(weights), torch.cat(biases) if with_bias else None)
        apart = [affine(*each) for each in zip(weights, biases, strict=True)]
        for count in (1, 2, 3, 16, 33, 300):
            rows = random(count, shapes[0][1], dtype=dtype, seed=count)
            assert torch.equal(merged(rows), torch.cat([product(rows) for product in apart], dim=-1))


def test_a_processor_that_packs_no_bfloat16_computes_with_it():
    """As one with AVX2 alone. oneDNN reads what it may use once, so this needs a process of its own."""
    company = "test_every_step_of_a_question_is_the_same_alone_and_in_company[early_exit-bfloat16-2]"
    merged = test_matrices_below_each_other_give_the_bits_that_each_gives_alone.__name__
    tests = [f"tests/test_forest.py::{company}", f"tests/test_linear.py::{merged}"]
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    program = (
        "import torch; from hcl_core.decode.model.linear import PackedLinear, affine, fastest_dtype; fastest_dtype();"
        "print(*(type(affine(torch.ones(2, 2, dtype=each))).__name__ for each in (torch.float32, torch.bfloat16)))"
    )
    found = subprocess.run([sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert "function" in found.stdout, found.stderr
