"""What Ray starts on a node. It travels by value, so a node with another version of this program can say which.

Nothing of the program is imported before its version has been told.
"""

import importlib.metadata
import platform
import sys
from typing import Any

# Packages of which another version may round, draw or tokenise differently.
_COMPUTING = ("torch", "transformers", "tokenizers", "numpy")
_ABSENT = "none"


def computing_versions() -> dict[str, str]:
    """What decides, beside the settings, which answers a machine draws; without the build of torch."""
    versions = {"Python": ".".join(platform.python_version_tuple()[:2])}
    try:
        from hcl_core.runs.manifest import ENGINE_VERSION

        program = sys.modules["hcl_core"].__version__
        versions |= {"HCL Explorer": program, "its engine": str(ENGINE_VERSION)}
    except Exception:  # it is not there, or an old one, or one that this Python cannot read
        versions |= {"HCL Explorer": _ABSENT, "its engine": _ABSENT}
    for package in _COMPUTING:
        try:
            versions[package] = importlib.metadata.version(package).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            versions[package] = _ABSENT
    return versions


class NodeWorker:
    """A ``cluster.worker.Worker``, made when it is first asked something.

    Args:
        arguments: Its arguments.
    """

    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments
        self._worker: Any = None

    def versions(self) -> tuple[str, dict[str, str]]:
        """Id of the node, and ``computing_versions`` there; told once this runs."""
        import ray

        return ray.get_runtime_context().get_node_id(), computing_versions()

    def describe(self, *arguments: Any) -> Any:
        """As ``Worker.describe``."""
        return self._ask("describe", arguments)

    def decode(self, *arguments: Any) -> Any:
        """As ``Worker.decode``."""
        return self._ask("decode", arguments)

    def read(self, *arguments: Any) -> Any:
        """As ``Worker.read``."""
        return self._ask("read", arguments)

    def _ask(self, method: str, arguments: tuple[Any, ...]) -> Any:
        from hcl_core.cluster.worker import Worker
        from hcl_core.errors import HclError
        from hcl_core.tasks import Failed

        try:
            self._worker = self._worker or Worker(*self._arguments)
        except HclError as error:  # such as a part store that needs a package that only this node lacks
            return Failed.of(error)
        return getattr(self._worker, method)(*arguments)
