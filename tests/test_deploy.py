"""What a Space gets, and nothing else."""

import subprocess
from pathlib import Path

import pytest
from conftest import run_command

from hcl_core.errors import NoNetworkError, SettingsError
from hcl_core.transfer import hub, space
from hcl_core.transfer.hub import RepoFile
from hcl_core.transfer.space import changed_files, space_files, upload

REPO = Path(__file__).parent.parent
README = '---\ntitle: T\npython_version: "3.11"\nsuggested_hardware: cpu-basic\n---\n\n# T\n\n---\nend\n'


def git(folder, *arguments):
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path):
    """A small program that git tracks."""
    folder = tmp_path / "program"
    texts = {
        "README.md": README, "LICENSE": "MIT", "app.py": "pass\n", "requirements.txt": "torch==2.13.0\n",
        "requirements-zerogpu.txt": "torch==2.11.0\n", "requirements-dev.txt": "pytest\n", "app/page.py": "1\n",
        "hcl_core/a.py": "2\n", "assets/a.css": "b {}\n", "precomputed/run/manifest.json": "{}",
        "tests/test_a.py": "3\n", "bench/b.py": "4\n", "docs/d.md": "5\n", ".gitignore": "*.log\n/runs/\n",
    }  # fmt: skip
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    git(tmp_path, "init", "-q", str(folder))
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one")
    return folder


def contents_of(files):
    return {file.path: file.content.decode() for file in files}


def test_a_space_gets_what_the_program_needs_and_no_more(checkout):
    for name in ("app/server.log", "app/notes.txt", "runs/a/manifest.json", ".env"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("mine", encoding="utf-8")
    assert set(contents_of(space_files(program=checkout))) == {
        "README.md", "LICENSE", "app.py", "requirements.txt", "app/page.py", "hcl_core/a.py", "assets/a.css",
        "precomputed/run/manifest.json",
    }  # fmt: skip


def test_links_and_deleted_files_stay_here(checkout):
    (checkout / "assets" / "secret.css").symlink_to("/etc/hostname")
    (checkout / "hcl_core" / "a.py").unlink()
    git(checkout, "add", "assets")
    assert not {"assets/secret.css", "hcl_core/a.py"} & contents_of(space_files(program=checkout)).keys()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("assets/.env.local", "x"),
        ("app/server.pem", "x"),
        ("hcl_core/id_ed25519", "x"),
        ("app/a.py", f"token = 'hf_{'a' * 34}'"),
        ("assets/a.txt", "-----BEGIN RSA PRIVATE KEY-----"),
    ],
)
def test_a_secret_that_git_tracks_stops_everything(checkout, name, text):
    (checkout / name).write_text(text, encoding="utf-8")
    git(checkout, "add", "-f", name)
    with pytest.raises(SettingsError, match=f"{name} looks like a secret"):
        space_files(program=checkout)


def test_a_zerogpu_space_has_its_own_python_and_torch(checkout):
    files = contents_of(space_files(zerogpu=True, program=checkout))
    assert files["requirements.txt"] == "torch==2.11.0\n"
    assert files["README.md"] == README.replace('"3.11"', '"3.12.12"').replace("cpu-basic", "zero-a10g")
    assert "requirements-zerogpu.txt" not in files


def test_an_index_of_cpu_builds_is_written_for_pip(checkout):
    files = contents_of(space_files(torch_index="https://example.org/cpu", program=checkout))
    assert files["requirements.txt"] == "--extra-index-url https://example.org/cpu\ntorch==2.13.0\n"


@pytest.mark.parametrize(
    "index", ["http://example.org", "example.org", "https://a:b@example.org", "https://example.org\n--pre", "https://["]
)
def test_an_index_is_an_address_and_nothing_more(checkout, index):
    with pytest.raises(SettingsError, match="--torch-index must be an https address"):
        space_files(torch_index=index, program=checkout)


def test_a_zerogpu_space_has_no_cpu_build(checkout):
    with pytest.raises(SettingsError, match="needs torch's build for CUDA"):
        space_files(True, "https://example.org", checkout)


def test_changes_since_the_last_commit_are_told(checkout):
    (checkout / "app" / "page.py").write_text("other\n", encoding="utf-8")
    (checkout / "docs" / "d.md").write_text("other\n", encoding="utf-8")
    assert changed_files(space_files(program=checkout), checkout) == ["app/page.py"]


def test_without_git_nothing_is_uploaded(tmp_path):
    with pytest.raises(SettingsError, match="deploy needs git"):
        space_files(program=tmp_path)


class Hub:
    """A stand-in for ``HfApi``."""

    def __init__(self, token):
        self.token, self.made, self.commits = token, [], []

    def create_repo(self, repo, **options):
        self.made.append((repo, options))
        return f"space of {repo}"

    def list_repo_files(self, repo, repo_type):
        assert repo_type == "space"
        return [".gitattributes", "app.py", "old.py"]

    def create_commit(self, repo, operations, **options):
        self.commits.append((repo, operations, options))


@pytest.fixture
def hubs(monkeypatch):
    """Every stand-in that was made."""
    made: list[Hub] = []

    def make(token):
        made.append(Hub(token))
        return made[-1]

    monkeypatch.setattr(hub, "HfApi", make)
    return made


FILES = [RepoFile("app.py", b"pass"), RepoFile("README.md", b"# T")]


def test_upload_makes_the_space_hold_exactly_the_files_in_one_commit(hubs):
    assert upload("me/it", FILES, {"HF_TOKEN": "secret"}, private=True) == "space of me/it"
    (made,) = hubs
    assert made.token == "secret"
    assert made.made == [
        ("me/it", {"repo_type": "space", "space_sdk": "gradio", "private": True, "exist_ok": True}),
    ]
    ((repo, operations, options),) = made.commits
    assert (repo, options["repo_type"]) == ("me/it", "space")
    changes = [(type(each).__name__, each.path_in_repo) for each in operations]
    assert changes == [
        ("CommitOperationAdd", "app.py"),
        ("CommitOperationAdd", "README.md"),
        ("CommitOperationDelete", "old.py"),
    ]
    assert operations[0].path_or_fileobj == b"pass"


@pytest.mark.parametrize("environment", [{}, {"HF_TOKEN": " "}, {"HUGGING_FACE_HUB_TOKEN": "x"}])
def test_upload_needs_a_token_in_the_environment(hubs, environment):
    with pytest.raises(SettingsError, match="set HF_TOKEN"):
        upload("me/it", FILES, environment)
    assert not hubs


def test_a_refusal_of_the_hub_is_one_line(hubs, monkeypatch):
    def refuse(self, repo, **options):
        raise OSError("403 Forbidden\nmore")

    monkeypatch.setattr(Hub, "create_repo", refuse)
    with pytest.raises(NoNetworkError, match="^the Hub did not take the Space: 403 Forbidden$"):
        upload("me/it", FILES, {"HF_TOKEN": "secret"})


@pytest.fixture
def tracked(monkeypatch, checkout):
    """The small program in the place of this one."""
    monkeypatch.setattr(space.space_files, "__defaults__", (False, None, checkout))
    monkeypatch.setattr(space.changed_files, "__defaults__", (checkout,))


def test_a_dry_run_lists_files_sizes_and_the_total_and_uploads_nothing(tracked, hubs, capsys):
    code, out, _ = run_command(capsys, "deploy", "me/it", "--dry-run")
    lines = out.splitlines()
    total = sum(len(file.content) for file in space_files())
    assert code == 0 and not hubs
    assert lines[-1] == f"8 files, {total:,} bytes (0.0 MiB)"
    assert [line.split() for line in lines[:2]] == [["3", "LICENSE"], [str(len(README)), "README.md"]]


def test_deploy_uploads_with_the_token_of_the_environment(tracked, hubs, capsys, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    code, out, err = run_command(capsys, "deploy", "me/it")
    assert code == 0 and "Uploaded to space of me/it" in out and "secret" not in out + err
    assert len(hubs[0].commits) == 1


def test_deploy_needs_the_id_of_a_space(tracked, hubs, capsys):
    code, _, err = run_command(capsys, "deploy")
    assert code == 2 and "give the id of the Space" in err and not hubs


def test_this_program_would_be_whole_and_without_its_tests():
    if not (REPO / ".git").exists():
        pytest.skip("not a checkout of git's")
    paths = {file.path for file in space_files()}
    assert {"app.py", "README.md", "requirements.txt", "app/page.py", "hcl_core/cli/deploy.py"} <= paths
    assert not [path for path in paths if path.startswith(("tests/", "bench/", "docs/", ".ci/"))]
    assert any(path.startswith("precomputed/") and path.endswith("manifest.json") for path in paths)
