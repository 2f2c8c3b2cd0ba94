"""From a model's name to a model in memory: find the weights, choose number format and device, check the fit, load."""

import importlib.util
import re
from collections.abc import Sequence

import torch

from hcl_core.decode.model.checkpoints import Checkpoint, Location, locate
from hcl_core.decode.model.gguf_conversion import convert_gguf
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.decode.model.linear import fastest_dtype
from hcl_core.decode.model.memory import explain_out_of_memory, free_memory
from hcl_core.decode.model.pretrained import load_causal_lm, read_shape
from hcl_core.decode.model.quantised import expanded_method, stored_format
from hcl_core.decode.model.weight_files import check_weights, read_json_object
from hcl_core.errors import ModelNotFoundError, NotEnoughMemoryError, SettingsError
from hcl_core.models.engines import FAST
from hcl_core.models.footprint import WEIGHT_FORMATS, Footprint, WeightFormat, footprint
from hcl_core.models.shapes import ModelShape

_GIB = 2**30
# Of each of several GPUs; the rest is for keys, values and activations.
_SHARE_FOR_WEIGHTS = 0.85


def load_model(
    name: str, dtype: str = "auto", device: str = "auto", revision: str | None = None
) -> tuple[LanguageModel, Checkpoint]:
    """Load the model called ``name``.

    Args:
        name: A catalogue name, Hub id or local folder.
        dtype: A name of ``models.footprint.WEIGHT_FORMATS``; ``"auto"``: float32 on a CPU and on an Apple GPU, and
            on another GPU bfloat16 if it can, else float16; ``"fastest"``: on a CPU the faster of float32 and bfloat16,
            measured now.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``, or ``"auto"``: a CUDA GPU if there is one, else the CPU.
            A model larger than the first GPU is spread over all of them.
        revision: Of the weights that are wanted; ``None``: any.

    Returns:
        The model, and the weights that it was loaded from.

    Raises:
        SettingsError: The dtype or device is unknown or absent, or needs a package that is not installed.
        ModelNotFoundError: The weights have another revision.
        NotEnoughMemoryError: It does not fit; raised before the weights are read.
        HclError: As ``checkpoints.resolve``.
    """
    (lm,), checkpoint = _load(name, dtype, (choose_device(device),), revision)
    return lm, checkpoint


def load_replicas(name: str, dtype: str = "auto", device: str = "auto") -> tuple[tuple[LanguageModel, ...], Checkpoint]:
    """Load the model called ``name`` on each of some devices, whole and in the number format of the first.

    Args:
        name: As for ``load_model``.
        dtype: As for ``load_model``.
        device: As ``choose_devices`` takes it; one alone is as for ``load_model``.

    Returns:
        The model on each device, and the weights that it was loaded from.

    Raises:
        HclError: As ``load_model`` and ``choose_devices``; before the weights are read for any of the devices.
    """
    return _load(name, dtype, choose_devices(device))


def _load(
    name: str, dtype: str, devices: Sequence[torch.device], revision: str | None = None
) -> tuple[tuple[LanguageModel, ...], Checkpoint]:
    """``load_model`` on each of the devices."""
    choose_format(dtype, devices[0])  # before weights are fetched
    location = locate(name, convert_gguf)
    weight_format = format_of(location, dtype, devices[0])
    shape, engine = read_shape(location)
    check_weights(location.path, shape)
    spreads = [_check_memory(location.model, shape, weight_format, each, can_spread=engine == FAST) for each in devices]
    checkpoint = location.identify()
    if revision not in (None, checkpoint.revision):
        raise ModelNotFoundError(
            f"the weights {revision} of {name[:200]} were wanted; here are {checkpoint.revision}: give the folder that "
            "holds those weights"
        )
    quantized = weight_format.name if weight_format.is_quantized else None
    number_dtype = _number_dtype(weight_format, devices[0])
    with explain_out_of_memory(f"loading {name}"):
        replicas = [
            load_causal_lm(checkpoint, number_dtype, device, quantized, spread_over)
            for device, spread_over in zip(devices, spreads, strict=True)
        ]
    return tuple(replicas), checkpoint


def choose_devices(devices: str) -> tuple[torch.device, ...]:
    """The devices that ``devices`` names: one, as ``choose_device`` takes it, or GPUs such as ``"cuda:0,cuda:1"``.

    Raises:
        SettingsError: One is unknown or absent; or of several one is no GPU with its number, or named twice.
    """
    names = devices.split(",")
    if len(names) == 1:
        return (choose_device(devices),)
    if len(set(names)) < len(names) or not all(re.fullmatch(r"cuda:[0-9]+", name) for name in names):
        raise SettingsError(
            "several devices are CUDA GPUs by their numbers, each once and with a comma alone between, such as "
            f"cuda:0,cuda:1; got {devices[:80]!r}"
        )
    return tuple(map(choose_device, names))


def choose_device(device: str) -> torch.device:
    """The device that ``device`` names.

    Raises:
        SettingsError: It is unknown or absent.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if "," in device:
        raise SettingsError(f"only runs and sweeps take several devices; give one; got {device[:80]!r}")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = None
    # torch counts GPUs in 8 bits: cuda:256 is its cuda:0.
    if chosen is None or chosen.type not in ("cpu", "cuda", "mps") or str(chosen) != device:
        raise SettingsError(f"device must be auto, cpu, cuda, cuda:N or mps; got {device!r}")
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise SettingsError("device mps is not here: torch found no Apple GPU; use cpu")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise SettingsError(
            f"device {device} is not here: {torch.cuda.device_count()} CUDA devices were found; use cpu"
        )
    return chosen


def choose_format(dtype: str, device: torch.device) -> WeightFormat:
    """The number format that ``dtype`` means on ``device``.

    Raises:
        SettingsError: ``dtype`` is unknown, or needs ``bitsandbytes``, which is not installed or not for the device.
    """
    if dtype in ("auto", "fastest"):
        return WEIGHT_FORMATS[str(_best_dtype(dtype, device)).removeprefix("torch.")]
    if dtype not in WEIGHT_FORMATS:
        raise SettingsError(f"dtype must be auto, fastest, {', '.join(WEIGHT_FORMATS)}; got {dtype!r}")
    chosen = WEIGHT_FORMATS[dtype]
    if chosen.is_quantized and device.type == "mps":
        raise SettingsError(
            f"dtype {dtype} is not made for device mps: use float32, bfloat16 or float16, or device cpu"
        )
    if chosen.is_quantized and importlib.util.find_spec("bitsandbytes") is None:
        raise SettingsError(f"dtype {dtype} needs bitsandbytes: pip install -r requirements-quantized.txt")
    return chosen


def format_of(location: Location, dtype: str, device: torch.device) -> WeightFormat:
    """``choose_format`` for weights that are on this machine, which may be stored quantised.

    Raises:
        SettingsError: As ``choose_format``, or they are stored in another format.
    """
    config = read_json_object(location.path / "config.json")
    if (stored := stored_format(config, location.model)) is not None:
        return _check_stored(location.model, stored, dtype, device)
    weight_format = choose_format(dtype, device)
    if weight_format.is_quantized and (method := expanded_method(config)) is not None:
        raise SettingsError(
            f"the weights of {location.model} are stored by {method} and expanded to plain numbers: use --dtype auto, "
            f"float32, bfloat16 or float16; got {dtype}"
        )
    return weight_format


def _check_stored(model: str, stored: str, dtype: str, device: torch.device) -> WeightFormat:
    """The format of weights that are stored quantised, as ``stored``; ``dtype`` must not ask for another."""
    if dtype not in ("auto", "fastest", stored):
        raise SettingsError(f"the weights of {model} are stored as {stored}: use --dtype auto or {stored}; got {dtype}")
    return choose_format(stored, device)


def free_memory_by_device(device: torch.device) -> dict[torch.device, int]:
    """Bytes free on ``device``; on every GPU where ``device`` is CUDA without a number."""
    if device.type == "cuda" and device.index is None:
        devices = [torch.device("cuda", number) for number in range(torch.cuda.device_count())]
    else:
        devices = [device]
    return {one: free_memory(one) for one in devices}


def _best_dtype(dtype: str, device: torch.device) -> torch.dtype:
    if device.type == "cuda":
        # GPUs before Ampere imitate bfloat16, slowly.
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return fastest_dtype() if dtype == "fastest" and device.type == "cpu" else torch.float32


def _number_dtype(weight_format: WeightFormat, device: torch.device) -> torch.dtype:
    """The dtype of everything that is not quantised."""
    if weight_format.name == "int8":
        return torch.float16  # the dtype of its kernels; another would be cast at every product
    if weight_format.is_quantized:
        return _best_dtype("auto", device) if device.type == "cuda" else torch.bfloat16
    dtype: torch.dtype = getattr(torch, weight_format.name)
    return dtype


def _check_memory(
    model: str, shape: ModelShape, weight_format: WeightFormat, device: torch.device, *, can_spread: bool = True
) -> dict[int, int] | None:
    """``None`` if the model fits on ``device``, else the bytes that it may take of each GPU.

    Raises:
        NotEnoughMemoryError: All GPUs together do not hold the model and one answer.
    """
    needs = footprint(shape, weight_format, on_cpu=device.type == "cpu")
    free = free_memory(device)
    if needs.minimum < free:
        return None
    if can_spread and device.type == "cuda" and device.index is None:
        # The blocks are spread over GPUs only: on the CPU or a disk they would be too slow.
        by_gpu = {
            gpu.index: int(free_bytes * _SHARE_FOR_WEIGHTS) for gpu, free_bytes in free_memory_by_device(device).items()
        }
        free = sum(by_gpu.values())
        if needs.minimum < free:
            return by_gpu
    raise NotEnoughMemoryError(_does_not_fit(model, shape, weight_format, free, device))


def _does_not_fit(model: str, shape: ModelShape, weight_format: WeightFormat, free: int, device: torch.device) -> str:
    def needed(other: WeightFormat) -> Footprint:
        return footprint(shape, other, on_cpu=device.type == "cpu")

    needs = needed(weight_format)
    smaller = [
        f"--dtype {other.name} ({needed(other).minimum / _GIB:.1f} GiB)"
        for other in WEIGHT_FORMATS.values()
        if needed(other).minimum < min(free, needs.minimum)
    ]
    advice = f"choose {', '.join(smaller)}, or a smaller model" if smaller else "choose a smaller model"
    return (
        f"{model} in {weight_format.name} needs {needs.minimum / _GIB:.1f} GiB ({needs.weights / _GIB:.1f} for its "
        f"weights, {(needs.prompt + needs.sample) / _GIB:.1f} for the keys and values of a prompt and one answer, "
        f"{needs.readouts / _GIB:.1f} for readouts), and {free / _GIB:.1f} GiB are free on {device}: {advice}"
    )
