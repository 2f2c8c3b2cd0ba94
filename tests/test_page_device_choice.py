"""The devices of a page: how they are named when the program starts, and models that do not fit on each of them."""

import gc
import importlib.util
import sys
import weakref
from contextlib import nullcontext

import pytest
from test_device_lists import BAD_DEVICES, CPU, two_gpus  # noqa: F401
from test_handlers import LetterEmbedder
from test_resume import ROOT
from test_shared_runs import use

from app.service import Service
from hcl_core import registry
from hcl_core.decode.model import loading
from hcl_core.decode.model.pretrained import load_causal_lm
from hcl_core.errors import NotEnoughMemoryError

# Memory.


@pytest.fixture
def real_page(monkeypatch, tmp_path):
    """Loads models as a page does, twice on one CPU."""
    monkeypatch.setenv("HCL_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(loading, "choose_devices", lambda devices: (CPU,) * len(devices.split(",")))
    monkeypatch.setattr(registry, "load_embedder", LetterEmbedder)
    return Service(device="cpu,cpu")


class FullDevice:
    """The second device lacks room for its replica while ``is_full()``; notes the first one's."""

    def __init__(self, is_full):
        self.loaded, self._is_full = [], is_full

    def __call__(self, *given):
        if len(self.loaded) % 2 == 1 and self._is_full():
            self.loaded.append(None)
            raise RuntimeError("CUDA: can't allocate memory")
        lm = load_causal_lm(*given)
        self.loaded.append(weakref.ref(lm))
        return lm


def test_a_load_that_fails_on_the_second_device_leaves_nothing_half_loaded(real_page, tiny_folder, monkeypatch):
    room: list[str] = []
    load = FullDevice(lambda: not room)
    monkeypatch.setattr(loading, "load_causal_lm", load)
    with pytest.raises(NotEnoughMemoryError, match="out of memory while loading"):
        use(real_page, str(tiny_folder))
    gc.collect()
    assert real_page.models.names == () and load.loaded[0]() is None and not real_page.jobs._queue
    room.append("enough")
    use(real_page, str(tiny_folder))
    assert len(real_page.models.find(str(tiny_folder)).replicas) == 2


def test_a_model_that_lacks_room_on_one_device_waits_until_another_goes_from_both(real_page, tiny_folder, monkeypatch):
    other = tiny_folder.with_name("other")
    other.symlink_to(tiny_folder)
    use(real_page, str(tiny_folder))
    gone = [weakref.ref(each.lm) for each in real_page.models.find(str(tiny_folder)).replicas]
    load = FullDevice(lambda: real_page.models.names != ())
    monkeypatch.setattr(loading, "load_causal_lm", load)
    use(real_page, str(other))
    gc.collect()
    assert real_page.models.names == (str(other),) and [each() for each in gone] == [None, None]
    assert len(load.loaded) == 4 and load.loaded[0]() is None


# The option of the program.


class Launched(BaseException):
    """The program has come as far as its service, with these arguments."""


@pytest.fixture
def start(monkeypatch, capsys):
    """Starts ``app.py``, which the package ``app`` hides, up to its service; its exit code and complaint."""
    for name in ("GRADIO_ANALYTICS_ENABLED", "FORWARDED_ALLOW_IPS", "HF_HUB_DISABLE_PROGRESS_BARS", "TQDM_DISABLE"):
        monkeypatch.setenv(name, "1")  # and back again: the program sets them
    spec = importlib.util.spec_from_file_location("page_program", ROOT / "app.py")
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    for name in ("limit_arenas", "limit_log", "log_as", "quiet_start"):  # which hold for the whole process
        monkeypatch.setattr(program, name, nullcontext)

    def service(*given):
        raise Launched(*given)

    monkeypatch.setattr(program, "Service", service)

    def start_with(*options):
        monkeypatch.setattr(sys, "argv", ["app.py", *options])
        with pytest.raises(SystemExit) as ended:
            program.main()
        return ended.value.code, capsys.readouterr().err

    return start_with


@pytest.mark.parametrize("devices", [*BAD_DEVICES, "auto,cuda:0", "cpu,cuda:0"])
def test_bad_devices_are_the_sentence_of_the_terminal_and_exit_code_2(two_gpus, start, devices):  # noqa: F811
    code, printed = start("--device", devices)
    expected = BAD_DEVICES.get(devices, BAD_DEVICES["cpu,cpu"])
    assert code == 2 and printed.startswith("error: ") and expected in printed and printed.count("\n") == 1


def test_a_lent_gpu_takes_no_device(start, monkeypatch):
    monkeypatch.setenv("SPACES_ZERO_GPU", "1")
    code, printed = start("--device", "cuda:0")
    assert code == 2 and "--device is not for a ZeroGPU Space" in printed


@pytest.mark.parametrize(("options", "device"), [(["--device", "cuda:1,cuda:0"], "cuda:1,cuda:0"), ([], "auto")])
def test_the_page_gets_the_devices(two_gpus, start, options, device):  # noqa: F811
    with pytest.raises(Launched) as launched:
        start(*options)
    assert launched.value.args[-1] == device
