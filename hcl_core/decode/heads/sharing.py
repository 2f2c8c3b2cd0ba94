"""Exit heads that go to other people, with a card, and that come from them, checked."""

import hashlib
import math
import re
from pathlib import Path

from safetensors import SafetensorError, safe_open

from hcl_core.atomic import atomic_file, atomic_folder, disk_errors
from hcl_core.decode.heads.exit_heads import SharedHead, read_maps
from hcl_core.decode.heads.head_files import FORMAT, find_head, heads_called, own_head_file, read_config, unreadable
from hcl_core.decode.heads.trial import trial_states, try_head
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.errors import ExitHeadError, HeadIsThereError, cause_of
from hcl_core.folders import own_heads_folder
from hcl_core.models.head_cards import HEAD_FILE, head_card
from hcl_core.models.head_records import HeadConfig, HeadTrial, bytes_of_maps
from hcl_core.strict_json import read_record
from hcl_core.user_files import read_bytes_limited

CARD_FILE = "README.md"
# Bytes of the JSON at the file's beginning: what is stored of 200 layers takes 50 kB.
_MAX_HEADER = 1_000_000
# Digits of a hash of weight files, by this version and by earlier ones.
_HASH = re.compile(r"[0-9a-f]{16}|[0-9a-f]{32}")
_DTYPES = {"codes": "I8", "input_scales": "F32", "output_scales": "F32", "biases": "F32"}


def export_head(head: str, out: Path) -> Path:
    """Write a head's file and its card into a new folder.

    Args:
        head: The head's file, or the name of the model that it was fitted for.
        out: The folder.

    Returns:
        The folder.

    Raises:
        ExitHeadError: There is no such head, or several, or ``out`` exists.
        DiskError: The disk is full, read-only or failing.
    """
    files = shared_files(Path(head).expanduser() if head.endswith(".safetensors") else _head_of(head))
    if out.exists():
        raise ExitHeadError(f"{out} is there already: give --out a new folder")
    with atomic_folder(out) as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)
    return out


def shared_files(file: Path) -> dict[str, bytes]:
    """What is given to others of a head, which is checked: its file and its card, by their names.

    Raises:
        ExitHeadError: It is no head, or damaged.
    """
    config, content = _read_strictly(file), file.read_bytes()
    return {HEAD_FILE: content, CARD_FILE: head_card(config, len(content), _fingerprint(content)).encode()}


def import_head(file: Path, lm: LanguageModel, *, replace: bool = False) -> tuple[Path, HeadTrial]:
    """Check a head that somebody else fitted, and keep it where ``auto`` finds it.

    Args:
        file: The head's file, or a folder that ``export_head`` wrote.
        lm: The model that it shall read.
        replace: Whether it may take the place of a head that was fitted for the same weights.

    Returns:
        The file that was written, and how well it reads ``lm``.

    Raises:
        HeadIsThereError: There is such a head, one of the user's own or a shipped one, and ``replace`` is false.
        ExitHeadError: It is no head for ``lm``, or reads it worse than the model's own head; or it was fitted for other
            weights, and reads these much worse than it says of itself.
        NotEnoughMemoryError: The maps do not fit beside the model.
        DiskError: The disk is full, read-only or failing.
    """
    if file.is_dir():
        file = file / HEAD_FILE
    _check_kind(file)
    most = bytes_of_maps(lm.num_hidden_layers, lm.hidden_size) + _MAX_HEADER
    try:
        content = read_bytes_limited(file, most)
    except OSError as error:
        raise ExitHeadError(f"the exit head {file} cannot be read: {cause_of(error)}") from None
    config = _read_strictly(file)
    if len(config.after) != lm.num_hidden_layers:
        raise ExitHeadError(
            f"the exit head {file.name} is for a model of {len(config.after)} layers; {lm.name} has "
            f"{lm.num_hidden_layers}"
        )
    is_own = config.belongs_to(lm.weights_hash, lm.revision)
    if not is_own and config.model != lm.name:
        raise ExitHeadError(
            f"the exit head {file.name} was fitted for {config.model}, not for {lm.name}: choose that model (--model)"
        )
    trial = _trial(file, lm, config, _fingerprint(content), is_own)
    target = own_head_file(lm.name, config.weights_hash)
    there = target if target.exists() else find_head(lm) if is_own else None
    if not replace and there is not None and there.read_bytes() != content:
        raise HeadIsThereError(
            f"another head for these weights is there, {there}: give --replace, and this one takes its place"
        )
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(target) as temporary:
        temporary.write_bytes(content)
    return target, trial


def check_shared(file: Path) -> HeadConfig:
    """The config of a head's file that anybody may have made, checked as far as that needs no model.

    Raises:
        ExitHeadError: It is no head, or damaged.
    """
    _check_kind(file)
    return _read_strictly(file)


def _check_kind(file: Path) -> None:
    if file.suffix != ".safetensors":
        raise ExitHeadError(f"an exit head is a .safetensors file, which holds numbers alone; got {file.name}")


def _trial(file: Path, lm: LanguageModel, config: HeadConfig, fingerprint: str, is_own: bool) -> HeadTrial:
    """How well the head reads ``lm``; raises ``ExitHeadError`` if that is not well enough."""
    head = read_maps(file, lm)
    if head.fingerprint != fingerprint:
        raise ExitHeadError(f"the exit head {file} was changed while it was read: give the same command again")
    states = trial_states(lm)
    trial, plain = (try_head(lm, each, config, states) for each in (head, SharedHead()))
    # The stored texts are others than those of the fit: even a head of these weights can agree less than it says.
    if not (trial.is_accepted or is_own) or (trial.agreement or 0.0) < (plain.agreement or 0.0):
        raise ExitHeadError(
            f"the exit head {file.name} does not read {lm.name} well: at layers {trial.first_layer} to "
            f"{trial.last_layer} it names the last layer's word in {trial.agreement:.0%} of {trial.num_positions} "
            f"places; by its own record that is {trial.expected:.0%}, and {plain.agreement:.0%} without a head"
        )
    return trial


def _head_of(model: str) -> Path:
    """The one file of a head for a model of that name, one of the user's own before a shipped one."""
    found = [file for file, _ in heads_called(model)]
    if not found:
        raise ExitHeadError(f"no exit head was fitted for {model}: make one with `fit-head`, or give a head's file")
    own = [file for file in found if file.parent == own_heads_folder()]
    if len(own or found) > 1:
        raise ExitHeadError(f"{len(own or found)} heads were fitted for {model}: give the file of one, as {found[0]}")
    return found[0]


def _read_strictly(file: Path) -> HeadConfig:
    """The config of a head that anybody may have made; raises ``ExitHeadError`` unless all is as it must be."""
    config = read_config(file)
    try:
        with safe_open(file, framework="np") as opened:
            metadata: dict[str, str] = opened.metadata()
            dtypes = {name: opened.get_slice(name).get_dtype() for name in opened.keys()}  # noqa: SIM118
        if set(metadata) != {FORMAT} or len(metadata[FORMAT]) > _MAX_HEADER:
            raise ValueError("its metadata hold more than the head's record")
        if dtypes != _DTYPES:
            raise ValueError(f"it must hold {', '.join(_DTYPES)} alone, in int8 and float32")
        read_record(HeadConfig, metadata[FORMAT])
        num_layers = len(config.after)
        if not len(config.before) == num_layers == len(config.strengths) + 1 > 1:
            raise ValueError("its record names another number of layers before than after the fit")
        shares = [each.agreement for each in (*config.before, *config.after)]
        numbers = [*config.strengths, *(each.cross_entropy for each in (*config.before, *config.after))]
        if not all(0 <= share <= 1 for share in shares) or not all(map(math.isfinite, numbers)):
            raise ValueError("its record has a number that cannot be")
        if not _HASH.fullmatch(config.weights_hash):
            raise ValueError("its record has no fingerprint of the weights")
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        raise unreadable(file, error) from None
    return config


def _fingerprint(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
