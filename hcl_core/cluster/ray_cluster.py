"""A Ray cluster: an existing one, or one of this machine alone, started and ended here."""

import importlib
import os
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hcl_core.cluster import node
from hcl_core.cluster.part_store import PartStore
from hcl_core.cluster.workers import Workers
from hcl_core.errors import SettingsError
from hcl_core.text import one_line

# Read by Ray when it is imported; a variable that is set already is left. Nothing is reported to anybody.
_ALWAYS = {"RAY_USAGE_STATS_ENABLED": "0"}
# For a cluster of this machine alone: other users are refused, and it listens at 127.0.0.1, as Ray by itself does on
# macOS and Windows only.
_LOCAL = {"RAY_AUTH_MODE": "token", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """How a sweep uses a cluster.

    Attributes:
        address: Of a Ray cluster, ``auto`` for the one on this machine; ``None``: one is started here and ended.
        device: ``auto``: GPUs where the cluster has some, else CPUs; ``cpu`` or ``cuda``.
        workers: The most workers; ``None``: as many as there are places.
        worker_size: CPU cores or GPUs of each worker, from 1.
        memory: Bytes of memory that a worker on a CPU needs, so that no node takes more than it can hold.
        parts: Address of a part store; ``None``: none.
        download: Whether nodes may fetch models of the catalogue.

    Raises:
        SettingsError: A value is outside its range.
    """

    address: str | None = None
    device: str = "auto"
    workers: int | None = None
    worker_size: int = 1
    memory: int = 0
    parts: str | None = None
    download: bool = False

    def __post_init__(self) -> None:
        if self.device not in ("auto", "cpu", "cuda"):
            raise SettingsError(f"--engine ray takes --device auto, cpu or cuda; got {self.device[:40]!r}")
        if self.workers is not None and self.workers < 1:
            raise SettingsError(f"--workers must be at least 1; got {self.workers}")
        if self.worker_size < 1:
            raise SettingsError(f"--worker-size must be at least 1; got {self.worker_size}")
        if self.parts is not None:
            PartStore(self.parts)  # raises


@contextmanager
def cluster_workers(settings: ClusterSettings) -> Iterator[Workers]:
    """The workers of a cluster, which end with the block.

    Raises:
        SettingsError: Ray is not installed, or there is no cluster at that address.
    """
    ray = _connected(settings.address)
    try:
        uses_gpus = settings.device == "cuda" or (
            settings.device == "auto" and any(_has(each, "GPU") for each in ray.nodes())
        )
        resource = "GPU" if uses_gpus else "CPU"
        wanted: dict[str, Any] = (
            {"num_gpus": settings.worker_size, "num_cpus": 0}
            if uses_gpus
            else {
                "num_cpus": settings.worker_size,
                "memory": settings.memory,
                # Those of the node's environment, where there are some, are for a program that is alone there.
                "runtime_env": {"env_vars": {"OMP_NUM_THREADS": str(settings.worker_size)}},
            }
        )
        ray.cloudpickle.register_pickle_by_value(node)
        actor = ray.remote(node.NodeWorker).options(max_restarts=0, max_task_retries=0, **wanted)

        def make() -> Any:
            return actor.remote("cuda" if uses_gpus else "cpu", settings.download, settings.parts)

        def num_places(refused: Container[str]) -> int:
            needs = {resource: settings.worker_size} | ({} if uses_gpus else {"memory": settings.memory})
            places = sum(_places(each, needs) for each in ray.nodes() if each["NodeID"] not in refused)
            return places if settings.workers is None else min(places, settings.workers)

        workers = Workers(ray, make, num_places)
        try:
            yield workers
        finally:
            workers.close()
    finally:
        ray.shutdown()


def _connected(address: str | None) -> Any:
    """The module ``ray``, connected to a cluster."""
    for name, value in (_ALWAYS | (_LOCAL if address is None else {})).items():
        os.environ.setdefault(name, value)
    try:
        ray = importlib.import_module("ray")
    except ImportError:
        raise SettingsError(
            "--engine ray needs Ray: pip install -r requirements-cluster.txt, or the extra `cluster`"
        ) from None
    try:
        ray.init(address=address or "local", include_dashboard=False, log_to_driver=False, logging_level="error")
    except (ConnectionError, ValueError, RuntimeError) as error:
        text = one_line(str(error))[:300]
        raise SettingsError(
            f"no Ray cluster can be used at {address or 'this machine'}: {text}; `ray start --head` starts one, and "
            "docs/cluster.md says how"
        ) from None
    return ray


def _has(node: dict[str, Any], resource: str) -> bool:
    return bool(node["Alive"]) and node["Resources"].get(resource, 0) >= 1


def _places(node: dict[str, Any], needs: dict[str, int]) -> int:
    """How many workers a node holds."""
    if not node["Alive"]:
        return 0
    return min(int(node["Resources"].get(name, 0) // number) for name, number in needs.items() if number)
