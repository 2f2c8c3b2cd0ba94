"""Model folders as people have them: loaded exactly, or refused in one line."""

import importlib.util
import json
import os
from datetime import datetime
from types import SimpleNamespace

import pytest
from conftest import FAMILIES, make_model, make_tokenizer, run_command

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402
from tokenizers import processors  # noqa: E402

from hcl_core import registry  # noqa: E402
from hcl_core.decode.model import checkpoints, prompt_tokens  # noqa: E402
from hcl_core.decode.model.loading import load_model  # noqa: E402
from hcl_core.errors import DamagedModelError, HclError, ModelNotFoundError  # noqa: E402
from hcl_core.runs.folder import RunFolder  # noqa: E402
from hcl_core.settings.prompts import load_template  # noqa: E402

BOS, EOS = 0, 1
CHAT = "{% for m in messages %}<s>{{ m.content }}</s>{% endfor %}"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HCL_CACHE", str(tmp_path / "cache"))


def edit_json(file, **changes):
    entries = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(entries | changes))


def edit_config(folder, **changes):
    edit_json(folder / "config.json", **changes)


def load(folder, dtype="float32"):
    return load_model(str(folder), dtype, "cpu")[0]


def problem_of(folder, dtype="float32"):
    """The one line with which a folder is refused."""
    with pytest.raises(HclError) as caught:
        load(folder, dtype)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def save_tokenizer(folder, *, tokens=(), leading=None, trailing=None, chat_template=None):
    """Save the tiny tokenizer with more tokens, with what it puts around a text, and with a chat template."""
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": list(tokens)})
    if leading or trailing:
        single = " ".join(part for part in (leading, "$A", trailing) if part)
        used = [(part, tokenizer.convert_tokens_to_ids(part)) for part in (leading, trailing) if part]
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=used)
    tokenizer.chat_template = chat_template
    tokenizer.save_pretrained(folder)


# Config.


@pytest.mark.parametrize(
    "changes",
    [
        {"num_key_value_heads": "four"},
        {"max_position_embeddings": None},
        {"num_attention_heads": 7},
        {"num_attention_heads": 0},
        {"hidden_size": None},
        {"hidden_act": "nosuch"},
        {"eos_token_id": "1"},
        {"dtype": "float99"},
        {"num_hidden_layers": 0},
        {"num_hidden_layers": -1},
        {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e4}}},
        {"model_type": "t5"},
        {"model_type": None},
    ],
    ids=str,
)
def test_a_config_that_cannot_be_used_is_one_line(tiny_folder, changes):
    edit_config(tiny_folder, **changes)
    assert problem_of(tiny_folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000])
def test_a_config_that_is_no_json_object_names_its_file(tiny_folder, text):
    (tiny_folder / "config.json").write_text(text)
    assert str(tiny_folder / "config.json") in problem_of(tiny_folder)


def test_shapes_that_differ_from_the_config_are_named_with_both(tiny_folder):
    edit_config(tiny_folder, vocab_size=300)
    assert "(300, 64) was wanted; got (260, 64)" in problem_of(tiny_folder)


@pytest.mark.parametrize("family", ["mistral", "llama"])
def test_a_null_count_of_key_value_heads_is_one_line_or_the_count_of_heads(tmp_path, family):
    folder = tmp_path / "model"
    make_model(family, num_key_value_heads=4).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    edit_config(folder, num_key_value_heads=None)
    try:
        assert load(folder).num_key_value_heads == 4
    except HclError as error:
        assert "num_key_value_heads" in str(error)


@pytest.mark.parametrize(
    ("quantization", "method"),
    [
        ({"quant_method": "gptq", "bits": 4}, "by gptq, and can be computed by the package gptqmodel alone"),
        ({"quant_method": "awq", "bits": 4}, "by awq, and can be computed by the package gptqmodel alone"),
        (
            {"quant_method": "torchao"},
            "by torchao; only int8 and nf4 of bitsandbytes, fp8, mxfp4, compressed-te",
        ),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}, "by bitsandbytes"),
        ({"bits": 4}, "by an unknown method"),
        ([], "by an unknown method"),
    ],
    ids=str,
)
def test_weights_quantised_by_other_means_are_refused(tiny_folder, quantization, method):
    edit_config(tiny_folder, quantization_config=quantization)
    assert f"tiny-llama are quantised already, {method}" in problem_of(tiny_folder, "auto")


def test_weights_that_need_a_package_to_be_read_say_what_to_install(tiny_folder, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    edit_config(tiny_folder, quantization_config={"quant_method": "compressed-tensors"})
    assert problem_of(tiny_folder, "auto").endswith("not here: pip install -r requirements-quantized.txt")


def test_quantised_weights_of_mlx_are_told_as_what_they_are(tiny_folder):
    edit_config(tiny_folder, quantization={"group_size": 64, "bits": 4})
    assert "quantised for MLX" in problem_of(tiny_folder)


def test_plain_weights_of_mlx_are_read(tiny_folder):
    tensors = load_file(tiny_folder / "model.safetensors")
    plain = load(tiny_folder).tokenize("a")
    save_file(tensors, tiny_folder / "model.safetensors", metadata={"format": "mlx"})
    assert load(tiny_folder).tokenize("a") == plain


@pytest.fixture(params=["int8", "nf4"])
def stored_quantised(request, tiny_folder, tmp_path):
    """A folder of weights that are stored in int8 or nf4, and that format."""
    if importlib.util.find_spec("bitsandbytes") is None:
        pytest.skip("needs bitsandbytes")
    from transformers import AutoModelForCausalLM

    from hcl_core.decode.model.pretrained import _quantization

    model = AutoModelForCausalLM.from_pretrained(
        tiny_folder, quantization_config=_quantization(request.param, torch.bfloat16), dtype=torch.bfloat16
    )
    folder = tmp_path / "quantised"
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder, request.param


def test_weights_stored_quantised_load_as_they_are(stored_quantised):
    folder, stored = stored_quantised
    assert load(folder, "auto").dtype_name == load(folder, stored).dtype_name == stored


def test_another_dtype_of_weights_stored_quantised_is_refused(stored_quantised):
    folder, stored = stored_quantised
    assert f"are stored as {stored}: use --dtype auto or {stored}; got bfloat16" in problem_of(folder, "bfloat16")


# Files.


def test_a_folder_of_a_gguf_says_to_give_the_file(tmp_path):
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    assert f"it holds a GGUF file: give that file, {str(tmp_path / 'm.gguf')!r}" in problem_of(tmp_path)


def test_a_gguf_beside_a_config_says_to_give_the_file(tiny_folder):
    (tiny_folder / "model.safetensors").rename(tiny_folder / "m.gguf")
    assert f"give that file, {str(tiny_folder / 'm.gguf')!r}" in problem_of(tiny_folder)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nosuch.gguf", "there is no file 'nosuch.gguf': give the path of a GGUF file on this machine"),
        ("owner/NoSuch.GGUF", "there is no file 'owner/NoSuch.GGUF': give the path of a GGUF file on this machine"),
        (
            "./m.safetensors",
            "there is no file './m.safetensors'; a model is a folder with a config.json beside such files: give that "
            "folder",
        ),
        ("./nosuch", "there is no model folder './nosuch': give the path of a folder on this machine"),
        (
            "",
            "a model needs a name; got an empty one: give a name that `models` lists, a Hub id such as owner/name, a "
            "folder or a GGUF file",
        ),
    ],
)
@pytest.mark.parametrize("read", [load_model, registry.model_shape, registry.find_unloaded])
def test_a_path_where_nothing_is_does_not_ask_the_hub(read, name, said, monkeypatch):
    monkeypatch.setattr(checkpoints, "snapshot_download", lambda *_, **__: pytest.fail("asked the Hub"))
    with pytest.raises(ModelNotFoundError) as caught:
        read(name)
    assert str(caught.value) == said


@pytest.mark.parametrize("read", [load_model, registry.model_shape, registry.find_unloaded])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"version https://git-lfs.github.com",
            "is no GGUF file: it must begin with GGUF; got b'vers': fetch it again",
        ),
        (b"", "is empty: a GGUF file was wanted: fetch it again"),
    ],
)
def test_a_file_that_is_no_gguf_is_told_before_it_is_unpacked(read, content, said, tmp_path, caplog):
    (file := tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(DamagedModelError) as caught:
        read(str(file))
    assert str(caught.value) == f"{file} {said}"
    assert caplog.messages == []


@pytest.mark.parametrize(("content", "hint"), [(None, ""), ("m.gguf", "; it holds a GGUF file: give that file, ")])
def test_a_folder_called_as_a_gguf_asks_for_the_file(tmp_path, content, hint):
    (folder := tmp_path / "x.gguf").mkdir()
    if content is not None:
        (folder / content).write_bytes(b"GGUF")
    said = problem_of(folder)
    assert said.startswith(f"{str(folder)!r} is a folder: a GGUF file was wanted: give the file itself{hint}")
    assert (str(folder / "m.gguf") in said) == bool(hint)


def test_a_model_folder_called_as_a_gguf_is_a_model_folder(tiny_folder, tmp_path):
    assert load(tiny_folder.rename(tmp_path / "tiny.gguf")).num_hidden_layers == 4


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_file_of_a_model_asks_for_its_folder(tiny_folder, name):
    assert problem_of(tiny_folder / name) == (
        f"{str(tiny_folder / name)!r} is a file: a folder with a config.json, or a file that ends with .gguf, was "
        "wanted: give the folder that holds it"
    )


def test_an_adapter_alone_names_its_model(tiny_folder):
    (tiny_folder / "config.json").unlink()
    edit_json(tiny_folder / "adapter_config.json", base_model_name_or_path="owner/base")
    assert "it holds an adapter of owner/base: merge it into that model" in problem_of(tiny_folder)


def test_an_adapter_beside_whole_weights_is_said_and_not_used(tiny_folder, caplog):
    edit_json(tiny_folder / "adapter_config.json", base_model_name_or_path="owner/base", peft_type="LORA")
    load(tiny_folder)
    assert caplog.messages == ["tiny-llama: the adapter beside its weights is not used; merge it into them first"]


def test_weights_that_are_not_used_are_one_line(tiny_folder, caplog, capfd):
    edit_config(tiny_folder, num_hidden_layers=2)
    assert load(tiny_folder).num_hidden_layers == 2
    (line,) = caplog.messages
    assert line.startswith("tiny-llama: 26 of the tensors in its weight files are not used, such as model.layers.2.")
    assert "LOAD REPORT" not in "".join(capfd.readouterr())


def test_a_folder_as_it_is_saved_needs_no_word(tiny_folder, caplog):
    load(tiny_folder)
    assert caplog.messages == []


# Tokenizers.


def test_a_vocabulary_smaller_than_the_tokenizers_is_refused_with_both_sizes(tmp_path):
    folder = tmp_path / "small"
    make_model("llama", vocab_size=200).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    assert "the tokenizer of small has 258 tokens, but the model has embeddings for 200" in problem_of(folder)


def test_tokens_added_beyond_the_embedding_are_text_in_a_question(tiny_folder):
    save_tokenizer(tiny_folder, tokens=["<|user|>", "<|assistant|>", "<|end|>"])
    lm = load(tiny_folder)
    prompt = load_template().render("What is <|end|>?")
    token_ids = lm.tokenize(prompt, question="What is <|end|>?")
    assert (lm.vocab_size, max(token_ids) < 260, lm.detokenize(token_ids)) == (260, True, prompt)


def test_a_chat_template_that_writes_a_token_beyond_the_embedding_is_one_line(capsys, tiny_folder, tmp_path):
    save_tokenizer(tiny_folder, tokens=["<|a|>", "<|b|>", "<|c|>"], chat_template="<|c|>{{ messages[0].content }}")
    code, _, err = ask(capsys, tiny_folder, tmp_path / "run")
    assert (code, err.count("\n")) == (2, 1)
    assert "tiny-llama has embeddings for 260 tokens; the prompt has number 260, '<|c|>', which was added" in err


def test_a_tokenizer_without_a_padding_token_needs_none(tiny_folder, capsys, tmp_path):
    assert load(tiny_folder).tokenizer.pad_token is None
    assert ask(capsys, tiny_folder, tmp_path / "run", "few_shot")[0] == 0


def test_a_padding_token_beyond_the_embedding_does_not_matter(tiny_folder):
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["<|a|>", "<|b|>"])
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    tokenizer.save_pretrained(tiny_folder)
    assert tokenizer.pad_token_id == 260 == load(tiny_folder).vocab_size


def test_a_leading_token_beyond_the_embedding_is_refused(tiny_folder):
    save_tokenizer(tiny_folder, leading="<s>")
    tokenizer = json.loads((tiny_folder / "tokenizer.json").read_text())
    tokenizer["post_processor"]["special_tokens"]["<s>"]["ids"] = [999]
    (tiny_folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert "has 1000 tokens, but the model has embeddings for 260" in problem_of(tiny_folder)


def test_a_tokenizer_of_a_newer_library_names_the_version_that_is_here(tiny_folder):
    tokenizer = json.loads((tiny_folder / "tokenizer.json").read_text())
    tokenizer["model"]["type"] = "Newer"
    (tiny_folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    import tokenizers

    assert f"read by tokenizers {tokenizers.__version__}" in problem_of(tiny_folder)


def test_a_folder_without_a_tokenizer_is_refused(tiny_folder):
    for file in tiny_folder.glob("tokenizer*"):
        file.unlink()
    assert str(tiny_folder) in problem_of(tiny_folder)


@pytest.mark.parametrize(
    "kind", ["LlamaTokenizerFast", "LlamaTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend"]
)
def test_the_class_that_a_tokenizer_is_called_by_does_not_change_its_tokens(tiny_folder, kind):
    before = load(tiny_folder).tokenize("What do bees make?\nHoney")
    edit_json(tiny_folder / "tokenizer_config.json", tokenizer_class=kind)
    assert load(tiny_folder).tokenize("What do bees make?\nHoney") == before


@pytest.mark.parametrize("prompt", ["Question", "<s>Question"])
def test_a_prompt_begins_with_one_leading_token(tiny_folder, prompt):
    save_tokenizer(tiny_folder, leading="<s>")
    lm = load(tiny_folder)
    assert lm.tokenize(prompt) == [BOS, *lm.tokenize("Question", is_chat=True)]


def test_a_chat_prompt_begins_with_one_leading_token(tiny_folder):
    save_tokenizer(tiny_folder, leading="<s>", chat_template="{{ bos_token }}{{ messages[0].content }}")
    lm = load(tiny_folder)
    assert lm.tokenize(lm.wrap_chat("hi"), is_chat=True) == lm.tokenize("hi")


def test_a_prompt_does_not_end_with_the_token_that_ends_texts(tiny_folder):
    save_tokenizer(tiny_folder, leading="<s>", trailing="</s>")
    assert EOS not in load(tiny_folder).tokenize("Question")


@pytest.mark.parametrize("question", ["</s> Name a planet", "a</s><s>b", "<s>", "What is <|x|>? <|x|> again"])
def test_a_control_token_in_a_question_is_text(tiny_folder, question):
    save_tokenizer(tiny_folder, tokens=["<|x|>"])
    lm = load(tiny_folder)
    prompt = load_template().render(question)
    token_ids = lm.tokenize(prompt, question=question)
    assert not {BOS, EOS, 258} & set(token_ids)
    assert lm.detokenize(token_ids) == prompt


def test_control_tokens_of_the_chat_template_act_beside_those_in_the_question(tiny_folder):
    save_tokenizer(tiny_folder, chat_template=CHAT)
    lm = load(tiny_folder)
    token_ids = lm.tokenize(lm.wrap_chat("end </s>"), is_chat=True, question="end </s>")
    assert (token_ids[0], token_ids[-1], token_ids[1:-1].count(EOS)) == (BOS, EOS, 0)
    assert lm.detokenize(token_ids) == "end </s>"


def test_a_question_without_control_tokens_has_the_tokenizers_own_ids(tiny_folder):
    save_tokenizer(tiny_folder, leading="<s>")
    lm, prompt = load(tiny_folder), load_template().render("Name a planet")
    assert lm.tokenize(prompt, question="Name a planet") == list(lm.tokenizer(prompt).input_ids)


def test_a_control_token_in_a_question_does_not_reach_a_run(capsys, tiny_folder, tmp_path):
    code, *_ = ask(capsys, tiny_folder, tmp_path / "run", "few_shot", "</s> Name a planet")
    assert code == 0


# Chat templates.


def ask(capsys, folder, out, template="chat", question="Name a planet"):
    """Run one question; the exit code, stdout and stderr."""
    what = (
        "--question",
        question,
        "--accept",
        "Mars",
        "--template",
        template,
        "--exit-head",
        "shared",
        "--device",
        "cpu",
    )
    limits = ("--layers", "2,4", "--samples", 1, "--max-new-tokens", 2)
    return run_command(capsys, "run", "--model", folder, *what, *limits, "--out", out)


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("{{ raise_exception('a system turn must come first') }}", "a system turn must come first"),
        ("{{ messages[2]['content'] }}", "no element 2"),
        ("{% for m in messages %}", "Unexpected end of template"),
        ("{{ messages[0].content | nosuch }}", "nosuch"),
        ("{{ strftime_now() }}", "date_format"),
        ("{{ ''.__class__.__mro__ }}", "__class__"),
        ("{{ 1 / 0 }}", "division"),
        ("{% if false %}x{% endif %}", "without the question"),
        ("always the same", "without the question"),
        ({"rag": "R", "tool_use": "T"}, "there are several (rag, tool_use), and none is the default"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_chat_template_that_fails_is_one_line_with_its_complaint(capsys, tiny_folder, tmp_path, template, complaint):
    save_tokenizer(tiny_folder, chat_template=template)
    code, _, err = ask(capsys, tiny_folder, tmp_path / "run")
    assert (code, complaint in err, err.count("\n")) == (2, True, 1)


NEEDS_SYSTEM = "{% if messages[0].role != 'system' %}{{ raise_exception('no system turn') }}{% endif %}"


def test_a_chat_template_that_needs_a_system_turn_gets_an_empty_one(tiny_folder):
    save_tokenizer(tiny_folder, chat_template=NEEDS_SYSTEM + "[{{ messages[0].content }}]{{ messages[1].content }}")
    assert load(tiny_folder).wrap_chat("hi") == "[]hi"


def test_a_chat_template_without_the_question_is_refused_with_a_system_turn_too(tiny_folder):
    save_tokenizer(tiny_folder, chat_template=NEEDS_SYSTEM + "[{{ messages[0].content }}]")
    with pytest.raises(HclError, match="without the question"):
        load(tiny_folder).wrap_chat("hi")


def test_a_named_default_among_several_templates_is_used(tiny_folder):
    save_tokenizer(tiny_folder, chat_template={"default": "D{{ messages[0].content }}", "rag": "R"})
    assert load(tiny_folder).wrap_chat("hi") == "Dhi"


def test_a_template_that_writes_the_question_otherwise_is_used(tiny_folder):
    save_tokenizer(tiny_folder, chat_template="{{ messages[0].content | upper }}")
    assert load(tiny_folder).wrap_chat("hi") == "HI"


@pytest.mark.parametrize("switch", ["enable_thinking", "thinking"])
def test_thinking_is_off_where_the_template_has_a_switch(tiny_folder, switch):
    template = f"{{{{ messages[0].content }}}}{{% if {switch} is false %}}<think></think>{{% endif %}}"
    save_tokenizer(tiny_folder, chat_template=template)
    assert load(tiny_folder).wrap_chat("hi") == "hi<think></think>"


def test_a_run_with_a_template_that_prints_the_date_goes_on_another_day(capsys, tiny_folder, tmp_path, monkeypatch):
    import transformers.utils.chat_template_utils as theirs

    save_tokenizer(tiny_folder, chat_template="{{ strftime_now('%d %b %Y %S') }}: {{ messages[0].content }}")
    prompts = []
    for day in (3, 4):
        clock = SimpleNamespace(now=lambda day=day: datetime(2026, 5, day))
        monkeypatch.setattr(theirs, "datetime", clock)
        assert ask(capsys, tiny_folder, tmp_path / "run")[0] == 0
        prompts.append(RunFolder(tmp_path / "run").questions()[0].prompt)
    assert prompts[0] == prompts[1]
    assert prompts[0].startswith(prompt_tokens.CHAT_DATE.strftime("%d %b %Y"))


# Rounding.


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_from_disk_reads_a_prompt_as_transformers_does(tmp_path, family, dtype):
    from transformers import AutoModelForCausalLM

    from hcl_core.decode.heads.fidelity import final_logits
    from hcl_core.decode.heads.hidden_states import read_text

    make_model(family).to(torch.bfloat16).save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    lm = load(tmp_path, dtype)
    peer = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=getattr(torch, dtype), attn_implementation="eager")
    token_ids = lm.tokenize("Q: Which colour?\nA:")
    with torch.inference_mode():
        ours = final_logits(lm, read_text(lm, token_ids)[-1])
        theirs = peer.eval()(torch.tensor([token_ids])).logits[0].float()
    # Rounding differs with the order of sums: a few parts in a hundred of the spread of the logits after four layers.
    assert float((ours - theirs).abs().mean() / theirs.std()) < 0.05


@pytest.mark.parametrize("temperature", [1e-8, 1e-30, 1e-37, 1e-40, 1e-320])
def test_a_tiny_temperature_takes_the_most_probable_token(temperature):
    from hcl_core.decode.trie.sampling import draw_tokens
    from hcl_core.records import SamplingSettings

    logits = 3 * torch.randn(20, 300, generator=torch.Generator().manual_seed(0))
    rows, uniforms = torch.arange(20), torch.rand(20, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    settings = SamplingSettings(temperature=temperature, top_p=0.9)
    assert torch.equal(draw_tokens(logits, rows, uniforms, settings)[0], logits.argmax(-1))


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "generation_config.json", "chat_template.jinja", "added_tokens.json"]
)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_a_device_in_the_place_of_a_file_is_refused_at_once(tiny_folder, name, kind):
    (tiny_folder / name).unlink(missing_ok=True)
    os.mkfifo(tiny_folder / name) if kind == "pipe" else (tiny_folder / name).symlink_to("/dev/zero")
    assert f"{str(tiny_folder / name)!r} is a pipe or a device" in problem_of(tiny_folder)
