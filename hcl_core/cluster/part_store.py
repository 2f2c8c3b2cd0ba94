"""Answers at an address that all workers share, each wave of a question as one part: the only file that knows fsspec.

<address>/<run id>/<key>.parquet      the key: 32 hexadecimal digits of the question and the samples asked for
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hcl_core.errors import DiskError, SettingsError
from hcl_core.runs.manifest import check_run_id
from hcl_core.runs.tables import KEY, SAMPLE_SCHEMA, check_samples
from hcl_core.text import one_line

_log = logging.getLogger(__name__)


class PartStore:
    """Parts by their keys.

    A part is written in one piece and never changed. One that was cut off does not verify, and counts as absent.

    Args:
        address: A folder, as ``fsspec`` names it: a path, ``file://``, ``s3://``, ``gs://``, ``hf://`` and others.

    Raises:
        SettingsError: There is no such kind of address, or it needs a package that is not installed.
    """

    def __init__(self, address: str) -> None:
        try:
            import fsspec
        except ImportError:
            raise SettingsError(
                "--parts needs fsspec: pip install -r requirements-cluster.txt, or the extra `cluster`"
            ) from None
        try:
            self._files, self._root = fsspec.core.url_to_fs(address)
        except (ImportError, ValueError) as error:
            raise SettingsError(
                f"--parts is a folder's address that fsspec can open, such as s3://bucket/folder: {error}"
            ) from None

    def read(self, run_id: str, question_id: str, wave: Sequence[tuple[int, int]]) -> pa.Table | None:
        """The samples of a wave, as rows with ``SAMPLE_SCHEMA``; ``None`` where they are not there, or damaged.

        Raises:
            DiskError: The address cannot be read.
        """
        path = self._path(run_id, question_id, wave)
        try:
            content = self._files.cat_file(path)
        except FileNotFoundError:
            return None
        except Exception as error:  # each kind of storage has errors of its own
            raise DiskError(f"cannot read the shared part {path}: {_short(error)}") from None
        try:
            return _verified(content, question_id, wave)
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            _log.warning("the shared part %s is damaged: %s; its answers are sampled again", path, _short(error))
            return None

    def write(self, run_id: str, question_id: str, wave: Sequence[tuple[int, int]], samples: pa.Table) -> None:
        """Keep the samples of a wave.

        Raises:
            DiskError: The address cannot be written to.
        """
        path = self._path(run_id, question_id, wave)
        written = pa.BufferOutputStream()
        pq.write_table(samples, written, compression="zstd", write_page_checksum=True)
        try:
            if "file" in _protocols(self._files):  # other storage has no folders to be made
                self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(path, written.getvalue().to_pybytes())
        except Exception as error:
            raise DiskError(f"cannot write the shared part {path}: {_short(error)}") from None

    def _path(self, run_id: str, question_id: str, wave: Sequence[tuple[int, int]]) -> str:
        asked = json.dumps([question_id, sorted(wave)], separators=(",", ":"))
        key = hashlib.blake2b(asked.encode(), digest_size=16).hexdigest()
        return f"{self._root.rstrip('/')}/{check_run_id(run_id)}/{key}.parquet"


def _verified(content: bytes, question_id: str, wave: Sequence[tuple[int, int]]) -> pa.Table:
    """The table in ``content``; raises ``ValueError``, or what Arrow raises, unless it is that wave's."""
    with pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True) as file:
        table = file.read(SAMPLE_SCHEMA.names).select(SAMPLE_SCHEMA.names).cast(SAMPLE_SCHEMA)
    check_samples(table)
    questions, layers, samples = (table.column(name).to_pylist() for name in KEY)
    if set(questions) != {question_id} or sorted(zip(layers, samples, strict=True)) != sorted(wave):
        raise ValueError("it has other samples than its name says")
    return table


def _protocols(files: Any) -> tuple[str, ...]:
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)


def _short(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {error}")[:300]
