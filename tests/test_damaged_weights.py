"""Weights that are cut off, damaged or lie: one sentence that names the file, and little memory.

Also by the terminal and on the page. What ``transformers`` cannot read though it is whole: ``test_gguf_files.py``.
"""

import os
import random
import resource
import struct
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import make_model, make_tokenizer, run_command
from test_gguf_files import make_llama, write_gguf
from test_handlers import by, form

torch = pytest.importorskip("torch")

from app.handlers import explore, head, models  # noqa: E402
from app.language import Translator  # noqa: E402
from app.models_here import notice_on_model  # noqa: E402
from app.service import Service  # noqa: E402
from app.visit import Balance  # noqa: E402
from hcl_core import registry  # noqa: E402
from hcl_core.decode.model.gguf_header import num_weights_in  # noqa: E402
from hcl_core.decode.model.loading import load_model  # noqa: E402
from hcl_core.errors import DamagedModelError, HclError  # noqa: E402

# Above what a tiny model takes, which is less than a MiB; below what a lie would.
MOST_MIB = 200


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HCL_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a GGUF file."""
    file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(file, make_llama())
    return file.read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model's folder; tests write the file of its weights anew."""
    path = tmp_path_factory.mktemp("safetensors") / "tiny"
    make_model("llama").save_pretrained(path)
    make_tokenizer().save_pretrained(path)
    return path


def problems_of(name):
    """What is said of a model before it is loaded, and by the load; ``None`` each where it is read."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    problems: list[str | None] = []
    for ask in (registry.model_shape, lambda each: load_model(each, "float32", "cpu")):
        try:
            ask(str(name))
            problems.append(None)
        except HclError as error:
            problems.append(str(error))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MIB * 1024
    assert not any("\n" in problem for problem in problems if problem)
    return problems


def problem_of(name):
    shape, load = problems_of(name)
    assert load is not None
    assert shape in (None, load)
    return load


def header_size(whole):
    """Bytes before the tensors, about: the names of tensors stand in the header alone."""
    return whole.rindex(b"blk.") + 100


# GGUF files.


def test_a_file_that_is_cut_off_anywhere_is_said_to_be_incomplete(tmp_path, whole):
    file, size = tmp_path / "tiny.gguf", header_size(whole)
    cuts = [*range(4, 120, 3), *range(120, size, size // 60), *range(size, len(whole), len(whole) // 20)]
    for cut in cuts:
        file.write_bytes(whole[:cut])
        problem = problem_of(file)
        assert problem.startswith(f"{file} is damaged or incomplete: it "), cut
        assert problem.endswith(": fetch it again") and "ends" in problem, cut


def flipped(whole, chance, first):
    """The content with one to eight bytes changed among the first ones."""
    content = bytearray(whole)
    for _ in range(chance.choice([1, 1, 2, 8])):
        place = chance.randrange(4, first)
        content[place] = chance.choice([0, 255, content[place] ^ 1 << chance.randrange(8), chance.randrange(256)])
    return bytes(content)


@pytest.mark.parametrize("seed", range(4))
def test_a_file_with_changed_bytes_in_its_header_is_read_or_refused_in_a_sentence(tmp_path, whole, seed):
    chance, size = random.Random(seed), header_size(whole)
    for number in range(60):
        file = tmp_path / f"{number}.gguf"
        file.write_bytes(flipped(whole, chance, 700 if number % 2 else size))
        for problem in problems_of(file):
            assert problem is None or file.name in problem or "model" in problem, problem


def put(whole, name, at, value, form="<Q"):
    """The content with another number ``at`` bytes behind a name."""
    place = whole.index(name) + len(name) + at
    written = struct.pack(form, value)
    return whole[:place] + written + whole[place + len(written) :]


TOKENS, BLOCKS, MLP = b"tokenizer.ggml.tokens", b"llama.block_count", b"llama.feed_forward_length"
LIES = {
    "endless tensors": (lambda whole: whole[:8] + struct.pack("<Q", 2**60) + whole[16:], "tiny.gguf is damaged"),
    "endless fields": (lambda whole: whole[:16] + struct.pack("<Q", 2**60) + whole[24:], "tiny.gguf is damaged"),
    "an endless name": (lambda whole: whole[:24] + struct.pack("<Q", 2**62) + whole[32:], "ends within its header"),
    "an endless list": (
        lambda whole: put(whole, TOKENS, 8, 2**62),
        "lists of more than 4,194,304 values",
    ),
    "a list past the end": (lambda whole: put(whole, TOKENS, 8, 2**22 - 1), "ends within its header"),
    "another version": (lambda whole: whole[:4] + struct.pack("<I", 1) + whole[8:], "version 1; 2 and 3 can be read"),
    "too many blocks": (
        lambda whole: put(whole, BLOCKS, 4, 2**31 - 1, "<I"),
        "blocks, and its tensors are of 3",
    ),
    "too few blocks": (
        lambda whole: put(whole, BLOCKS, 4, 2, "<I"),
        "says 2 blocks, and its tensors are of 3",
    ),
    "too wide": (lambda whole: put(whole, b"llama.embedding_length", 4, 2**20, "<I"), "numbers, and its config says"),
    "too wide an MLP": (
        lambda whole: put(whole, MLP, 4, 2**24, "<I"),
        "numbers, and its config says",
    ),
    "no heads": (lambda whole: put(whole, b"llama.attention.head_count", 4, 0, "<I"), "tiny.gguf"),
    "a text for a number": (lambda whole: whole.replace(b"block_count\4", b"block_count\6", 1), "tiny.gguf is damaged"),
    "an endless tensor": (lambda whole: put(whole, b"token_embd.weight", 4, 2**50), "before its tensor 'token_"),
    "a tensor elsewhere": (
        lambda whole: put(whole, b"token_embd.weight", 24, 2**40),
        "before its tensor 'token_embd",
    ),
    "numbers of no kind": (lambda whole: put(whole, b"token_embd.weight", 20, 99, "<I"), "a kind that is not"),
    "many dimensions": (lambda whole: put(whole, b"token_embd.weight", 0, 2**30, "<I"), "dimensions"),
    "a name twice": (lambda whole: whole.replace(b"llama.rope.freq_base", b"llama.context_length", 1), "twice"),
    "no text": (lambda whole: whole.replace(b"general.name", b"general.\xff\xfe\xff\xff", 1), "no UTF-8"),
    "tensors that overlap": (lambda whole: overlapping(whole), "begins within another one"),
}


def overlapping(whole):
    """All matrices of the MLPs where the first one is."""
    first = whole.index(b"blk.0.ffn_gate.weight")
    begin = whole[first + 45 : first + 53]
    for block in range(3):
        for name in (b"ffn_up.weight", b"ffn_gate.weight"):
            place = whole.index(b"blk.%d." % block + name) + len(name) + 6 + 24
            whole = whole[:place] + begin + whole[place + 8 :]
    return whole


@pytest.mark.parametrize("lie", LIES)
def test_a_file_that_lies_is_refused_in_a_sentence(tmp_path, whole, lie):
    change, said = LIES[lie]
    file = tmp_path / "tiny.gguf"
    file.write_bytes(change(whole))
    assert said in problem_of(file)


@pytest.fixture
def little_memory():
    """Above what the test has already, 1 GiB can be taken."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def test_a_text_as_long_as_a_large_file_takes_no_memory(tmp_path, whole, little_memory):
    file = tmp_path / "tiny.gguf"
    file.write_bytes(whole[:24] + struct.pack("<Q", 2**35))
    os.truncate(file, 2**36)  # takes no place on disk
    with pytest.raises(DamagedModelError, match=r"its header has more than [\d,]+ bytes: fetch it again"):
        num_weights_in(file)


def test_many_small_tensors_are_refused_before_they_are_read(tmp_path, whole):
    file = tmp_path / "tiny.gguf"
    file.write_bytes(whole[:8] + struct.pack("<QQ", 2**18, 0))
    os.truncate(file, 2**26)
    with pytest.raises(DamagedModelError, match="more than 131,072 fields and tensors"):
        num_weights_in(file)


def test_a_file_that_is_cut_off_while_it_is_read_is_damaged(tmp_path, whole, monkeypatch):
    file = tmp_path / "tiny.gguf"
    file.write_bytes(whole[:200])
    monkeypatch.setattr(Path, "stat", lambda _: SimpleNamespace(st_size=len(whole)))
    with pytest.raises(DamagedModelError, match="shorter while it was read"):
        num_weights_in(file)


# Safetensors.


def test_weights_that_are_cut_off_anywhere_are_said_to_be_incomplete(folder):
    file = folder / "model.safetensors"
    content = file.read_bytes()
    try:
        size = 8 + struct.unpack("<Q", content[:8])[0]
        for cut in [*range(0, 40, 2), *range(40, size, size // 40), *range(size, len(content), len(content) // 20)]:
            file.write_bytes(content[:cut])
            assert problem_of(folder) == f"{file} is damaged or incomplete: fetch the model again", cut
    finally:
        file.write_bytes(content)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_folder_with_changed_bytes_is_read_or_refused_in_a_sentence(folder, name, seed):
    file, chance = folder / name, random.Random(seed)
    content = file.read_bytes()
    first = 8 + struct.unpack("<Q", content[:8])[0] if name.endswith("safetensors") else len(content)
    try:
        for _ in range(40):
            file.write_bytes(flipped(content, chance, first))
            problems_of(folder)
    finally:
        file.write_bytes(content)


@pytest.mark.parametrize(
    ("size", "value"),
    [("num_hidden_layers", 10**12), ("hidden_size", 2**20), ("intermediate_size", 2**26), ("vocab_size", 2**30)],
)
@pytest.mark.parametrize("family", ["llama", "opt"])
def test_a_config_of_a_far_larger_model_than_the_weights_is_refused(tmp_path, family, size, value):
    import json

    name = {"intermediate_size": "ffn_dim"}.get(size, size) if family == "opt" else size
    folder = tmp_path / family
    overrides = {"word_embed_proj_dim": 64, "ffn_dim": 128} if family == "opt" else {}
    make_model(family, **overrides).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {name: value}))
    problem = problem_of(folder)
    assert "; at most 1,000 can be" in problem or ("numbers, and its config says that the model has" in problem)


# Whoever asks.


def test_the_terminal_says_it_with_exit_code_2(tmp_path, whole, capsys):
    file = tmp_path / "tiny.gguf"
    file.write_bytes(whole[:40])
    for command in (
        ("run", "--model", file, "--question", "Why?", "--accept", "so", "--out", tmp_path / "run"),
        ("models", "--check", file),
        ("memory", "--model", file),
        ("lens", "--model", file, "--prompt", "Why?"),
        ("fit-head", "--model", file),
    ):
        code, out, told = run_command(capsys, *command)
        assert (code, out) == (2, ""), command
        assert "tiny.gguf is damaged or incomplete: it has 40 bytes and ends within its header: fetch it again" in told
        assert len(told.strip().splitlines()) == 1, told


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF\3\0\0\0", None])
def test_the_page_says_nothing_of_it_before_the_load(tmp_path, whole, content):
    file = tmp_path / "tiny.gguf"
    file.write_bytes(whole[:300] if content is None else content)
    visit = by(Service())
    facts = models.facts_of(visit, str(file))
    assert facts.shape is None and models.num_hidden_layers(visit, str(file)) is None
    assert notice_on_model(str(file)) is None
    head.head_of(visit, str(file))


def test_a_run_on_the_page_says_it_in_the_visitors_language(tmp_path, whole, monkeypatch):
    monkeypatch.setenv("HCL_RUNS", str(tmp_path / "runs"))
    file = tmp_path / "tiny.gguf"
    file.write_bytes(whole[:40])
    with pytest.raises(HclError, match="has 40 bytes and ends within its header") as caught:
        list(explore.run(by(Service()), form(model=str(file)), Balance()))
    said = Translator("de").error(str(caught.value))
    assert "sie hat 40 Bytes und endet in ihrem Kopf: die Datei neu holen" in said
