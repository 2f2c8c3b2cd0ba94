"""The run folder: one format for live, saved and shipped runs (DESIGN section 5).

    manifest.json             every setting, versions, times, and whether the run is complete
    questions.jsonl           id, question, accepted answers, topic, difficulty, and the exact prompt sent
    samples/part-*.parquet    immutable; one wave of one question each, renamed into place when whole
    tokens.parquet            text of each token id in the samples, as people should see it
    verdicts.parquet          derived: outcome and reason by sample
    clusters.parquet          derived: idea of each correct sample, or attempt at an open question
    layer_scores.parquet      derived: the scores at equal weights
    measures.parquet          derived, on request: measures of the answers' texts
    plausibility.parquet      derived, on request: mean log-probability of each sample's tokens under the whole model

A row's key is ``(question_id, exit_layer, sample_idx)``. Derived files can be deleted and made again from the others:
plausibility with the run's language model, the rest without one. All but the scores carry a stamp: a text that names
what made them.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from hcl_core.atomic import atomic_file, atomic_folder
from hcl_core.errors import RunBusyError, RunFolderError, RunReadOnlyError, SettingsError
from hcl_core.records import ClusterMember, LayerScore, Sample, SampleKey, StoredQuestion, Verdict, of_kind
from hcl_core.runs.manifest import Manifest
from hcl_core.runs.question_rows import format_row, parse_row
from hcl_core.runs.tables import (
    CLUSTER_SCHEMA,
    PLAUSIBILITY_SCHEMA,
    SAMPLE_SCHEMA,
    TOKEN_SCHEMA,
    VERDICT_SCHEMA,
    check_samples,
    read_batches,
    read_derived,
    read_stamp,
    read_table,
    samples_of,
    stamped,
    write_compact,
    write_table,
    write_tables,
)

_PARTS = "part-" + "[0-9]" * 5 + ".parquet"
# Derived tables with a row a sample.
_BY_SAMPLE = {"verdicts": VERDICT_SCHEMA, "clusters": CLUSTER_SCHEMA, "plausibility": PLAUSIBILITY_SCHEMA}
_BEFORE_MANIFEST = frozenset({".lock", "samples", "questions.jsonl"})


class RunFolder:
    """One run on disk.

    Args:
        path: Its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

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
            RunReadOnlyError: The folder can't be written to.
            RunFolderError: The folder can't be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(f"cannot make the run folder {self.path}: {error.strerror}") from None
        # Not bound to a thread: the page may run each step of a generator in another thread.
        lock = FileLock(self.path / ".lock", timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            raise RunBusyError(f"another process is writing to {self.path}: wait for it, or stop it") from None
        except OSError as error:
            raise RunReadOnlyError(f"cannot write to the run folder {self.path}: {error.strerror}") from None
        try:
            yield
        finally:
            lock.release()

    def check_free_for(self, run_id: str) -> None:
        """Raise ``RunFolderError`` if the folder holds another run, or files of no run."""
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
            if names - _BEFORE_MANIFEST or any((self.path / "samples").glob(_PARTS)):
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
        (self.path / "samples").mkdir(parents=True, exist_ok=True)
        if self.exists:
            stored = self.manifest()
            return replace(
                stored,
                judge=manifest.judge,
                embedder=manifest.embedder,
                ideas=manifest.ideas,
                preset=manifest.preset,
                cost=stored.cost or manifest.cost,
            )
        self._write_questions(questions)
        self.write_manifest(manifest)  # last: a folder with a manifest is whole
        return manifest

    def update(self, manifest: Manifest, questions: Sequence[StoredQuestion]) -> None:
        """Write a resumed run's manifest and questions where they changed: another judge, other accepted answers."""
        if self.questions() != list(questions):
            self._write_questions(questions)
        if self.manifest() != manifest:
            self.write_manifest(manifest)

    def manifest(self) -> Manifest:
        """Raises ``RunFolderError`` if there is none, or none that can be read."""
        try:
            text = (self.path / "manifest.json").read_text(encoding="utf-8-sig")  # editors write a mark
        except (OSError, UnicodeDecodeError):
            raise RunFolderError(f"{self.path} holds no run: a folder with a manifest.json was wanted") from None
        try:
            return Manifest.from_json(text)
        except RunFolderError as error:
            raise RunFolderError(f"{self.path}: {error}") from None

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace ``manifest.json`` in one step."""
        self._write_text("manifest.json", json.dumps(asdict(manifest), ensure_ascii=False, indent=1) + "\n")

    def questions(self) -> list[StoredQuestion]:
        """Raises ``RunFolderError`` if the file is damaged."""
        try:
            with (self.path / "questions.jsonl").open(encoding="utf-8-sig") as opened:
                stored = [parse_row(line) for line in opened]
        except (OSError, ValueError, SettingsError) as error:
            raise RunFolderError(f"{self.path}: questions.jsonl cannot be read: {error}") from None
        if len(stored) != (expected := self.manifest().num_questions):
            raise RunFolderError(f"{self.path}: questions.jsonl cannot be read: it has {len(stored)} of {expected}")
        return stored

    # Samples.

    def append_samples(self, samples: Sequence[Sample]) -> None:
        """Write ``samples`` as a new part; a crash leaves the whole part or none."""
        folder = self.path / "samples"
        number = 1 + max((int(part.stem.removeprefix("part-")) for part in folder.glob(_PARTS)), default=-1)
        columns: dict[str, list[Any]] = {
            "completion_text": [sample.completion_text for sample in samples],
            "answer": [sample.answer for sample in samples],
            "completion_token_ids": [sample.completion_token_ids for sample in samples],
            "token_logprobs": [sample.token_logprobs for sample in samples],
            "finish_reason": [sample.finish_reason for sample in samples],
        }
        write_table(folder / f"part-{number:05d}.parquet", [s.key for s in samples], columns, SAMPLE_SCHEMA)

    def sample_table(self, columns: list[str] | None = None, question_id: str | None = None) -> pa.Table:
        """All samples, or those of one question, as an Arrow table, in the order of their parts.

        Raises:
            RunFolderError: A part is damaged.
        """
        names = [name for name in SAMPLE_SCHEMA.names if columns is None or name in columns]
        schema = pa.schema([SAMPLE_SCHEMA.field(name) for name in names])
        parts = sorted((self.path / "samples").glob(_PARTS))
        try:
            tables = (read_table(part, schema, question_id) for part in parts)
            table = pa.concat_tables([schema.empty_table(), *tables])
            check_samples(table)
            return table
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise RunFolderError(f"{self.path}: a samples part cannot be read: {error}") from None

    def samples(self, question_id: str | None = None) -> list[Sample]:
        """All samples, or those of one question, as records."""
        return samples_of(self.sample_table(question_id=question_id))

    def sample_batches(self, columns: Sequence[str] = SAMPLE_SCHEMA.names) -> Iterator[pa.Table]:
        """The rows of ``sample_table``, in tables of bounded size.

        Raises:
            RunFolderError: A part is damaged.
        """
        schema = pa.schema([SAMPLE_SCHEMA.field(name) for name in columns])
        for part in sorted((self.path / "samples").glob(_PARTS)):
            try:
                for table in read_batches(part, schema):
                    check_samples(table)
                    yield table
            except (pa.ArrowException, OSError, KeyError, ValueError) as error:
                raise RunFolderError(f"{self.path}: a samples part cannot be read: {error}") from None

    def sample_keys(self) -> set[SampleKey]:
        """Keys of all stored samples."""
        table = self.sample_table(["question_id", "exit_layer", "sample_idx"])
        return {SampleKey(*key) for key in zip(*(column.to_pylist() for column in table.columns), strict=True)}

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

    # Derived.

    def write_verdicts(self, verdicts: Sequence[Verdict], stamp: str) -> None:
        """Replace ``verdicts.parquet``; ``stamp`` says which judge made them."""
        columns: dict[str, list[Any]] = {
            "outcome": [verdict.outcome for verdict in verdicts],
            "reason": [verdict.reason for verdict in verdicts],
            "matched": [verdict.matched for verdict in verdicts],
        }
        keys = [verdict.key for verdict in verdicts]
        write_table(self.path / "verdicts.parquet", keys, columns, VERDICT_SCHEMA, stamp)

    def write_clusters(self, members: Sequence[ClusterMember], stamp: str) -> None:
        """Replace ``clusters.parquet``; ``stamp`` says which judge and embedder made them."""
        columns = {"cluster_id": [member.cluster_id for member in members]}
        keys = [member.key for member in members]
        write_table(self.path / "clusters.parquet", keys, columns, CLUSTER_SCHEMA, stamp)

    def write_by_sample(
        self, name: Literal["verdicts", "clusters", "plausibility"], tables: Iterable[pa.Table], stamp: str
    ) -> None:
        """Replace ``NAME.parquet`` by the rows of ``tables``; ``stamp`` says what made them."""
        write_tables(self.path / f"{name}.parquet", tables, _BY_SAMPLE[name], stamp)

    def write_layer_scores(self, scores: Sequence[LayerScore], is_open: bool) -> None:
        """Replace ``layer_scores.parquet``; ``is_open`` says which kind of questions the scores are of."""
        rows = [of_kind(asdict(score), is_open) for score in scores]
        with atomic_file(self.path / "layer_scores.parquet") as temporary:
            pq.write_table(pa.Table.from_pylist(rows), temporary)

    def write_measures(self, rows: Sequence[dict[str, Any]], stamp: str) -> None:
        """Replace ``measures.parquet``; ``stamp`` names what made them, and the outcomes that they are of."""
        with atomic_file(self.path / "measures.parquet") as temporary:
            pq.write_table(stamped(pa.Table.from_pylist(list(rows)), stamp), temporary)

    def measures(self, stamp: str) -> list[dict[str, Any]] | None:
        """Rows of ``measures.parquet``; ``None`` if the file is missing or damaged, or has another stamp."""
        path = self.path / "measures.parquet"
        if read_stamp(path) != stamp:
            return None
        try:
            rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        except (pa.ArrowException, OSError):
            return None
        return rows

    def write_plausibility(self, keys: Sequence[SampleKey], mean_logprobs: Sequence[float], stamp: str) -> None:
        """Replace ``plausibility.parquet``; ``stamp`` names the weights that computed it."""
        columns = {"mean_logprob": list(mean_logprobs)}
        write_table(self.path / "plausibility.parquet", keys, columns, PLAUSIBILITY_SCHEMA, stamp)

    def plausibility_table(self, stamp: str, question_id: str | None = None) -> pa.Table | None:
        """``plausibility.parquet``, or one question's rows; ``None`` if missing, damaged, or of another stamp."""
        path = self.path / "plausibility.parquet"
        return read_derived(path, PLAUSIBILITY_SCHEMA, question_id) if read_stamp(path) == stamp else None

    def verdict_table(self, question_id: str | None = None) -> pa.Table | None:
        """``verdicts.parquet``, or one question's rows of it; ``None`` if the file is missing or damaged."""
        return read_derived(self.path / "verdicts.parquet", VERDICT_SCHEMA, question_id)

    def cluster_table(self, question_id: str | None = None) -> pa.Table | None:
        """``clusters.parquet``, likewise."""
        return read_derived(self.path / "clusters.parquet", CLUSTER_SCHEMA, question_id)

    def stamps(self) -> tuple[str | None, str | None]:
        """Stamps of the verdicts and of the clusters; ``None`` if a file has none, is missing or damaged."""
        return read_stamp(self.path / "verdicts.parquet"), read_stamp(self.path / "clusters.parquet")

    def finish(self, finished_at: str) -> Manifest:
        """Mark the run complete."""
        manifest = replace(self.manifest(), finished_at=finished_at)
        self.write_manifest(manifest)
        return manifest

    def write_compact_copy(self, target: Path) -> "RunFolder":
        """Copy a finished run to ``target`` in few and small files: one part, its samples in key order.

        Raises:
            RunFolderError: The run is not finished, or ``target`` exists.
        """
        manifest = self.manifest()
        if manifest.finished_at is None:
            raise RunFolderError(f"{self.path} is not complete: give its `run` command again to finish it")
        if target.exists():
            raise RunFolderError(f"{target} exists already")
        with atomic_folder(target) as copy:
            (copy / "samples").mkdir()
            optional = ("measures.parquet", "plausibility.parquet", "tokens.parquet")
            for name in ("manifest.json", "questions.jsonl", "layer_scores.parquet", *optional):
                if name not in optional or (self.path / name).is_file():
                    shutil.copyfile(self.path / name, copy / name)
            tables = {
                "samples/part-00000.parquet": self.sample_table(),
                "verdicts.parquet": self.verdict_table(),
                "clusters.parquet": self.cluster_table(),
            }
            question_order = {stored.question.id: index for index, stored in enumerate(self.questions())}
            for (name, table), stamp in zip(tables.items(), (None, *self.stamps()), strict=True):
                if table is None:
                    raise RunFolderError(f"{self.path} has no {name}: `score` makes it again")
                write_compact(copy / name, stamped(table, stamp), question_order)
        return RunFolder(target)

    def _write_questions(self, questions: Sequence[StoredQuestion]) -> None:
        self._write_text("questions.jsonl", "".join(f"{format_row(stored)}\n" for stored in questions))

    def _write_text(self, name: str, text: str) -> None:
        with atomic_file(self.path / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
