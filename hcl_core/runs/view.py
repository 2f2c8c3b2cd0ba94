"""The id of a view: accepted answers, judge and verdicts of a run's samples, in a run folder of their own."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict

from hcl_core.records import Question


def view_id(questions: Iterable[Question], made_by: str, preset: str | None) -> str:
    """16 hexadecimal digits, equal on any machine for equal verdicts of equal samples.

    Args:
        questions: Of the run, in order, with their accepted answers.
        made_by: The stamp of the clusters: it names the run, and the versions of judge and idea finder.
        preset: Of the manifest; it decides how scores are scaled.
    """
    hashed = {"questions": [asdict(question) for question in questions], "made_by": made_by, "preset": preset}
    canonical = json.dumps(hashed, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()
