"""Hidden states of the answers of a run: computed from its stored tokens, and read as arrays."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.progress import Progress

from hcl_core import registry
from hcl_core.records import Sample, StoredQuestion
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.states import OWN_EXIT, layers_of_part, new_part, part_file, read_states, states_schema
from hcl_core.settings.prompts import PromptTemplate
from hcl_core.text import counted

if TYPE_CHECKING:
    import pandas as pd

    from hcl_core.decode.model.language_model import LanguageModel


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class States:
    """Hidden states of the answers of a run, as ``Run.states`` reads them.

    Attributes:
        rows: One row a sample, layer and token: ``question_id``, ``exit_layer``, ``sample_idx``, ``layer``,
            ``token_idx`` (from 0; -1 is the prompt's last token) and ``token_id``.
        hidden: ``[n, hidden_size]`` float32: the state of each row, after ``layer`` blocks and before the final norm.
    """

    rows: "pd.DataFrame"
    hidden: NDArray[np.float32]

    @classmethod
    def read(cls, run: Path, num_questions: int) -> "States":
        """The states in a run's folder; see ``runs.states.read_states`` for the errors."""
        table = read_states(run, num_questions)
        states = table.column("state").combine_chunks()
        hidden = states.flatten().to_numpy().reshape(len(table), states.type.list_size)
        return cls(table.drop_columns("state").to_pandas(), hidden)

    def __repr__(self) -> str:
        return f"States({counted(len(self.rows), 'row')} of {self.hidden.shape[1]:,} numbers)"


def store_states(folder: RunFolder, lm: "LanguageModel", layers: tuple[int, ...] | None, bars: Progress) -> None:
    """Compute what is missing of the states of a finished run; parts that are there for the same layers are kept.

    Args:
        folder: The run.
        lm: Its model.
        layers: After which the states are read; ``None``: the layer at which each answer was given.
        bars: Shows how far it is.

    Raises:
        DiskError: The disk is full, read-only or failing.
    """
    name = OWN_EXIT if layers is None else ",".join(map(str, layers))
    template, questions = folder.manifest().settings.template, folder.questions()
    with bars:
        task = bars.add_task("Hidden states", total=len(questions), unit="questions")
        for place, stored in enumerate(questions):
            if layers_of_part(file := part_file(folder.path, place)) != name:
                samples = sorted(folder.samples(stored.question.id), key=lambda sample: sample.key)
                with new_part(file, states_schema(lm.hidden_size, name)) as writer:
                    for table in _tables(lm, template, stored, samples, layers, writer.schema):
                        writer.write_table(table)
            bars.advance(task)


def _tables(
    lm: "LanguageModel",
    template: PromptTemplate,
    stored: StoredQuestion,
    samples: Sequence[Sample],
    layers: tuple[int, ...] | None,
    schema: pa.Schema,
) -> Iterator[pa.Table]:
    """The rows of a question, an exit layer after another, as its ``samples`` are in order."""
    reader = registry.answer_states(lm, template, stored)
    for exit_layer, of_layer in groupby(samples, lambda sample: sample.exit_layer):
        own, chosen = list(of_layer), (exit_layer,) if layers is None else layers
        by_tokens = dict(reader.read([sample.completion_token_ids for sample in own], chosen))
        rows = [
            (stored.question.id, exit_layer, sample.sample_idx, layer, place, token)
            for sample in own
            for layer in chosen
            for place, token in enumerate((reader.last_prompt_token, *sample.completion_token_ids), -1)
        ]
        states = [by_tokens[sample.completion_token_ids].reshape(-1, lm.hidden_size) for sample in own]
        columns = [pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), schema, strict=False)]
        flat = pa.array(np.concatenate(states).ravel())
        yield pa.table([*columns, pa.FixedSizeListArray.from_arrays(flat, type=schema.field("state").type)], schema)
