"""The program as a Space of the Hub: which files it has there, and their upload."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from hcl_core.errors import SettingsError
from hcl_core.folders import PROGRAM
from hcl_core.transfer import hub
from hcl_core.transfer.hub import RepoFile

# What the program needs to run, and its licence; everything else stays here.
_FILES = ("README.md", "LICENSE", "app.py", "requirements.txt", "requirements-weights.txt")
_FOLDERS = ("app", "assets", "hcl_core", "precomputed")
_ZEROGPU_REQUIREMENTS = "requirements-zerogpu.txt"
# What the head of the README says on a ZeroGPU Space: a Python that such a Space has, and its hardware.
_ZEROGPU_HEAD = {"python_version": '"3.12.12"', "suggested_hardware": "zero-a10g"}
# Files that hold keys by their names, and keys by their form.
_SECRET_NAMES = re.compile(r"(^|/)(\.env[^/]*|\.netrc|id_[a-z0-9]+|[^/]*\.(pem|key|p12|pfx))$")
_SECRETS = re.compile(rb"hf_[A-Za-z0-9]{30,}|sk-[A-Za-z0-9_-]{30,}|-----BEGIN [A-Z ]*PRIVATE KEY-----")
# Of the Hub's own making, in the Space alone.
_KEPT = (".gitattributes",)


def space_files(zerogpu: bool = False, torch_index: str | None = None, program: Path = PROGRAM) -> list[RepoFile]:
    """What a Space gets: files that git tracks, as they are on disk, of what the program needs to run.

    Args:
        zerogpu: Whether it is a ZeroGPU Space, which has its own Python and torch.
        torch_index: Address of an index with the CPU builds of torch, which is written in front of the requirements.
        program: The checkout.

    Raises:
        SettingsError: ``program`` is no checkout of git's, a file looks like a secret, or the address is none.
    """
    if zerogpu and torch_index is not None:
        raise SettingsError("a ZeroGPU Space needs torch's build for CUDA: leave --torch-index out")
    tracked = _tracked(program)
    wanted = [path for path in tracked if path in _FILES or path.split("/")[0] in _FOLDERS]
    files = {path: (program / path).read_bytes() for path in wanted if not path.endswith(".pyi")}
    for path, content in files.items():
        if _SECRET_NAMES.search(path) or _SECRETS.search(content):
            raise SettingsError(f"{path} looks like a secret: nothing is uploaded while git tracks it")
    if zerogpu:
        files["requirements.txt"] = (program / _ZEROGPU_REQUIREMENTS).read_bytes()
        files["README.md"] = _with_head(files["README.md"], _ZEROGPU_HEAD)
    if torch_index is not None:
        line = f"--extra-index-url {_checked_index(torch_index)}\n"
        files["requirements.txt"] = line.encode() + files["requirements.txt"]
    return [RepoFile(path, content) for path, content in sorted(files.items())]


def upload(repo: str, files: Sequence[RepoFile], environment: Mapping[str, str], private: bool = False) -> str:
    """Make the Space if there is none, and give it exactly ``files``, in one commit; its address.

    Args:
        repo: Its id, such as ``owner/name``.
        files: From ``space_files``.
        environment: With the token, ``HF_TOKEN``; a login that is stored elsewhere is not used.
        private: Whether a new Space is private.

    Raises:
        SettingsError: There is no token, or the Hub refuses the id or the token.
        NoNetworkError: The Hub cannot be reached.
    """
    return hub.commit(
        repo,
        "space",
        files,
        environment,
        message="HCL Explorer",
        private=private,
        goes=lambda path: path not in _KEPT,
    )


def changed_files(files: Sequence[RepoFile], program: Path = PROGRAM) -> list[str]:
    """Those whose content is not that of the last commit."""
    changed = set(_git(program, "diff", "--name-only", "-z", "HEAD"))
    return [file.path for file in files if file.path in changed]


def _tracked(program: Path) -> list[str]:
    # A tracked file that was deleted on disk is not there to be uploaded; a link could lead anywhere.
    return [
        path
        for path in _git(program, "ls-files", "-z")
        if (program / path).is_file() and not (program / path).is_symlink()
    ]


def _git(program: Path, *arguments: str) -> list[str]:
    try:
        done = subprocess.run(["git", "-C", str(program), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SettingsError(
            "deploy needs git and the program's checkout: what git does not track stays here"
        ) from error
    return [path for path in done.stdout.split("\0") if path]


def _with_head(readme: bytes, values: Mapping[str, str]) -> bytes:
    """``readme`` with other values in its head."""
    _, head, rest = readme.decode("utf-8").split("---\n", 2)
    for name, value in values.items():
        head, count = re.subn(rf"^{name}: .*$", f"{name}: {value}", head, flags=re.MULTILINE)
        assert count == 1, name
    return f"---\n{head}---\n{rest}".encode()


def _checked_index(address: str) -> str:
    try:
        parts = urlsplit(address)
        is_good = parts.scheme == "https" and bool(parts.hostname) and not parts.username and not parts.password
    except ValueError:
        is_good = False
    if not is_good or re.search(r"\s", address):
        raise SettingsError("--torch-index must be an https address without a user or a password")
    return address
