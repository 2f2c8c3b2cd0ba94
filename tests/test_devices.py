"""Devices: which are accepted, what is placed on them, and a CPU without packed products."""

import pytest
import torch
from conftest import FAMILIES, make_decoder, make_lm, make_model, make_tokenizer
from test_engine import ALL_LAYERS, QUESTION, assert_greedy_is_that_of_transformers, assert_same, decode, wave
from torch.utils._python_dispatch import TorchDispatchMode

from hcl_core.decode.model import loading, memory, pretrained
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.model.linear import PackedLinear, affine
from hcl_core.errors import SettingsError
from hcl_core.records import SamplingSettings

CPU, META, MPS = (torch.device(name) for name in ("cpu", "meta", "mps"))

# An Apple GPU: none is needed for what is decided before anything is computed.


def test_mps_is_accepted_where_torch_finds_an_apple_gpu(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert loading.choose_device("mps") == MPS


def test_mps_is_refused_where_torch_finds_none(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(SettingsError, match="device mps is not here: torch found no Apple GPU; use cpu"):
        loading.choose_device("mps")


def test_auto_takes_no_apple_gpu(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert loading.choose_device("auto") == CPU


@pytest.mark.parametrize("dtype", ["auto", "fastest", "float32"])
def test_numbers_on_an_apple_gpu_are_float32(dtype):
    assert loading.choose_format(dtype, MPS).name == "float32"


@pytest.mark.parametrize("dtype", ["int8", "nf4"])
def test_quantised_weights_are_refused_on_an_apple_gpu(dtype):
    with pytest.raises(SettingsError, match=f"dtype {dtype} is not made for device mps"):
        loading.choose_format(dtype, MPS)


@pytest.mark.parametrize(("of_machine", "of_gpu", "free"), [(100, 70, 50), (30, 70, 30)])
def test_an_apple_gpu_has_no_more_memory_than_its_machine(monkeypatch, of_machine, of_gpu, free):
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": of_machine}))
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: of_gpu)
    monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: 20)
    assert memory.free_memory(MPS) == free


def test_readouts_are_on_the_cpu_where_a_gpu_lacks_float64():
    assert pretrained.readout_device(MPS) == CPU
    assert pretrained.readout_device(torch.device("cuda", 1)) == torch.device("cuda", 1)


@pytest.mark.parametrize("is_tied", [False, True])
def test_blocks_and_readouts_are_placed_apart(is_tied):
    model = make_model("llama", tie_word_embeddings=is_tied)
    pretrained.place(model, META, CPU)
    lm = CausalLM(model, make_tokenizer())
    assert lm.layer_devices == [META] * lm.num_hidden_layers and lm.readout_device == CPU
    assert lm.device_name == "meta" and lm.embed(torch.tensor([2, 3]), torch.arange(2)).device == META
    assert lm.logits_buffer(1).device == lm.final_norm(torch.ones(1, 64)).device == CPU


class NotedDtypes(TorchDispatchMode):
    """Notes the number formats of all results."""

    def __init__(self):
        super().__init__()
        self.dtypes = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        output = function(*args, **(kwargs or {}))
        self.dtypes |= {each.dtype for each in torch.utils._pytree.tree_leaves(output) if torch.is_tensor(each)}
        return output


@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_compute_nothing_in_float64(family, monkeypatch):
    lm, noted = make_lm(family), NotedDtypes()
    block = lm.block

    def noted_block(*arguments):
        with noted:
            return block(*arguments)

    monkeypatch.setattr(lm, "block", noted_block)
    decode(make_decoder(lm), SamplingSettings(max_new_tokens=4), [wave(ALL_LAYERS, range(3))])
    assert torch.float32 in noted.dtypes and torch.float64 not in noted.dtypes


# A CPU for which oneDNN's packed products were not verified: one without AVX, or an ARM.


@pytest.fixture(params=["DEFAULT", "NEON", "SVE256"])
def without_packing(monkeypatch, request):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: request.param)
    assert not isinstance(affine(torch.ones(2, 2)), PackedLinear)


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_without_packed_products_is_that_of_the_truncated_model(family, without_packing):
    lm = make_lm(family)
    assert_greedy_is_that_of_transformers(lm, make_decoder(lm), ALL_LAYERS, QUESTION, 12)


def test_answers_without_packed_products_do_not_depend_on_waves_or_budget(without_packing):
    lm, settings = make_lm("qwen3", initializer_range=0.2), SamplingSettings(1.2, 0.95, max_new_tokens=10, seed=7)
    whole = decode(make_decoder(lm), settings, [wave(ALL_LAYERS, range(12))])
    waves = [wave(ALL_LAYERS, [0]), wave((1, 2), range(1, 12)), wave((4, 3), range(1, 12))]
    assert_same(decode(make_decoder(lm), settings, waves), whole)
    assert_same(decode(make_decoder(lm, 30_000), settings, [wave(ALL_LAYERS, range(12))]), whole)
    assert_same(decode(make_decoder(lm), settings, [[(4, 11)]]), {(4, 11): whole[4, 11]})


@pytest.mark.parametrize("shape", [(192, 576), (576, 1536), (260, 64)], ids=str)
@torch.inference_mode()
def test_a_rows_bits_without_packed_products_do_not_depend_on_the_rows_beside_it(shape, without_packing):
    generator = torch.Generator().manual_seed(0)
    product = affine(torch.randn(*shape, generator=generator), torch.randn(shape[0], generator=generator))
    rows = torch.randn(300, shape[1], generator=generator)
    whole = product(rows)
    for count in (1, 2, 7, 15, 16, 17, 33, 100, 255):
        assert torch.equal(product(rows[:count]), whole[:count]), count
        assert torch.equal(product(rows[-count:]), whole[-count:]), count
