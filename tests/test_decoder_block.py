"""Blocks with merged products and fused norms, as a GPU runs them, against a CPU's blocks and transformers' own."""

from typing import Any

import pytest
import torch
from conftest import FAMILIES, make_decoder, make_lm, make_model, make_tokenizer
from test_engine import (
    ALL_LAYERS,
    QUESTION,
    assert_greedy_is_that_of_transformers,
    assert_states_are_those_of_transformers,
    states_by_layer,
)
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.model.decoder_block import DecoderBlock
from hcl_core.decode.model.family.llama import llama_block
from hcl_core.decode.model.family.records import NormParts
from hcl_core.decode.model.norms import Norm


def fused_lm(family, seed=0, dtype=torch.float32):
    """``make_lm`` with fused blocks."""
    model = make_model(family, seed).to(dtype)
    lm: Any = CausalLM(model, make_tokenizer(), is_fused=True)
    lm.peer = model
    return lm


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_of_fused_blocks_is_that_of_the_truncated_model(family):
    lm = fused_lm(family)
    assert_greedy_is_that_of_transformers(lm, make_decoder(lm), ALL_LAYERS, QUESTION, 24)


@pytest.mark.parametrize("family", FAMILIES)
def test_states_of_fused_blocks_are_those_of_separate_products(family):
    fused, separate = (states_by_layer(lm, max_new_tokens=8) for lm in (fused_lm(family), make_lm(family)))
    for layer in ALL_LAYERS:
        assert fused[layer][0] == separate[layer][0]
        torch.testing.assert_close(fused[layer][1], separate[layer][1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_states_of_fused_blocks_are_those_of_transformers_in_half_precision(family, dtype):
    assert_states_are_those_of_transformers(fused_lm(family, dtype=dtype))


def test_a_fused_norm_in_bfloat16_is_rounded_once():
    norm = make_model("llama").to(torch.bfloat16).model.norm
    norm.weight.data = torch.randn(64, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16)
    rows = (3 * torch.randn(50, 64, generator=torch.Generator().manual_seed(2))).to(torch.bfloat16)
    exact = norm.weight.double() * rows.double() / (rows.double().square().mean(-1, keepdim=True) + 1e-6).sqrt()
    half_a_unit = torch.finfo(torch.bfloat16).eps / 2 * exact.abs()
    fused, separate = (Norm(NormParts(norm), is_fused=is_fused) for is_fused in (True, False))
    assert ((fused(rows).double() - exact).abs() <= 1.01 * half_a_unit).all()
    assert torch.equal(separate(rows), norm(rows))


class CountedProducts(TorchDispatchMode):
    """Counts products with matrices, and notes the numbers of their rows."""

    def __init__(self):
        super().__init__()
        self.num_rows = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        output = function(*args, **(kwargs or {}))
        if str(function).split(".")[1] in ("mm", "addmm", "linear", "_linear_pointwise"):
            self.num_rows.append(len(output))
        return output


# No GPU is needed for its path: the device "meta" computes shapes only.
@pytest.mark.parametrize("device", ["cpu", "meta"])
@torch.inference_mode()
def test_a_block_multiplies_three_rows_as_its_device_is_served_best(device):
    lm = CausalLM(make_model("llama").to(device), make_tokenizer())
    rotary = lm.rotary(torch.arange(3))
    with CountedProducts() as counted:
        output = lm.block(0, torch.ones(3, 64, device=device), rotary, lambda query, key, value: query.flatten(1))
    assert output.shape == (3, 64) and output.device.type == device
    assert len(counted.num_rows) == (5 if device == "cpu" else 4)
    assert {rows > 3 for rows in counted.num_rows} == {device == "cpu"}  # padded on a CPU only


@torch.inference_mode()
def test_quantised_products_stay_separate():
    class Quantised(nn.Linear):
        pass

    block = make_model("llama").model.layers[0]
    rotary, rows = (torch.ones(1, 1, 16), torch.zeros(1, 1, 16)), torch.randn(3, 64)
    wanted = DecoderBlock(llama_block(block))(rows, rotary, lambda query, key, value: query.flatten(1))
    for linear in (block.self_attn.k_proj, block.mlp.up_proj):
        linear.__class__ = Quantised
    with CountedProducts() as counted:
        found = DecoderBlock(llama_block(block), is_fused=True)(
            rows, rotary, lambda query, key, value: query.flatten(1)
        )
    assert len(counted.num_rows) == 7
    torch.testing.assert_close(found, wanted)


def test_merged_matrices_are_not_held_twice():
    block = make_model("llama").model.layers[0]
    DecoderBlock(llama_block(block), release=True, is_fused=True)
    merged = [*(getattr(block.self_attn, f"{name}_proj") for name in "qkv"), block.mlp.gate_proj, block.mlp.up_proj]
    assert [linear.weight.numel() for linear in merged] == [0] * 5
