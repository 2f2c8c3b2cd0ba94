"""A ``manifest.json`` that was cut off: what is left of it, and the manifest that can be written anew from that."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from hcl_core.errors import RunFolderError
from hcl_core.records import StoredQuestion
from hcl_core.runs.manifest import SCHEMA_VERSION, Manifest

_UNKNOWN = "unknown"


def read_half_manifest(content: bytes) -> dict[str, Any] | None:
    """The fields that stand whole in ``content``; ``None`` if it is JSON, so that nothing was cut off."""
    try:
        json.loads(content)
        return None
    except (ValueError, RecursionError):
        pass
    try:
        fields = from_json(content, allow_partial=True)
    except ValueError:
        return {}
    # The last field may be cut off, such as 3 of 30.
    return dict(list(fields.items())[:-1]) if isinstance(fields, dict) else {}


def mend_manifest(fields: Mapping[str, Any], questions: Sequence[StoredQuestion], created_at: str) -> Manifest:
    """The manifest of an unfinished run with these fields and questions.

    Args:
        fields: From ``read_half_manifest``.
        questions: Of the run.
        created_at: Taken where the field is lost.

    Raises:
        RunFolderError: Too many fields are lost, or the settings and questions do not make the run's id.
    """
    replaceable = {
        "num_questions": len(questions),
        "question_set": _UNKNOWN,
        "device": _UNKNOWN,
        "versions": {},
        "created_at": created_at,
        "schema_version": SCHEMA_VERSION,
    }
    manifest = Manifest.from_json(json.dumps(replaceable | dict(fields) | {"finished_at": None}))
    if manifest.settings.run_id(questions) != manifest.run_id:
        raise RunFolderError("its settings and questions do not make its run id")
    return manifest
