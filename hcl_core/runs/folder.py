"""The run folder: one format for live, saved and shipped runs (DESIGN section 5).

    manifest.json             every setting, versions, times, and whether the run is complete
    questions.jsonl           id, question, accepted answers, topic, difficulty, and the exact prompt sent
    samples/part-*.parquet    immutable; one wave of one question each, renamed into place when whole
    set_aside/                damaged files that a later `run` or `repair` moved out of the way; never read
    tokens.parquet            text of each token id in the samples, as people should see it
    verdicts.parquet          derived: outcome and reason by sample
    clusters.parquet          derived: idea of each correct sample, or attempt at an open question
    layer_scores.parquet      derived: the scores at equal weights
    measures.parquet          derived, on request: measures of the answers' texts
    plausibility.parquet      derived, on request: mean log-probability of each sample's tokens under the whole model

The accepted answers, the judge and what it says are one *view* of the samples, see ``pipeline.views``: other verdicts
on the same samples are another folder, whose parts are the same files.

A row's key is ``(question_id, exit_layer, sample_idx)``. Derived files can be deleted and made again from the others:
plausibility with the run's language model, the rest without one. All but the scores carry a stamp: a text that names
what made them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from hcl_core.atomic import atomic_file, disk_errors
from hcl_core.errors import RunBusyError, RunFolderError, RunReadOnlyError, SettingsError, cause_of
from hcl_core.folders import is_installed_file
from hcl_core.records import Sample, StoredQuestion
from hcl_core.runs.derived_tables import DerivedTables
from hcl_core.runs.half_manifest import read_half_manifest
from hcl_core.runs.manifest import Manifest
from hcl_core.runs.parts import BadPart, SampleParts, describe_repeat
from hcl_core.runs.question_rows import format_row, parse_rows
from hcl_core.runs.set_aside import set_aside
from hcl_core.runs.tables import KEY, SAMPLE_SCHEMA, TOKEN_SCHEMA, has_repeats, read_derived, samples_of
from hcl_core.strict_json import record_text
from hcl_core.user_files import read_bytes_limited

# Bytes of a run's texts that are read. A manifest has 1 kB, a question with its prompt about 1 kB.
MAX_BYTES = {"manifest.json": 2**20, "questions.jsonl": 2**30}
_BEFORE_MANIFEST = frozenset({".lock", "samples", "questions.jsonl"})


class RunFolder(DerivedTables):
    """One run on disk.

    Attributes:
        path: Its folder.
        parts: Its samples as files.

    Args:
        path: Its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parts = SampleParts(path / "samples")

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @property
    def exists(self) -> bool:
        """Whether there is a run here."""
        return (self.path / "manifest.json").is_file()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Lock the run for writing.

        Raises:
            RunBusyError: Another process has it locked.
            RunReadOnlyError: The folder can't be written to, or came with the installed program.
            RunFolderError: The folder can't be made.
        """
        if is_installed_file(self.path):
            raise RunReadOnlyError(f"{self.path} came with the installed program, whose files are never written to")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(
                f"cannot make the run folder {self.path}: {error.strerror}: where it can be made, the "
                "same command goes on"
            ) from None
        # Not bound to a thread: the page may run each step of a generator in another thread.
        lock = FileLock(self.path / ".lock", timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            raise RunBusyError(f"another process is writing to {self.path}: wait for it, or stop it") from None
        except OSError as error:
            raise RunReadOnlyError(
                f"cannot write to the run folder {self.path}: {error.strerror}: where it can be written, the same "
                "command goes on"
            ) from None
        self.parts.forget_number()  # another process may have written parts since
        try:
            yield
        finally:
            lock.release()

    def check_free_for(self, run_id: str) -> None:
        """Raise ``RunFolderError`` if the folder holds another run, or files of no run."""
        if self._is_half_of(run_id):
            return
        if self.exists:
            manifest = self.manifest()
            if manifest.run_id != run_id:
                raise RunFolderError(
                    f"{self.path} holds another run ({manifest.run_id}: {manifest.describe()}): choose another folder"
                )
        elif self.path.exists() and not self.path.is_dir():
            raise RunFolderError(f"{self.path} is a file: choose a folder for the run")
        elif self.path.is_dir():
            # Files of a run that was killed before its manifest was written are allowed.
            names = {file.name for file in self.path.iterdir() if file.suffix != ".tmp"}
            if names - _BEFORE_MANIFEST or self.parts.files():
                raise RunFolderError(f"{self.path} is not empty and holds no run: choose another folder")

    def create(self, manifest: Manifest, questions: Sequence[StoredQuestion]) -> Manifest:
        """Write a new run to the folder, or resume the same run that the folder holds.

        Returns:
            The run's manifest, with judge, embedder and preset of ``manifest``. Those of a resumed run are written to
            disk by ``update``.

        Raises:
            RunFolderError: The folder holds another run, or files of no run.
        """
        self.check_free_for(manifest.run_id)
        with disk_errors(self.path / "samples"):
            (self.path / "samples").mkdir(parents=True, exist_ok=True)
        if self.exists and not self._is_half_of(manifest.run_id):
            stored = self.set_aside_bad_parts()
            return replace(
                stored,
                judge=manifest.judge,
                embedder=manifest.embedder,
                ideas=manifest.ideas,
                preset=manifest.preset,
                cost=stored.cost or manifest.cost,
            )
        if self.exists:
            set_aside(self.path / "manifest.json", self.path)
        self._write_questions(questions)
        self.write_manifest(manifest)  # last: a folder with a manifest is whole
        return manifest

    def update(self, manifest: Manifest, questions: Sequence[StoredQuestion]) -> None:
        """Write a resumed run's manifest and questions where they changed: another judge, other accepted answers."""
        try:
            is_same = self.questions() == list(questions)
        except RunFolderError:  # damaged; the run id says that the questions are the same
            is_same = False
        if not is_same:
            self._write_questions(questions)
        if self.manifest() != manifest:
            self.write_manifest(manifest)

    def manifest(self) -> Manifest:
        """Raises ``RunFolderError`` if there is none, or none that can be read."""
        try:
            content = self.manifest_content()
            text = content.decode("utf-8-sig")  # editors write a mark
        except (FileNotFoundError, NotADirectoryError):
            raise RunFolderError(f"{self.path} holds no run: a folder with a manifest.json was wanted") from None
        except (OSError, ValueError) as error:
            raise RunFolderError(f"{self.path}: the manifest cannot be read: {cause_of(error)}") from None
        try:
            return Manifest.from_json(text)
        except RunFolderError as error:
            if read_half_manifest(content) is None:
                raise RunFolderError(f"{self.path}: {error}") from None
            raise RunFolderError(
                f"{self.path}: {error}: the same `run` command writes it anew; `repair` may do it too"
            ) from None

    def manifest_content(self) -> bytes:
        """The file ``manifest.json`` as it is; raises ``OSError`` if it cannot be read."""
        return read_bytes_limited(self.path / "manifest.json", MAX_BYTES["manifest.json"])

    def half_manifest(self) -> dict[str, Any] | None:
        """What is left of a ``manifest.json`` that was cut off; ``None`` where there is none, or a whole one."""
        try:
            return read_half_manifest(self.manifest_content())
        except OSError:
            return None

    def _is_half_of(self, run_id: str) -> bool:
        """Whether the manifest was cut off and the folder is that run's, by the manifest's id or the folder's name."""
        fields = self.half_manifest()
        return fields is not None and fields.get("run_id", self.path.name) == run_id

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace ``manifest.json`` in one step."""
        self._write_text("manifest.json", record_text(manifest))

    def questions(self) -> list[StoredQuestion]:
        """Raises ``RunFolderError`` if the file is damaged."""
        stored = self.read_questions()
        if len(stored) != (expected := self.manifest().num_questions):
            raise RunFolderError(f"{self.path}: questions.jsonl cannot be read: it has {len(stored)} of {expected}")
        return stored

    def questions_content(self) -> bytes:
        """The file of questions as it is; raises ``OSError`` if it cannot be read."""
        return read_bytes_limited(self.path / "questions.jsonl", MAX_BYTES["questions.jsonl"])

    def read_questions(self) -> list[StoredQuestion]:
        """``questions``, of a folder whose manifest cannot be read too; their number is not checked."""
        try:
            return parse_rows(self.questions_content())
        except (OSError, ValueError, SettingsError) as error:
            raise RunFolderError(f"{self.path}: questions.jsonl cannot be read: {cause_of(error)}") from None

    # Samples.

    def append_samples(self, samples: Sequence[Sample]) -> None:
        """Write ``samples`` as a new part; a crash leaves the whole part or none."""
        self.parts.append(samples)

    def bad_parts(self) -> list[BadPart]:
        """The damaged parts, which are left out when samples are read."""
        return self.parts.bad()

    def set_aside_bad_parts(self) -> Manifest:
        """Move the damaged parts to ``set_aside``; the manifest, of a run that then lacks their samples."""
        manifest = self.manifest()
        if bad := self.bad_parts():
            manifest = replace(manifest, finished_at=None)
            self.write_manifest(manifest)
        for part in bad:
            set_aside(part.file, self.path)
        return manifest

    def sample_table(self, columns: list[str] | None = None, question_id: str | None = None) -> pa.Table:
        """All samples, or those of one question, as an Arrow table, in the order of their parts.

        Damaged parts are left out, see ``bad_parts``.

        Raises:
            RunFolderError: Two parts have the same sample.
        """
        names = [name for name in SAMPLE_SCHEMA.names if columns is None or name in columns]
        table = self.parts.read([*KEY, *(name for name in names if name not in KEY)], question_id)
        self.check_keys(table)
        return table.select(names)

    def check_keys(self, table: pa.Table) -> None:
        """Raise ``RunFolderError``, with the parts' names, if two rows of ``table`` are of the same sample."""
        if has_repeats(table):
            repeats = "; ".join(map(describe_repeat, *zip(*self.parts.repeating().items(), strict=True)))
            raise RunFolderError(f"{self.path}: {repeats[:300]}: `repair` sets the later part aside")

    def samples_of_part(self, file: Path) -> list[Sample]:
        """The samples of a part, which is not damaged, of this run or of another view of it."""
        return samples_of(self.parts.read_part(file, SAMPLE_SCHEMA.names))

    def samples(self, question_id: str | None = None) -> list[Sample]:
        """All samples, or those of one question, as records."""
        return samples_of(self.sample_table(question_id=question_id))

    def sample_batches(self, columns: Sequence[str] = SAMPLE_SCHEMA.names) -> Iterator[pa.Table]:
        """The rows of ``sample_table``, in tables of bounded size; whether a sample stands twice is not checked."""
        yield from self.parts.read_batches(columns)

    def add_token_texts(self, texts: Mapping[int, str]) -> None:
        """Add the text of each token id to ``tokens.parquet``."""
        if not texts:
            return
        by_id = dict(sorted((self.token_texts() | dict(texts)).items()))
        table = pa.table([pa.array(by_id, pa.int32()), pa.array(by_id.values(), pa.string())], schema=TOKEN_SCHEMA)
        with atomic_file(self.path / "tokens.parquet") as temporary:
            pq.write_table(table, temporary, compression="zstd")

    def token_texts(self) -> dict[int, str]:
        """Text by token id; empty if ``tokens.parquet`` is missing or damaged."""
        table = read_derived(self.path / "tokens.parquet", TOKEN_SCHEMA)
        columns = [column.to_pylist() for column in table.columns] if table is not None else [[], []]
        return {token_id: text for token_id, text in zip(*columns, strict=True) if None not in (token_id, text)}

    def finish(self, finished_at: str) -> Manifest:
        """Mark the run complete."""
        manifest = replace(self.manifest(), finished_at=finished_at)
        self.write_manifest(manifest)
        return manifest

    def _write_questions(self, questions: Sequence[StoredQuestion]) -> None:
        self._write_text("questions.jsonl", "".join(f"{format_row(stored)}\n" for stored in questions))

    def _write_text(self, name: str, text: str) -> None:
        with atomic_file(self.path / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
