"""The id of a view: accepted answers, judge and verdicts of a run's samples, in a run folder of their own."""

from collections.abc import Iterable
from dataclasses import asdict

from hcl_core.records import Question
from hcl_core.strict_json import short_hash


def view_id(questions: Iterable[Question], made_by: str, preset: str | None) -> str:
    """16 hexadecimal digits, equal on any machine for equal verdicts of equal samples.

    Args:
        questions: Of the run, in order, with their accepted answers.
        made_by: The stamp of the clusters: it names the run, and the versions of judge and idea finder.
        preset: Of the manifest; it decides how scores are scaled.
    """
    hashed = {"questions": [asdict(question) for question in questions], "made_by": made_by, "preset": preset}
    return short_hash(hashed)
