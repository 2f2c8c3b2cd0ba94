"""What a measurement ran on, in a line that stands beside its numbers."""

import importlib.metadata
import platform
import re
from pathlib import Path

import torch


def describe(*packages: str) -> str:
    """Processor or GPU, threads, and versions of torch and ``packages``."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", *packages))
    return f"{_device()}; Python {platform.python_version()}, {versions}"


def _device() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        named = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        named = None
    name = named.group(1).strip() if named else platform.processor() or platform.machine()
    return f"{torch.get_num_threads()} threads of {name} ({torch.backends.cpu.get_cpu_capability()})"
