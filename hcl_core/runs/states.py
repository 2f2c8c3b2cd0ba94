"""Hidden states of a run's answers on disk: ``states/part-*.parquet`` in its folder, a part a question.

They are no part of the run: they can be made again from it with the model, and do not go with its zip file.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hcl_core.atomic import atomic_file, disk_errors
from hcl_core.errors import RunFolderError, cause_of
from hcl_core.runs.tables import KEY_FIELDS

STATES = "states"
# In place of layers: of each answer, the layer at which it was given.
OWN_EXIT = "exit"
_LAYERS = b"layers"


def states_schema(hidden_size: int, layers: str) -> pa.Schema:
    """Columns of a part: a row a sample, layer and token.

    ``token_idx`` counts the answer's tokens from 0; -1 is the prompt's last one. ``state`` is ``[hidden_size]``
    float32, after ``layer`` blocks and before the final norm.
    """
    fields = [
        *KEY_FIELDS,
        ("layer", pa.int16()),
        ("token_idx", pa.int32()),
        ("token_id", pa.int32()),
        ("state", pa.list_(pa.float32(), hidden_size)),
    ]
    return pa.schema(fields, metadata={_LAYERS: layers.encode()})


def part_file(run: Path, place: int) -> Path:
    """The part of the run's question number ``place``, counted from 0."""
    return run / STATES / f"part-{place:05}.parquet"


def layers_of_part(file: Path) -> str | None:
    """The layers that a part was made of; ``None`` where there is none that can be read."""
    try:
        metadata = pq.read_schema(file).metadata or {}
    except (OSError, pa.ArrowException):
        return None
    return metadata.get(_LAYERS, b"").decode() or None


@contextmanager
def new_part(file: Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """Write a part in one step, a table after another; raises ``DiskError`` where that is not possible."""
    with disk_errors(file):
        file.parent.mkdir(exist_ok=True)
    with atomic_file(file) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        yield writer


def read_states(run: Path, num_questions: int) -> pa.Table:
    """All rows, in the order of questions, layers, samples and tokens.

    Raises:
        RunFolderError: There are none, or not of all questions, or a part is damaged.
    """
    files = [part_file(run, place) for place in range(num_questions)]
    if not (run / STATES).is_dir():
        raise RunFolderError(
            f"{run} has no hidden states: give the `run` call that made it once more, with save_states="
        )
    found = {layers_of_part(file) for file in files}
    if len(found) != 1 or None in found:
        raise RunFolderError(f"the hidden states of {run} are not whole: the same `run` call with save_states= goes on")
    try:
        return pa.concat_tables(_read(files)).unify_dictionaries()
    except (OSError, pa.ArrowException) as error:
        raise RunFolderError(f"the hidden states of {run} cannot be read: {cause_of(error)}") from None


def _read(files: Sequence[Path]) -> Iterator[pa.Table]:
    for file in files:
        yield pq.read_table(file)
