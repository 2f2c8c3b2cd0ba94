"""One run on disk and what it says."""

from hcl_core.runs.folder import RunFolder

__all__ = ["RunFolder"]
