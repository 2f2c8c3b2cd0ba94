"""All predictions of a class as a table, which its teacher can save."""

import io

import pyarrow as pa

from app.language import Translator
from app.lessons.asking import asked_of, options_of
from app.lessons.room import Room
from hcl_core.transfer.export import write_table


def predictions_csv(room: Room, words: Translator) -> bytes:
    """Every prediction, a row each; students are numbers, and no cell is a formula."""
    rows = []
    truths = {at: room.truths(at) for at in {at for _, at, _, _ in room.rows()} if room.run_of(at)}
    for student, at, question, value in room.rows():
        prediction = room.lesson.steps[at].predict[question]
        options = options_of(prediction, words)
        verdict = truths[at][question].is_right(prediction, value) if at in truths else None
        rows.append(
            {
                "student": student,
                "step": at + 1,
                "title": room.lesson.steps[at].title,
                "question": asked_of(prediction, words),
                "kind": prediction.kind,
                "prediction": options[value] if options else str(value),
                "counts_as_right": "" if verdict is None else "yes" if verdict else "no",
            }
        )
    names = ("student", "step", "title", "question", "kind", "prediction", "counts_as_right")
    numbers = ("student", "step")
    schema = pa.schema([(name, pa.int64() if name in numbers else pa.string()) for name in names])
    written = io.BytesIO(b"")
    write_table(pa.Table.from_pylist(rows, schema=schema), written)
    return written.getvalue()
