"""Runs as zip files, for the tests of what packs them and takes them in."""

import json
import shutil
import warnings
import zipfile

import pyarrow.parquet as pq
import pytest

from hcl_core.errors import RunFolderError
from hcl_core.runs.tables import table_of
from hcl_core.transfer.unpacking import unpack_run


def entries_of(zipped):
    with zipfile.ZipFile(zipped) as opened:
        return [(info.filename, opened.read(info)) for info in opened.infolist()]


def write_zip(target, entries):
    """A zip of names, or of entries with what only hostile ones have, and contents."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a name that is there already
        for name, content in entries:
            opened.writestr(name, content)
    return target


def unpacked(source, into):
    return unpack_run(source, into).folder


def assert_refused(source, into, match):
    with pytest.raises(RunFolderError, match=match):
        unpacked(source, into)
    assert list(into.iterdir()) == []


def edit_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes) + "\n", encoding="utf-8")


def replace_samples(folder, samples):
    shutil.rmtree(folder.path / "samples")
    (folder.path / "samples").mkdir()
    # Not by ``append_samples``, which refuses what is refused here.
    pq.write_table(table_of(samples), folder.path / "samples" / "part-00000.parquet")
