"""Which exit layers a run uses: as a person chooses them, and as layer numbers of one model."""

from dataclasses import dataclass

from hcl_core.errors import SettingsError
from hcl_core.numerals import read_whole


@dataclass(frozen=True, slots=True)
class LayerRange:
    """Every ``step``-th exit layer from ``start`` to ``stop``; the default is all layers.

    Attributes:
        start: First exit layer.
        stop: Last exit layer, included; ``None`` is the model's last.
        step: Distance between two exit layers, from 1.
    """

    start: int = 1
    stop: int | None = None
    step: int = 1

    def __post_init__(self) -> None:
        if self.step < 1 or (self.stop is not None and self.stop < self.start):
            raise _unreadable(f"'{self}' (the step must be 1 or more, the stop not below the start)")

    def __str__(self) -> str:
        """The text that ``parse_layer_choice`` reads back."""
        if self == LayerRange():
            return "all"
        text = f"{self.start}:{'' if self.stop is None else self.stop}"
        return text if self.step == 1 else f"{text}:{self.step}"

    def resolve(self, num_hidden_layers: int) -> tuple[int, ...]:
        """Ascending exit layers of a model with ``num_hidden_layers``; raises ``SettingsError`` for one it lacks."""
        stop = num_hidden_layers if self.stop is None else self.stop
        _check_exist((self.start, stop), num_hidden_layers)
        return tuple(range(self.start, stop + 1, self.step))


@dataclass(frozen=True, slots=True)
class LayerList:
    """Exit layers one by one.

    Attributes:
        layers: At least one, ascending, without repeats.
    """

    layers: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.layers or self.layers != tuple(sorted(set(self.layers))):
            raise SettingsError(f"a list of exit layers must be ascending and not empty; got {self.layers}")

    def __str__(self) -> str:
        """The text that ``parse_layer_choice`` reads back."""
        return ",".join(map(str, self.layers))

    def resolve(self, num_hidden_layers: int) -> tuple[int, ...]:
        """The same exit layers; raises ``SettingsError`` for one that a model with ``num_hidden_layers`` lacks."""
        _check_exist(self.layers, num_hidden_layers)
        return self.layers


LayerChoice = LayerRange | LayerList


def parse_layer_choice(text: str) -> LayerChoice:
    """Read a layer choice, whatever the model's depth.

    Args:
        text: ``"all"``, ``"2:30"``, ``"2:30:2"`` (the stop is included), ``"2::2"`` (to the last) or ``"24,28,30"``.

    Raises:
        SettingsError: The text is none of these.
    """
    cleaned = text.strip().lower()
    if cleaned == "all":
        return LayerRange()
    try:
        if ":" not in cleaned:
            return LayerList(tuple(sorted({read_whole(part) for part in cleaned.split(",")})))
        start, stop, *step = cleaned.split(":")
        if len(step) <= 1:
            return LayerRange(read_whole(start), read_whole(stop) if stop.strip() else None, *map(read_whole, step))
    except ValueError:
        pass
    raise _unreadable(repr(text))


def parse_layers(text: str, num_hidden_layers: int) -> tuple[int, ...]:
    """Ascending exit layers, each from 1 to ``num_hidden_layers``, that ``parse_layer_choice`` reads in ``text``.

    Raises:
        SettingsError: The text cannot be read, or names a layer that the model lacks.
    """
    return parse_layer_choice(text).resolve(num_hidden_layers)


def format_layers(layers: tuple[int, ...]) -> str:
    """The shortest text that ``parse_layers`` reads back to the same layers."""
    steps = {after - before for before, after in zip(layers, layers[1:], strict=False)}
    if len(layers) > 2 and len(steps) == 1:
        return str(LayerRange(layers[0], layers[-1], steps.pop()))
    return str(LayerList(layers))


def _unreadable(got: str) -> SettingsError:
    return SettingsError(f"layers must be 'all', start:stop[:step] or a list such as 24,28,30; got {got}")


def _check_exist(layers: tuple[int, ...], num_hidden_layers: int) -> None:
    """Raise ``SettingsError`` for the first layer that is not from 1 to ``num_hidden_layers``."""
    for layer in layers:
        if not 1 <= layer <= num_hidden_layers:
            raise SettingsError(f"exit layer {layer} does not exist: this model has layers 1 to {num_hidden_layers}")
