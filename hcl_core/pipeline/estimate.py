"""How long a run would take here: its work, foretold, times what work has taken on this machine."""

import json
import math
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import geometric_mean

from hcl_core import registry
from hcl_core.atomic import atomic_file
from hcl_core.errors import HclError
from hcl_core.models.catalogue import DEFAULT_MODEL, find_model
from hcl_core.models.engines import FAST, EngineName
from hcl_core.models.head_records import MAX_HELD_OUT
from hcl_core.models.shapes import ModelShape
from hcl_core.models.workload import (
    Workload,
    foretell_work,
    product_rate,
    reference_rate,
    reference_seconds,
    work_of,
)
from hcl_core.pipeline.events import Event, Finished, Started, WaveDone
from hcl_core.pipeline.request import RunRequest
from hcl_core.pipeline.waves import wave_bounds
from hcl_core.records import Sample
from hcl_core.settings.strategies import EARLY_EXIT

# Answers share more or less from question to question: most runs take between these parts of what is foretold.
_SPREAD = 1.5
# The same where no run with this model has been timed on this machine.
_SPREAD_UNTIMED = 2.0
# Letters of English a token; only the prompt's part of the time depends on it.
_LETTERS_A_TOKEN = 4
# Questions that share each read of the weights.
_QUESTIONS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Foretold:
    """Seconds of decoding.

    Attributes:
        low: Few runs take less.
        high: Few runs take more.
        is_timed: Whether a run with this model has been timed on this machine.
    """

    low: float
    high: float
    is_timed: bool

    def of_share(self, share: float) -> "Foretold":
        """For a part of the run, as much of its work as ``share`` says, from 0 to 1."""
        return replace(self, low=self.low * share, high=self.high * share)

    @property
    def middle(self) -> float:
        """As many runs take less as take more."""
        return math.sqrt(self.low * self.high)


class MachineSpeed:
    """What runs have taken on this machine, as multiples of the reference; kept between starts of the program.

    Args:
        path: JSON file of them by model; need not exist. One that cannot be read counts as empty, and is replaced.
        num_devices: Among which a run's questions are divided; the file is about one.
    """

    def __init__(self, path: Path, num_devices: int = 1) -> None:
        self._path, self._num_devices, self._lock = path, num_devices, threading.Lock()
        self._product_factor: float | None = None

    def factor(self, model: str, strategy: str = EARLY_EXIT.name) -> tuple[float, bool]:
        """Multiple of the reference for ``model``, and whether a run with it and the strategy was timed.

        Else it is that of its true early exit, or of other models, and before the first run that of a matrix product.
        """
        known = self._read()
        if (own := known.get(_key(model, strategy))) is not None:
            return own, True
        if (own := known.get(_key(model))) is not None:
            return own, False
        if known:
            return geometric_mean(known.values()), False
        with self._lock:
            self._product_factor = self._product_factor or reference_rate() / product_rate()
        return self._product_factor, False

    def longest_share(self, num_questions: int) -> float:
        """Part of a run's questions that the device with most of them answers."""
        return math.ceil(num_questions / self._num_devices) / num_questions

    def learn(self, model: str, taken: float, expected: float, strategy: str = EARLY_EXIT.name) -> None:
        """A run of ``expected`` reference seconds took ``taken``. The last one counts as much as all before."""
        if taken <= 0 or expected <= 0:
            return
        with self._lock:
            known, key = self._read(), _key(model, strategy)
            factor = taken / expected
            known[key] = (known[key] * factor) ** 0.5 if key in known else factor
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with atomic_file(self._path) as temporary:
                    temporary.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
            except OSError:
                return  # a full or read-only disk costs the better estimate, not the run

    def _read(self) -> dict[str, float]:
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
            return {str(key): float(factor) for key, factor in known.items() if 1e-6 < float(factor) < 1e6}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}


class RunTimer:
    """Learns from one run: one that is whole and had the model for itself says how fast this machine is.

    Answers to some questions share far more than those to others. What the run's own answers took, counted from them,
    therefore stands against its seconds, and not what was foretold of it; but of other strategies than early exit only
    the latter is known.

    Args:
        speed: What it teaches.
        request: What is run.
        exit_layers: That it asks for.
        first_wave: Answers a layer of its first wave.
    """

    def __init__(
        self, speed: MachineSpeed, request: RunRequest, exit_layers: Sequence[int], first_wave: int | None
    ) -> None:
        self._speed, self._request = speed, request
        self._num_wanted = len(exit_layers) * request.num_samples
        self._waves: dict[str, list[Sequence[Sample]]] = {}  # of questions under way
        is_counted = request.strategy.name == EARLY_EXIT.name and _known(request.model) is not None
        self._expected = 0.0 if is_counted else expected_seconds(request, exit_layers, first_wave)
        self._is_counted = is_counted

    def add(self, event: Event, *, is_alone: bool) -> None:
        """Take note of an event; ``is_alone``: no other run is under way."""
        if not is_alone or (isinstance(event, Started) and event.num_present):
            self._expected = None
        if self._expected is None:
            return
        if isinstance(event, WaveDone) and self._is_counted:
            waves = self._waves.setdefault(event.question.id, [])
            waves.append(event.samples)
            if sum(map(len, waves)) == self._num_wanted:
                self._expected += counted_seconds(self._request, self._waves.pop(event.question.id))
        elif isinstance(event, Finished):
            name, share = self._request.strategy.name, self._speed.longest_share(len(self._request.questions))
            self._speed.learn(self._request.model, event.manifest.decode_seconds, self._expected * share, name)


def counted_seconds(request: RunRequest, waves: Sequence[Sequence[Sample]]) -> float:
    """Seconds on the reference machine that one question's answers took, by wave; early exit's alone.

    Raises:
        ValueError: The model's size is not known.
    """
    if (known := _known(request.model)) is None:
        raise ValueError(f"{request.model} has no known size")
    return reference_seconds(work_of(waves, _num_prompt_tokens(request), _num_at_once(request, known[1])), *known)


def expected_seconds(request: RunRequest, exit_layers: Sequence[int], first_wave: int | None) -> float | None:
    """Seconds of decoding on the reference machine; ``None`` where the model's size is not known."""
    if (known := _known(request.model)) is None:
        return None
    shape, engine = known
    work = foretell_work(
        num_hidden_layers=shape.num_hidden_layers,
        exit_layers=exit_layers,
        num_samples=request.num_samples,
        max_new_tokens=request.sampling.max_new_tokens,
        temperature=request.sampling.temperature,
        exit_head=_head_of(request),
        num_prompt_tokens=_num_prompt_tokens(request),
        num_waves=len(wave_bounds(request.num_samples, first_wave)),
        num_at_once=_num_at_once(request, engine),
        strategy=request.strategy.name,
    )
    return len(request.questions) * reference_seconds(work, shape, engine)


def foretell(
    request: RunRequest, exit_layers: Sequence[int], first_wave: int | None, speed: MachineSpeed
) -> Foretold | None:
    """How long a run would take on this machine; ``None`` where the model's size is not known."""
    expected = expected_seconds(request, exit_layers, first_wave)
    if expected is None:
        return None
    factor, is_timed = speed.factor(request.model, request.strategy.name)
    spread = _SPREAD if is_timed else _SPREAD_UNTIMED
    seconds = expected * factor * speed.longest_share(len(request.questions))
    return Foretold(seconds / spread, seconds * spread, is_timed)


def foretell_fit(model: str, num_tokens: int, speed: MachineSpeed) -> Foretold | None:
    """How long the fit of an exit head would take here, unrefined; ``None`` where the model's size is not known."""
    if (known := _known(model)) is None:
        return None
    shape, engine = known
    depth, width = shape.num_hidden_layers, shape.hidden_size
    # Text is written at the last layer; at the end each layer is read by two heads over the held-out positions.
    work = Workload(0, 0, num_tokens * depth, num_tokens + 2 * depth * MAX_HELD_OUT)
    # Two sums of products a layer and position, in float64, which takes twice as long as float32.
    sums = 2 * 4 * num_tokens * (depth - 1) * width**2 / reference_rate() / 1e9
    factor, _ = speed.factor(model)
    seconds = factor * (reference_seconds(work, shape, engine) + sums)
    return Foretold(seconds / _SPREAD_UNTIMED, seconds * _SPREAD_UNTIMED, False)


def _key(model: str, strategy: str = EARLY_EXIT.name) -> str:
    """A model takes another time with other cores, and a strategy another than was foretold for it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    known = find_model(model)
    by_strategy = "" if strategy == EARLY_EXIT.name else f", {strategy}"
    return f"{known.name if known else model}, {cores} cores{by_strategy}"


def _num_prompt_tokens(request: RunRequest) -> int:
    """Of one question, about."""
    letters = sum(len(request.template.text) + len(each.text) for each in request.questions)
    return round(letters / len(request.questions) / _LETTERS_A_TOKEN)


def _num_at_once(request: RunRequest, engine: EngineName) -> int:
    """Questions that share each read of the weights; the reference engine runs one after the other."""
    return min(len(request.questions), _QUESTIONS_AT_ONCE) if engine == FAST else 1


def _known(model: str) -> tuple[ModelShape, EngineName] | None:
    try:
        return registry.shape_and_engine(model, config_is_enough=True)
    except HclError:
        return None


def _head_of(request: RunRequest) -> str:
    """Which head's answers those of the run are like: models trained for early exit make sense early."""
    if request.exit_head != "auto":
        return "shared" if request.exit_head == "shared" else "linear"
    known = find_model(request.model)
    is_read = known is not None and (known.is_layerskip or known is DEFAULT_MODEL)
    return "linear" if is_read or registry.known_head(request.model) is not None else "shared"
