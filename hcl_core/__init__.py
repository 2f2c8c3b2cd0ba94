"""The engine of HCL Explorer: decode at every exit layer, judge, cluster, score, store. Never imports gradio."""

import os

__version__ = "0.1.0"

# Some processors have tiles for bfloat16 (AMX). oneDNN mixes them with other kernels by the number of rows, and each
# sums in an order of its own: an answer would change with the others beside it. It reads this variable once, at the
# first product of the process, so it is set before anything can load torch.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")
