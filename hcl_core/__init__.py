"""The engine of HCL Explorer: decode at every exit layer, judge, cluster, score, store. Never imports gradio.

``docs/python.md`` shows how its functions are called.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hcl_core.api.comparing import Comparison, compare
    from hcl_core.api.lens import Lens, lens
    from hcl_core.api.models import Model, load_model
    from hcl_core.api.running import run
    from hcl_core.api.runs import Run, open_run
    from hcl_core.api.sweeps import Sweep, open_sweep, sweep
    from hcl_core.errors import HclError

__version__ = "0.1.0"

__all__ = [
    "Comparison",
    "HclError",
    "Lens",
    "Model",
    "Run",
    "Sweep",
    "compare",
    "lens",
    "load_model",
    "open_run",
    "open_sweep",
    "run",
    "sweep",
]

# Some processors have tiles for bfloat16 (AMX). oneDNN mixes them with other kernels by the number of rows, and each
# sums in an order of its own: an answer would change with the others beside it. It reads this variable once, at the
# first product of the process, so it is set before anything can load torch.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")

# Each name by its module, which is imported on first use. Type checkers see the imports above.
_LAZY = {
    "Comparison": "hcl_core.api.comparing",
    "compare": "hcl_core.api.comparing",
    "Lens": "hcl_core.api.lens",
    "lens": "hcl_core.api.lens",
    "Model": "hcl_core.api.models",
    "load_model": "hcl_core.api.models",
    "run": "hcl_core.api.running",
    "Run": "hcl_core.api.runs",
    "open_run": "hcl_core.api.runs",
    "Sweep": "hcl_core.api.sweeps",
    "open_sweep": "hcl_core.api.sweeps",
    "sweep": "hcl_core.api.sweeps",
    "HclError": "hcl_core.errors",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
