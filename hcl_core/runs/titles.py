"""What people call a run and note of it: ``.names/<run id>.json`` in the user's folder of runs.

It stands beside the runs: a title changes no run, a run that ships with the program can have one, and a run that was
deleted has it again when it is restored.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from hcl_core.atomic import atomic_file, disk_errors
from hcl_core.errors import SettingsError
from hcl_core.runs.manifest import check_run_id
from hcl_core.strict_json import read_record
from hcl_core.text import one_line, printable
from hcl_core.user_files import read_bytes_limited

# Letters.
MAX_NAME, MAX_NOTE = 80, 2_000
# A letter has at most 12 bytes in JSON.
MAX_TITLE_BYTES = 2**15
TITLE_FILE = "title.json"


@dataclass(frozen=True, slots=True)
class RunTitle:
    """A run as its user calls it; both texts are empty where nothing was said.

    Attributes:
        name: One line.
        note: Any text.
    """

    name: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if len(self.name) > MAX_NAME:
            raise SettingsError(f"a run's name must have at most {MAX_NAME} characters; got {len(self.name)}")
        if len(self.note) > MAX_NOTE:
            raise SettingsError(f"a run's note must have at most {MAX_NOTE} characters; got {len(self.note)}")

    @classmethod
    def of(cls, name: str, note: str) -> "RunTitle":
        """As a person typed them: the name on one line, and no space around either."""
        lines = note.strip().splitlines()
        return cls(one_line(printable(one_line(name))), "\n".join(printable(line) for line in lines))


NO_TITLE = RunTitle()


def title_file(run_id: str, runs: Path) -> Path:
    """Where the title of a run is, in the folder ``runs``."""
    return runs / ".names" / f"{check_run_id(run_id)}.json"


def read_title(run_id: str, runs: Path) -> RunTitle:
    """The title of a run; an empty one where there is none, or none that can be read."""
    try:
        return parse_title(read_bytes_limited(title_file(run_id, runs), MAX_TITLE_BYTES))
    except (OSError, ValueError, SettingsError):
        return NO_TITLE


def write_title(run_id: str, runs: Path, title: RunTitle) -> None:
    """Store a title in one step; an empty one is taken away.

    Raises:
        RunFolderError: ``run_id`` is none.
        DiskError: The disk is full, read-only or failing.
    """
    file = title_file(run_id, runs)
    with disk_errors(file):
        if title == NO_TITLE:
            file.unlink(missing_ok=True)
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(file) as temporary:
            temporary.write_text(format_title(title), encoding="utf-8")


def format_title(title: RunTitle) -> str:
    """The JSON text that ``parse_title`` reads back."""
    return json.dumps(asdict(title), indent=1) + "\n"


def parse_title(content: bytes) -> RunTitle:
    """Read a title from disk or from other people; raises ``ValueError`` or ``SettingsError`` if it is none."""
    title = read_record(RunTitle, content)
    return RunTitle.of(title.name, title.note)
