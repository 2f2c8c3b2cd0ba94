"""A run as a data set of the Hub; the Hub's own client, against a server that stands in for the Hub."""

import base64
import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import datasets
import pytest
import yaml
from conftest import run_command
from huggingface_hub import constants

from hcl_core.errors import RunFolderError, SettingsError
from hcl_core.runs.folder import RunFolder
from hcl_core.transfer.data_set import card, data_set_files, repo_of

SHIPPED = Path(__file__).parent.parent / "precomputed" / "0be6b1cadd189061"


@pytest.fixture
def folder(tmp_path):
    """A copy of a shipped run, with files that are none of its own."""
    copy = tmp_path / "run"
    shutil.copytree(SHIPPED, copy)
    (copy / ".env").write_text("HF_TOKEN=secret")
    (copy / "samples" / "part-00000.parquet.tmp").write_text("half")
    (copy / "notes.txt").write_text("mine")
    return copy


class StandIn(ThreadingHTTPServer):
    """The Hub, as far as a commit needs it; keeps what it was asked and sent."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Asked)
        self.asked, self.files, self.is_private, self.status = [], {}, None, 200
        self.deleted: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Asked(BaseHTTPRequestHandler):
    server: StandIn

    def do_GET(self):
        self.server.asked.append((self.command, self.path.partition("?")[0]))
        there = [{"type": "file", "path": path, "size": 1, "oid": "0" * 40} for path in ("README.md", "old.txt")]
        there += [{"type": "file", "path": "samples/part-00999.parquet", "size": 1, "oid": "0" * 40}]
        is_tree = "/tree/" in self.path
        siblings = [{"rfilename": each["path"]} for each in there]
        self.answer(there if is_tree else {"id": "me/planets", "sha": "0" * 40, "siblings": siblings})

    def do_POST(self):
        path, sent = self.path.partition("?")[0], self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append((self.command, path))
        if self.headers["authorization"] != "Bearer secret" or self.server.status != 200:
            return self.answer({"error": "no"}, self.server.status if self.server.status != 200 else 401)
        if path == "/api/repos/create":
            self.server.is_private = json.loads(sent)["visibility"] == "private"
            return self.answer({"url": "https://huggingface.co/datasets/me/planets"})
        if "/preupload/" in path:
            told = {"uploadMode": "regular", "shouldIgnore": False}
            return self.answer({"files": [told | {"path": each["path"]} for each in json.loads(sent)["files"]]})
        if path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        for line in map(json.loads, sent.splitlines()):
            if line["key"] == "file":
                self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "deletedFile":
                self.server.deleted.append(line["value"]["path"])
        return self.answer({"commitUrl": "https://huggingface.co/datasets/me/planets/commit/1", "commitOid": "1" * 40})

    def answer(self, content, status=200):
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch):
    server = StandIn()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "secret")
    yield server
    server.shutdown()


def test_a_run_becomes_a_private_data_set_that_datasets_reads(folder, hub, capsys, tmp_path):
    code, out, err = run_command(capsys, "push", str(folder), "hf://datasets/me/planets")
    assert code == 0, err
    assert "Uploaded to http" in out and "/datasets/me/planets" in out
    assert "secret" not in out + err and hub.is_private is True
    assert hub.deleted == ["samples/part-00999.parquet"]  # of another run; a file of somebody's own stays
    for path, content in hub.files.items():
        assert path == "README.md" or content == (SHIPPED / path).read_bytes()
        (tmp_path / "got" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "got" / path).write_bytes(content)
    samples = datasets.load_dataset(str(tmp_path / "got"), "samples", split="train", cache_dir=str(tmp_path / "cache"))
    assert len(samples) == len(RunFolder(SHIPPED).samples())
    head = yaml.safe_load(hub.files["README.md"].decode().split("---")[1])
    assert {each["config_name"] for each in head["configs"]} == {
        "samples", *(path.removesuffix(".parquet") for path in hub.files if "/" not in path and ".parquet" in path)
    }  # fmt: skip


def test_a_data_set_is_public_where_that_was_asked_for(folder, hub, capsys):
    assert run_command(capsys, "push", str(folder), "hf://datasets/me/planets", "--public")[0] == 0
    assert hub.is_private is False


def test_a_dry_run_lists_the_run_s_own_files_and_the_card_and_asks_nobody(folder, hub, capsys):
    code, out, _ = run_command(capsys, "push", str(folder), "hf://datasets/me/planets", "--dry-run")
    listed = {line.split()[-1] for line in out.splitlines() if line[:13].strip().replace(",", "").isdigit()}
    assert code == 0 and not hub.asked
    names = {file.relative_to(SHIPPED).as_posix() for file in SHIPPED.rglob("*") if file.is_file()}
    assert listed == {"README.md", *names}
    assert "arXiv 2503.02851" in out


@pytest.mark.parametrize(
    ("status", "sentence"), [(401, "the Hub did not take the data set"), (403, "the Hub did not take the data set")]
)
def test_a_refusal_of_the_hub_is_one_line(folder, hub, capsys, status, sentence):
    hub.status = status
    code, _, err = run_command(capsys, "push", str(folder), "hf://datasets/me/planets")
    assert code == 2 and sentence in err and "Traceback" not in err and not hub.files


def test_without_a_token_nobody_is_asked(folder, hub, capsys, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    code, _, err = run_command(capsys, "push", str(folder), "hf://datasets/me/planets")
    assert code == 2 and "set HF_TOKEN in the environment" in err and not hub.asked


@pytest.mark.parametrize(
    "address",
    ["me/planets", "hf://me/planets", "hf://datasets/", "hf://datasets/a/b/c", "hf://datasets/a b", "s3://a/b"],
)
def test_an_address_is_that_of_a_data_set(address):
    with pytest.raises(SettingsError, match="hf://datasets/owner/name was wanted"):
        repo_of(address)


def test_a_run_that_is_not_finished_or_damaged_stays_here(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"finished_at": None}))
    with pytest.raises(RunFolderError, match="is not finished"):
        data_set_files(RunFolder(folder))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    part = next((folder / "samples").glob("part-*.parquet"))
    part.write_bytes(part.read_bytes()[:1000])
    with pytest.raises(RunFolderError, match=f"nothing was pushed: samples/{part.name}"):
        data_set_files(RunFolder(folder))


def test_names_of_models_and_sets_are_data_in_the_card(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    hostile = "a`|\n---\n# b: [x"
    manifest["settings"]["model"] = manifest["question_set"] = hostile
    (folder / "manifest.json").write_text(json.dumps(manifest))
    text = card(RunFolder(folder).manifest(), [])
    assert "\n# b" not in text and text.count("\n---\n") == 1
    assert yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))["pretty_name"].startswith("Answers of a`|")
