"""Commits to the Hub: a repository that is made where there is none, and files that it gets in one step."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is its client's, passed on
    HFValidationError,
    HTTPError,
)

from hcl_core.errors import NoNetworkError, SettingsError, file_and_cause

RepoType = Literal["space", "dataset"]
_NAMES: dict[RepoType, str] = {"space": "Space", "dataset": "data set"}


@dataclass(frozen=True, slots=True)
class RepoFile:
    """A file of a repository.

    Attributes:
        path: In the repository.
        content: Its bytes, or the file on this machine that has them.
    """

    path: str
    content: bytes | Path

    @property
    def num_bytes(self) -> int:
        """Its size."""
        return self.content.stat().st_size if isinstance(self.content, Path) else len(self.content)


def commit(
    repo: str,
    repo_type: RepoType,
    files: Sequence[RepoFile],
    environment: Mapping[str, str],
    *,
    message: str,
    private: bool,
    goes: Callable[[str], bool],
) -> str:
    """Make the repository if there is none, and give it ``files``, in one commit; its address.

    Args:
        repo: Its id, such as ``owner/name``.
        repo_type: What it is.
        files: To be there afterwards.
        environment: With the token, ``HF_TOKEN``; a login that is stored elsewhere is not used.
        message: Of the commit.
        private: Whether a new repository is private.
        goes: Whether another file of the repository, by its path, is deleted.

    Raises:
        SettingsError: There is no token, or the Hub refuses the id or the token.
        NoNetworkError: The Hub cannot be reached.
    """
    if not (token := environment.get("HF_TOKEN", "").strip()):
        raise SettingsError("uploading needs a token that may write: set HF_TOKEN in the environment")
    hub = HfApi(token=token)
    try:
        address = hub.create_repo(
            repo,
            repo_type=repo_type,
            space_sdk="gradio" if repo_type == "space" else None,
            private=private,
            exist_ok=True,
        )
        paths = {file.path for file in files}
        gone = [path for path in hub.list_repo_files(repo, repo_type=repo_type) if path not in paths and goes(path)]
        hub.create_commit(
            repo,
            [
                *(CommitOperationAdd(file.path, file.content) for file in files),
                *(CommitOperationDelete(path) for path in gone),
            ],
            commit_message=message,
            repo_type=repo_type,
        )
    except HFValidationError as error:
        raise SettingsError(f"{repo[:80]!r} is no id of a {_NAMES[repo_type]}: {str(error).splitlines()[0]}") from error
    except (HTTPError, OSError) as error:
        # The client's errors for answers of the Hub are errors of HTTP, too.
        problem = file_and_cause(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise NoNetworkError(f"the Hub did not take the {_NAMES[repo_type]}: {problem}") from error
    return str(address)
