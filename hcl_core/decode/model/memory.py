"""Free memory, and the error for too little of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch

from hcl_core.errors import NotEnoughMemoryError

_CGROUP = Path("/sys/fs/cgroup")


def free_memory(device: torch.device) -> int:
    """Bytes that a new tensor on ``device`` could take.

    On a GPU: what the driver has left plus what torch has cached; on an Apple GPU, which shares the machine's memory,
    not more than the machine has left. On a CPU: what the machine has left, or its container if that is less.
    """
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    left = int(psutil.virtual_memory().available)
    if device.type == "mps":
        return min(left, torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    return min(left, _left_in_container())


def _left_in_container() -> int:
    """Bytes under the control group's limit (cgroup v2); no limit is a very large number."""
    try:
        limit = (_CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = int((_CGROUP / "memory.current").read_text(encoding="ascii"))
        statistics = dict(line.split() for line in (_CGROUP / "memory.stat").read_text(encoding="ascii").splitlines())
        reclaimable = int(statistics.get("inactive_file", 0))
    except (OSError, ValueError):
        return 2**62
    return 2**62 if limit == "max" else max(0, int(limit) - used + reclaimable)


@contextmanager
def explain_out_of_memory(what: str) -> Iterator[None]:
    """Turn every error of torch for too little memory into ``NotEnoughMemoryError``.

    Args:
        what: What is being done, for the message: "decoding".
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise NotEnoughMemoryError(_advice(what)) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory ran out; the CPU allocator of torch has no error class of its own."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)


def _advice(what: str) -> str:
    return f"out of memory while {what}: ask for fewer layers, samples or tokens, or choose a smaller model"
