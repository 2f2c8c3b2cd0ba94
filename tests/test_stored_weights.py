"""Folders as people have them: shards, numbers of 8 and 4 bits, and configs in the spellings of several years."""

import json

import pytest
from conftest import make_decoder, make_model, make_tokenizer, stored_question

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

from hcl_core.decode.model.loading import load_model  # noqa: E402
from hcl_core.decode.model.truncation import BlockStack  # noqa: E402
from hcl_core.errors import HclError  # noqa: E402
from hcl_core.records import Question, SamplingSettings  # noqa: E402

NUM_LAYERS, NUM_TOKENS = 4, 8
GREEDY = SamplingSettings(temperature=0, max_new_tokens=NUM_TOKENS)
QUESTION = Question("q", "What is in the sea?", ("fish",))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HCL_CACHE", str(tmp_path / "cache"))


def save(model, folder, **options):
    model.save_pretrained(folder, **options)
    make_tokenizer().save_pretrained(folder)
    return folder


def answers(folder, dtype="float32"):
    """Tokens of the greedy answers at each layer."""
    lm, _ = load_model(str(folder), dtype, "cpu")
    decoder = make_decoder(lm)
    steps = decoder.decode(stored_question(decoder, QUESTION), GREEDY, [[(e, 0) for e in range(1, NUM_LAYERS + 1)]])
    return {sample.exit_layer: list(sample.completion_token_ids) for step in steps for sample in step.finished}


@torch.inference_mode()
def generated(folder):
    """The same by ``transformers`` on the model cut after each layer, ends of texts aside."""
    from transformers import AutoModelForCausalLM

    lm, _ = load_model(str(folder), "float32", "cpu")
    ids = torch.tensor([lm.tokenize(make_decoder(lm).prompt_for(QUESTION))])
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    tokens = {}
    for layer in range(1, NUM_LAYERS + 1):
        with BlockStack(model).cut_to(layer):
            given = {"attention_mask": torch.ones_like(ids), "do_sample": False, "pad_token_id": 1}
            tokens[layer] = model.generate(ids, max_new_tokens=NUM_TOKENS, **given)[0, ids.shape[1] :].tolist()
    return tokens


def assert_as_generated(folder):
    expected, ours = generated(folder), answers(folder)
    assert ours.keys() == expected.keys()
    for layer, tokens in ours.items():
        assert tokens and tokens == expected[layer][: len(tokens)], f"layer {layer}"


def problem_of(folder, dtype="float32"):
    with pytest.raises(HclError) as caught:
        load_model(str(folder), dtype, "cpu")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit_config(folder, *without, **changes):
    file = folder / "config.json"
    config = {name: value for name, value in json.loads(file.read_text()).items() if name not in without}
    file.write_text(json.dumps(config | changes))


# Shards.


@pytest.fixture
def sharded(tmp_path):
    folder = save(make_model("llama"), tmp_path / "sharded", max_shard_size="200KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    return folder


def test_shards_give_the_answers_of_the_whole(sharded, tmp_path):
    assert answers(sharded) == answers(save(make_model("llama"), tmp_path / "whole"))


def test_a_missing_shard_is_named(sharded):
    lost = sorted(sharded.glob("model-*.safetensors"))[1]
    count = len(list(sharded.glob("model-*.safetensors")))
    lost.unlink()
    assert f"lacks 1 of the {count} files of its weights, such as {lost.name}: fetch or copy" in problem_of(sharded)


def test_a_shard_that_lacks_a_weight_is_refused(sharded):
    shard = sorted(sharded.glob("model-*.safetensors"))[1]
    tensors = load_file(shard)
    lost = sorted(tensors)[0]
    save_file({name: each for name, each in tensors.items() if name != lost}, shard, metadata={"format": "pt"})
    assert f"lacks 1 of its weights, such as {lost}" in problem_of(sharded)


@pytest.mark.parametrize(
    "index", ["", "{", "[]", '{"weight_map": {}}', '{"weight_map": {"a": 1}}', '{"weight_map": {"a": "x.bin"}}']
)
def test_a_broken_index_is_one_line(sharded, index):
    (sharded / "model.safetensors.index.json").write_text(index)
    assert str(sharded) in problem_of(sharded)


def test_shards_without_an_index_are_refused(sharded):
    (sharded / "model.safetensors.index.json").unlink()
    assert "has no complete safetensors weights" in problem_of(sharded)


# Configs.


def old_rope(theta=10000.0, **scaling):
    """The keys of a config before ``rope_parameters``."""
    return {"rope_theta": theta, "rope_scaling": scaling or None}


LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}


@pytest.mark.parametrize(
    "rope",
    [
        old_rope(500000.0),
        old_rope(type="linear", factor=2.0),
        old_rope(rope_type="llama3", **LLAMA3),
        old_rope(rope_type="llama3", type="llama3", **LLAMA3),
        old_rope(type="yarn", factor=4.0, original_max_position_embeddings=64),
        old_rope(type="default"),
    ],
    ids=str,
)
def test_the_old_spelling_of_position_scaling_is_computed(tmp_path, rope):
    folder = save(make_model("llama"), tmp_path / "model")
    plain = answers(folder)
    edit_config(folder, "rope_parameters", **rope)
    assert_as_generated(folder)
    is_scaled = rope["rope_theta"] != 10000.0 or (rope["rope_scaling"] or {}).get("type") != "default"
    assert (answers(folder) != plain) == is_scaled


@pytest.mark.parametrize("spelling", ["dtype", "torch_dtype", None])
def test_the_number_format_may_be_called_as_it_likes(tmp_path, spelling):
    folder = save(make_model("llama").to(torch.bfloat16), tmp_path / "model")
    edit_config(folder, "dtype", "torch_dtype", **({spelling: "bfloat16"} if spelling else {}))
    assert_as_generated(folder)
    assert load_model(str(folder), "auto", "cpu")[0].dtype is torch.float32


@pytest.mark.parametrize("without", ["head_dim", "num_key_value_heads", "pad_token_id", "use_cache", "architectures"])
def test_a_key_that_old_configs_lack_is_not_needed(tmp_path, without):
    folder = save(make_model("llama", num_key_value_heads=4), tmp_path / "model")
    edit_config(folder, without)
    assert_as_generated(folder)


def test_tied_embeddings_without_a_word_in_the_config_say_what_to_write(tmp_path):
    folder = save(make_model("llama", tie_word_embeddings=True), tmp_path / "model")
    assert_as_generated(folder)
    edit_config(folder, "tie_word_embeddings")
    assert 'lacks the weights lm_head.weight: if its embeddings serve as them, its config.json must say "tie_' in (
        problem_of(folder)
    )


def test_code_of_a_models_own_is_never_run(tmp_path, monkeypatch):
    folder = save(make_model("llama"), tmp_path / "model")
    (folder / "modeling_mine.py").write_text("raise SystemExit('it ran')")
    code = {"AutoConfig": "modeling_mine.MyConfig", "AutoModelForCausalLM": "modeling_mine.MyModel"}
    edit_config(folder, auto_map=code)
    assert_as_generated(folder)  # transformers knows the family itself
    edit_config(folder, model_type="mine")
    assert "is computed by code of its own (auto_map), which is never run here" in problem_of(folder)


def test_code_of_a_tokenizers_own_is_never_run(tmp_path):
    folder, ran = save(make_model("llama"), tmp_path / "model"), tmp_path / "ran"
    (folder / "mine.py").write_text(f"open({str(ran)!r}, 'w')\nclass MyTokenizer: pass\n")
    file = folder / "tokenizer_config.json"
    own = {"tokenizer_class": "MyTokenizer", "auto_map": {"AutoTokenizer": ["mine.MyTokenizer", "mine.MyTokenizer"]}}
    file.write_text(json.dumps(json.loads(file.read_text()) | own))
    try:
        load_model(str(folder), "float32", "cpu")
    except HclError as error:
        assert "\n" not in str(error)
    assert not ran.exists()


# Quantised.


def in_blocks(weights, block):
    """``[rows, columns]`` as ``[rows / block, block, columns / block, block]``."""
    rows, columns = weights.shape
    return weights.reshape(rows // block, block, columns // block, block)


def save_fp8(model, folder, block=32):
    """Save with the blocks' matrices in FP8, as DeepSeek and Qwen do; ``model`` then has the numbers stored."""
    save(model, folder)
    tensors = {}
    for name, weights in model.state_dict().items():
        tensors[name] = weights
        if weights.ndim != 2 or "layers" not in name:
            continue
        scale = in_blocks(weights, block).abs().amax(dim=(1, 3)) / 448  # the largest number of e4m3
        small = (in_blocks(weights, block) / scale[:, None, :, None]).reshape(weights.shape).to(torch.float8_e4m3fn)
        tensors[name], tensors[f"{name}_scale_inv"] = small, scale
        weights.copy_((in_blocks(small.float(), block) * scale[:, None, :, None]).reshape(weights.shape))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    settings = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [block, block]}
    edit_config(folder, quantization_config=settings)
    return folder


def test_fp8_gives_the_answers_of_its_numbers_written_out(tmp_path):
    model = make_model("llama")
    before = model.model.layers[0].mlp.up_proj.weight.clone()
    folder = save_fp8(model, tmp_path / "fp8")
    assert not torch.equal(before, model.model.layers[0].mlp.up_proj.weight)
    assert answers(folder) == answers(save(model, tmp_path / "plain"))


def test_fp8_is_not_quantised_again(tmp_path):
    folder = save_fp8(make_model("llama"), tmp_path / "fp8")
    assert "are stored by fp8 and expanded to plain numbers: use --dtype auto" in problem_of(folder, "nf4")


@pytest.mark.parametrize("preset", ["W4A16", "W8A16", "FP8_DYNAMIC"])
def test_compressed_tensors_give_the_answers_of_their_numbers_written_out(tmp_path, preset):
    pytest.importorskip("compressed_tensors")
    from compressed_tensors.compressors import ModelCompressor
    from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config, preset_name_to_scheme

    sizes = {"hidden_size": 128, "intermediate_size": 256, "head_dim": 32}
    plain, model = make_model("llama", **sizes), make_model("llama", **sizes)
    scheme = preset_name_to_scheme(preset, ["Linear"])
    apply_quantization_config(model, QuantizationConfig(config_groups={"group_0": scheme}, ignore=["lm_head"]))
    for module in model.modules():
        if getattr(module, "quantization_scheme", None) is not None and module.weight_scale.ndim:
            groups = module.weight.data.unflatten(1, (module.weight_scale.shape[1], -1))
            largest = groups.abs().amax(dim=2) / (448 if "FP8" in preset else 2 ** (scheme.weights.num_bits - 1) - 1)
            module.weight_scale.data.copy_(largest)
    compressor = ModelCompressor.from_pretrained_model(model)
    compressor.compress_model(model)
    save(model, tmp_path / "small")
    compressor.update_config(tmp_path / "small")
    compressor.decompress_model(model)
    for name, weights in plain.state_dict().items():
        weights.copy_(model.state_dict()[name])
    assert not torch.equal(
        plain.model.layers[0].mlp.up_proj.weight, make_model("llama", **sizes).model.layers[0].mlp.up_proj.weight
    )
    assert answers(tmp_path / "small") == answers(save(plain, tmp_path / "plain"))


# The numbers of E2M1, by their four bits.
E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])


def random_mxfp4(*shape):
    """Blocks of 32 numbers of 4 bits, the scales of the blocks, and the numbers, ``[*shape]``."""
    *rows, columns = shape
    blocks = torch.randint(0, 256, (*rows, columns // 32, 16), dtype=torch.uint8)
    scales = torch.randint(122, 125, (*rows, columns // 32), dtype=torch.uint8)
    pairs = torch.stack([E2M1[(blocks & 15).long()], E2M1[(blocks >> 4).long()]], dim=-1).flatten(-2)
    return blocks, scales, (pairs * torch.exp2(scales.float() - 127)[..., None]).reshape(shape)


def test_mxfp4_gives_the_answers_of_its_numbers_written_out(tmp_path):
    sizes = {"intermediate_size": 64, "num_local_experts": 4, "num_experts_per_tok": 2, "tie_word_embeddings": False}
    model = make_model("gpt_oss", **sizes)
    stored = dict(model.state_dict())
    for layer, block in enumerate(model.model.layers):
        for name, shape in (("gate_up_proj", (4, 128, 64)), ("down_proj", (4, 64, 64))):
            blocks, scales, numbers = random_mxfp4(*shape)
            key = f"model.layers.{layer}.mlp.experts.{name}"
            del stored[key]
            stored |= {f"{key}_blocks": blocks, f"{key}_scales": scales}
            getattr(block.mlp.experts, name).data.copy_(numbers.transpose(1, 2))
    save(model, tmp_path / "plain")
    folder = save(model, tmp_path / "small")
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    kept = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]
    edit_config(folder, quantization_config={"quant_method": "mxfp4", "modules_to_not_convert": kept})
    assert answers(folder) == answers(tmp_path / "plain")
