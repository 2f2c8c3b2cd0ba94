"""From a model's name to a decoder: find the weights, choose dtype and device, check that they fit, load."""

import torch

from hcl_core.decode.causal_lm import CausalLM, convert_gguf, load_causal_lm
from hcl_core.decode.checkpoints import Checkpoint, resolve
from hcl_core.decode.memory import explain_out_of_memory, free_memory
from hcl_core.errors import NotEnoughMemoryError, SettingsError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_model(name: str, dtype: str = "auto", device: str = "auto") -> tuple[CausalLM, Checkpoint]:
    """Load the model called ``name``.

    Args:
        name: A catalogue name, Hub id or local folder.
        dtype: ``"float32"``, ``"bfloat16"``, ``"float16"``, or ``"auto"``: float32 on a CPU, where it is
            the fastest everywhere, and on a GPU bfloat16 if it can, else float16.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, or ``"auto"``: a GPU if there is one. A model larger
            than the first GPU is spread over all of them.

    Returns:
        The model, and the weights that it was made of.

    Raises:
        SettingsError: The dtype or device is unknown or absent.
        NotEnoughMemoryError: The weights do not fit; found before they are read.
        HclError: As ``checkpoints.resolve``.
    """
    chosen_device = choose_device(device)
    chosen_dtype = choose_dtype(dtype, chosen_device)
    checkpoint = resolve(name, convert_gguf)
    spread_over = _check_memory(checkpoint, chosen_dtype, chosen_device)
    with explain_out_of_memory(f"loading {name}"):
        return load_causal_lm(checkpoint, chosen_dtype, chosen_device, spread_over), checkpoint


def choose_device(device: str) -> torch.device:
    """The device meant by ``device``.

    Raises:
        SettingsError: It is unknown or absent.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = None
    if chosen is None or chosen.type not in ("cpu", "cuda"):
        raise SettingsError(f"device must be auto, cpu, cuda or cuda:N; got {device!r}")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise SettingsError(
            f"device {device} is not here: {torch.cuda.device_count()} CUDA devices were found; use cpu"
        )
    return chosen


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """The dtype meant by ``dtype`` on ``device``.

    Raises:
        SettingsError: It is unknown.
    """
    if dtype == "auto":
        if device.type == "cpu":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if dtype not in DTYPES:
        raise SettingsError(f"dtype must be auto, {', '.join(DTYPES)}; got {dtype!r}")
    return DTYPES[dtype]


def _check_memory(checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device) -> dict[int, int] | None:
    """Bytes for each GPU where the weights need all of them, ``None`` where ``device`` holds them."""
    needed = checkpoint.num_weights * dtype.itemsize
    free = free_memory(device)
    if needed < free:
        return None
    if device.type == "cuda" and device.index is None:
        # Room is left for keys, values and activations; nothing is put on the CPU or a disk.
        by_gpu = {i: free_memory(torch.device("cuda", i)) * 17 // 20 for i in range(torch.cuda.device_count())}
        free = sum(by_gpu.values())
        if needed < free:
            return by_gpu
    raise NotEnoughMemoryError(
        f"{checkpoint.model} needs {needed / 2**30:.1f} GiB for its weights in {str(dtype).removeprefix('torch.')} "
        f"and {free / 2**30:.1f} GiB are free on {device.type}: choose a smaller model, or a half-precision dtype"
    )
