"""Models that are named by a path: which folder is meant, and one sentence for each path that is no model."""

from pathlib import Path

from hcl_core.decode.model.weight_files import read_json_object, weight_files
from hcl_core.errors import DamagedModelError, ModelNotFoundError, UnsafeWeightsError
from hcl_core.folders import user_path


def is_path(name: str) -> bool:
    """Whether ``name`` is a path, also one where nothing is, and no Hub id."""
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or name.lower().endswith((".gguf", ".safetensors")):
        return True
    return user_path(name) is not None


def model_folder(name: str) -> Path:
    """The folder with a config.json that the path ``name`` means.

    Raises:
        ModelNotFoundError: Nothing is there, or something else.
        DamagedModelError: Something in it is no file.
    """
    if not name:  # user_path takes it as the working folder
        raise ModelNotFoundError(
            "a model needs a name; got an empty one: give a name that `models` lists, a Hub id such as owner/name, "
            "a folder or a GGUF file"
        )
    if (path := user_path(name)) is None:
        raise _nothing_at(name[:200])
    if not path.is_dir():
        raise ModelNotFoundError(
            f"{str(path)!r} is a file: a folder with a config.json, or a file that ends with .gguf, was wanted: give "
            "the folder that holds it"
        )
    if not (path / "config.json").is_file():
        if path.suffix.lower() == ".gguf":
            raise ModelNotFoundError(
                f"{str(path)!r} is a folder: a GGUF file was wanted: give the file itself{_hint_of_content(path)}"
            )
        raise ModelNotFoundError(
            f"the folder {str(path)!r} has no config.json: it is not a transformers model{_hint_of_content(path)}"
        )
    # The libraries open what they know by its name: a pipe waits for its other end, and a device may never end.
    for file in sorted(path.glob("*")):
        if file.exists() and not (file.is_file() or file.is_dir()):
            raise DamagedModelError(f"{str(file)!r} is a pipe or a device, and a model has files alone: take it away")
    return path


def _nothing_at(name: str) -> ModelNotFoundError:
    if name.lower().endswith(".gguf"):
        return ModelNotFoundError(f"there is no file {name!r}: give the path of a GGUF file on this machine")
    if name.lower().endswith(".safetensors"):
        return ModelNotFoundError(
            f"there is no file {name!r}; a model is a folder with a config.json beside such files: give that folder"
        )
    return ModelNotFoundError(f"there is no model folder {name!r}: give the path of a folder on this machine")


def require_safetensors(path: Path, label: str) -> None:
    """Raise the ``HclError`` of a folder whose weights are no safetensors, or not all there; ``label`` is its name."""
    files = weight_files(path)
    lacking = [file.name for file in files if not file.is_file()]
    if len(files) > 1 and lacking:
        raise DamagedModelError(
            f"{label} lacks {len(lacking)} of the {len(files)} files of its weights, such as {lacking[0]}: fetch "
            "or copy them too"
        )
    if lacking:
        raise UnsafeWeightsError(
            f"{label} has no complete safetensors weights; pickled weights (.bin, .pt) are never opened: "
            f"convert it with save_pretrained(..., safe_serialization=True){_hint_of_content(path)}"
        )


def _hint_of_content(path: Path) -> str:
    """What a folder that is no model holds instead, where that is known; begins with a separator."""
    if (file := min(path.glob("*.gguf"), default=None)) is not None:
        return f"; it holds a GGUF file: give that file, {str(file)!r}"
    if (path / "adapter_config.json").is_file():
        base = str(read_json_object(path / "adapter_config.json").get("base_model_name_or_path"))[:100]
        return f"; it holds an adapter of {base}: merge it into that model (peft: merge_and_unload) and save the whole"
    return ""
