"""GGUF files: unpacked once, exact for plain numbers, dequantised for others, and one line where it cannot be."""

from types import SimpleNamespace

import pytest
from conftest import make_decoder, run_command, stored_question

torch = pytest.importorskip("torch")

import gguf  # noqa: E402
from gguf.quants import dequantize, quantize  # noqa: E402
from huggingface_hub.errors import LocalEntryNotFoundError  # noqa: E402

from hcl_core import registry  # noqa: E402
from hcl_core.decode.model import gguf_conversion, gguf_files  # noqa: E402
from hcl_core.decode.model.loading import load_model  # noqa: E402
from hcl_core.errors import HclError  # noqa: E402
from hcl_core.records import Question, SamplingSettings  # noqa: E402

NUM_LAYERS, HEADS, KV_HEADS = 3, 4, 2
GREEDY = SamplingSettings(temperature=0, max_new_tokens=8)
PLAIN, HALF, Q8 = (gguf.GGMLQuantizationType[name] for name in ("F32", "F16", "Q8_0"))
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
MERGES = ["i n", "t h", "th e", "Ġ the"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HCL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def make_tokenizer():
    """A byte-level tokenizer with a few merges, as GPT-2's kind of GGUF holds it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<s>", "</s>", *alphabet, *(merge.replace(" ", "") for merge in MERGES)]
    pairs = [(first, second) for first, second in (merge.split(" ") for merge in MERGES)]
    raw = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=pairs))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>")


def make_llama(**overrides):
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = {
        "vocab_size": len(make_tokenizer()),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": NUM_LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "max_position_embeddings": 512,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "initializer_range": 0.35,
        "tie_word_embeddings": False,
    }
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **(settings | overrides))).eval()


def interleaved(weights, heads):
    """A query or key matrix with the halves of each head interleaved, as llama.cpp stores it."""
    rows, columns = weights.shape
    return weights.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write_gguf(file, model, kind=PLAIN, *, family="llama", metadata=None, tensors=None, tokenizer="gpt2"):
    """Write ``model`` as llama.cpp's converter does; ``model`` then has the weights that the file holds."""
    config, own = model.config, make_tokenizer()
    writer = gguf.GGUFWriter(file, family)
    writer.add_name("tiny")
    writer.add_block_count(NUM_LAYERS)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.hidden_size // HEADS)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model(tokenizer)
    writer.add_token_list(own.convert_ids_to_tokens(list(range(len(own)))))
    writer.add_token_types([3, 3] + [1] * (len(own) - 2))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    for key, value in (metadata or {}).items():
        (writer.add_string if isinstance(value, str) else writer.add_uint16)(key, value)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, NUM_LAYERS)
    for name, weights in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        stored = weights.numpy()
        if "q_proj" in name or "k_proj" in name:
            stored = interleaved(stored, HEADS if "q_proj" in name else KV_HEADS)
        used = kind if stored.ndim == 2 else PLAIN
        packed = quantize(stored, used)
        weights.copy_(model_order(torch.from_numpy(dequantize(packed, used)), name))
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), packed, raw_dtype=used)
    for name, values in (tensors or {}).items():
        writer.add_tensor(name, values.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def model_order(stored, name):
    """The inverse of ``interleaved``."""
    if "q_proj" not in name and "k_proj" not in name:
        return stored
    rows, columns = stored.shape
    heads = HEADS if "q_proj" in name else KV_HEADS
    return stored.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def answers(name):
    """Tokens of the greedy answers at each layer."""
    lm, _ = load_model(str(name), "float32", "cpu")
    decoder = make_decoder(lm)
    stored = stored_question(decoder, Question("q", "What is in the sea?", ("fish",)))
    steps = decoder.decode(stored, GREEDY, [[(layer, 0) for layer in range(1, NUM_LAYERS + 1)]])
    return {sample.exit_layer: sample.completion_token_ids for step in steps for sample in step.finished}


def weights_of(name):
    from safetensors.torch import load_file

    _, checkpoint = load_model(str(name), "float32", "cpu")
    return load_file(checkpoint.path / "model.safetensors")


def problem_of(name):
    with pytest.raises(HclError) as caught:
        load_model(str(name), "float32", "cpu")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", [PLAIN, HALF, Q8], ids=lambda kind: kind.name)
@pytest.mark.parametrize("tied", [False, True], ids=["own head", "tied head"])
def test_a_file_gives_the_answers_of_the_same_numbers_in_safetensors(tmp_path, kind, tied):
    model = make_llama(tie_word_embeddings=tied)
    before = model.state_dict()["model.layers.0.mlp.up_proj.weight"].clone()
    file, folder = tmp_path / "tiny.gguf", tmp_path / "same"
    write_gguf(file, model, kind)
    assert torch.equal(before, model.state_dict()["model.layers.0.mlp.up_proj.weight"]) == (kind is PLAIN)
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    theirs, ours = weights_of(folder), weights_of(file)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in theirs)
    expected = answers(folder)
    assert answers(file) == expected and len(expected) == NUM_LAYERS and all(expected.values())


def test_a_file_is_unpacked_once_and_named_by_its_content(tmp_path, cache, monkeypatch):
    write_gguf(tmp_path / "tiny.gguf", make_llama())
    _, first = load_model(str(tmp_path / "tiny.gguf"), device="cpu")
    (tmp_path / "tiny.gguf").rename(tmp_path / "other.gguf")
    monkeypatch.setattr("hcl_core.decode.model.loading.convert_gguf", None)  # it would fail
    _, second = load_model(str(tmp_path / "other.gguf"), device="cpu")
    assert (first.model, second.model) == ("tiny.gguf", "other.gguf")
    assert first.revision == second.revision and first.path == second.path and first.path.is_relative_to(cache)


def test_the_shape_and_engine_of_a_file_are_known_before_it_is_unpacked(tmp_path, cache, capsys):
    write_gguf(tmp_path / "tiny.gguf", make_llama())
    shape = registry.model_shape(str(tmp_path / "tiny.gguf"))
    assert run_command(capsys, "models", "--check", tmp_path / "tiny.gguf")[:2] == (0, "fast engine\n")
    assert not cache.exists() and shape == load_model(str(tmp_path / "tiny.gguf"), device="cpu")[0].shape


def test_a_run_takes_a_file(tmp_path, capsys):
    write_gguf(tmp_path / "tiny.gguf", make_llama())
    asked = ("run", "--model", tmp_path / "tiny.gguf", "--question", "Why?", "--accept", "so", "--layers", "1,3")
    limits = ("--samples", 1, "--max-new-tokens", 2, "--device", "cpu", "--exit-head", "shared")
    assert run_command(capsys, *asked, *limits, "--out", tmp_path / "run")[0] == 0


def test_the_tokenizer_is_the_files(tmp_path):
    write_gguf(tmp_path / "tiny.gguf", make_llama(), metadata={"tokenizer.chat_template": "{{ messages[0].content }}!"})
    lm, _ = load_model(str(tmp_path / "tiny.gguf"), device="cpu")
    text = "the thing in the sea"
    assert lm.tokenize(text) == make_tokenizer()(text).input_ids
    assert lm.wrap_chat("hi") == "hi!"


# Position scaling.


def llama3_factors(config):
    """The divisors that llama.cpp's converter stores for Llama 3.1."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    dim = 2 * len(scaled)
    return (config.rope_parameters["rope_theta"] ** -(torch.arange(0, dim, 2) / dim)) / scaled


def test_the_scaling_of_llama_3_is_kept(tmp_path):
    model = make_llama(rope_parameters=LLAMA3)
    write_gguf(tmp_path / "tiny.gguf", model, tensors={"rope_freqs.weight": llama3_factors(model.config)})
    model.save_pretrained(tmp_path / "same")
    make_tokenizer().save_pretrained(tmp_path / "same")
    lm, _ = load_model(str(tmp_path / "tiny.gguf"), device="cpu")
    assert lm.config.rope_parameters == model.config.rope_parameters
    assert answers(tmp_path / "tiny.gguf") == answers(tmp_path / "same")


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": {"llama.rope.scaling.type": "yarn"}},
        {"tensors": {"rope_factors_long.weight": torch.ones(8)}},
        {"tensors": {"rope_freqs.weight": torch.linspace(1, 3, 8)}},
    ],
    ids=["yarn", "longrope", "factors of no known kind"],
)
def test_another_scaling_is_refused(tmp_path, changes):
    write_gguf(tmp_path / "tiny.gguf", make_llama(), **changes)
    assert "which transformers does not read from a GGUF file" in problem_of(tmp_path / "tiny.gguf")


# What cannot be read.


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF" + bytes(60), b"not at all" * 20])
def test_a_damaged_file_is_one_line(tmp_path, content):
    (tmp_path / "bad.gguf").write_bytes(content)
    assert str(tmp_path / "bad.gguf") in problem_of(tmp_path / "bad.gguf")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_that_ends_too_early_is_one_line(tmp_path, cache, share):
    write_gguf(tmp_path / "tiny.gguf", make_llama())
    whole = (tmp_path / "tiny.gguf").read_bytes()
    (tmp_path / "tiny.gguf").write_bytes(whole[: int(len(whole) * share)])
    assert "tiny.gguf is damaged or incomplete: it ends" in problem_of(tmp_path / "tiny.gguf")
    assert not [path for path in (cache / "models").iterdir() if path.suffix != ".lock"]


def test_a_family_that_transformers_lacks_is_named(tmp_path):
    write_gguf(tmp_path / "odd.gguf", make_llama(), family="plamo")
    assert "family 'plamo', which transformers cannot read from a GGUF file" in problem_of(tmp_path / "odd.gguf")


def test_one_part_of_several_says_how_to_merge_them(tmp_path):
    write_gguf(tmp_path / "tiny-00001-of-00003.gguf", make_llama(), metadata={"split.count": 3})
    problem = problem_of(tmp_path / "tiny-00001-of-00003.gguf")
    assert "is one of 3 parts of a GGUF file: merge them first (llama-gguf-split --merge)" in problem


def test_a_tokenizer_that_transformers_lacks_is_one_line(tmp_path):
    write_gguf(tmp_path / "tiny.gguf", make_llama(), tokenizer="rwkv")
    assert "'rwkv'" in problem_of(tmp_path / "tiny.gguf")


def test_an_unknown_way_to_split_texts_is_said(tmp_path, caplog):
    write_gguf(tmp_path / "tiny.gguf", make_llama(), metadata={"tokenizer.ggml.pre": "viking"})
    load_model(str(tmp_path / "tiny.gguf"), device="cpu")
    assert "does not know how its tokenizer splits texts (viking)" in caplog.text


def test_a_file_whose_numbers_fit_no_memory_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    write_gguf(tmp_path / "tiny.gguf", make_llama())
    monkeypatch.setattr(gguf_conversion, "free_memory", lambda device: 1000)
    assert "unpacking tiny.gguf needs 0.0 GiB of memory, and 0.0 GiB are free" in problem_of(tmp_path / "tiny.gguf")


# The Hub.


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A Hub whose repositories have no file but ``file``; ``asked`` counts the requests that leave the machine."""
    state = SimpleNamespace(file=None, cached=None, asked=[])

    def hf_hub_download(repo_id, name, *, local_files_only=False, **options):
        if local_files_only:
            if state.cached is None:
                raise LocalEntryNotFoundError("not in the cache")
            return str(state.cached)
        state.asked.append((repo_id, name))
        if state.file is None:
            raise LocalEntryNotFoundError("cannot reach the Hub")
        return str(state.file)

    monkeypatch.setattr(gguf_files, "hf_hub_download", hf_hub_download)
    return state


def test_a_file_of_a_repository_is_fetched_and_read(tmp_path, hub):
    write_gguf(tmp_path / "tiny.gguf", make_llama())
    hub.file = tmp_path / "tiny.gguf"
    _, checkpoint = load_model("owner/name:quants/tiny.Q8_0.gguf", device="cpu")
    assert checkpoint.model == "owner/name:quants/tiny.Q8_0.gguf"
    assert hub.asked == [("owner/name", "quants/tiny.Q8_0.gguf")]


def test_a_file_in_the_hubs_cache_asks_nobody(tmp_path, hub):
    write_gguf(tmp_path / "tiny.gguf", make_llama())
    hub.cached = tmp_path / "tiny.gguf"
    load_model("owner/name:tiny.gguf", device="cpu")
    assert hub.asked == []


def test_a_file_that_a_repository_lacks_is_named(hub, monkeypatch):
    import httpx2
    from huggingface_hub.errors import RemoteEntryNotFoundError

    def refuse(repo_id, name, *, local_files_only=False, **options):
        if local_files_only:
            raise LocalEntryNotFoundError("not in the cache")
        request = httpx2.Request("GET", "https://huggingface.co/owner/name")
        raise RemoteEntryNotFoundError("404", response=httpx2.Response(404, request=request))

    monkeypatch.setattr(gguf_files, "hf_hub_download", refuse)
    assert problem_of("owner/name:no.gguf") == "the repository owner/name has no file no.gguf: see its page on the Hub"


def test_without_a_network_it_is_said(hub):
    assert "owner/name:tiny.gguf is not on this machine and the Hub cannot be reached" in problem_of(
        "owner/name:tiny.gguf"
    )


@pytest.mark.parametrize(
    "name", ["owner/name:../../tiny.gguf", "owner/name:.hidden/tiny.gguf", "owner/name:/etc/a.gguf"]
)
def test_a_file_outside_its_repository_is_asked_for_nowhere(hub, name):
    assert problem_of(name) and hub.asked == []
