"""Which exit layers to run: ``all``, ``start:stop:step`` with the stop included or left open, or a list."""

from hcl_core.errors import SettingsError


def parse_layers(text: str, num_hidden_layers: int) -> tuple[int, ...]:
    """Read a layer choice.

    Args:
        text: ``"all"``, ``"2:30"``, ``"2:30:2"`` (the stop is included), ``"2::2"`` (to the last) or ``"24,28,30"``.
        num_hidden_layers: Decoder blocks of the model; the deepest allowed exit.

    Returns:
        Ascending exit layers without repeats, each from 1 to ``num_hidden_layers``.

    Raises:
        SettingsError: The text cannot be read, is empty, or names a layer that the model lacks.
    """
    wanted = f"layers must be 'all', start:stop[:step] or a list such as 24,28,30; got {text!r}"
    cleaned = text.strip().lower()
    if cleaned == "all":
        return tuple(range(1, num_hidden_layers + 1))
    try:
        if ":" in cleaned:
            parts = cleaned.split(":")
            if not parts[1].strip():
                parts[1] = str(num_hidden_layers)
            bounds = [int(part) for part in parts]
            if len(bounds) not in (2, 3):
                raise SettingsError(wanted)
            start, stop, step = (*bounds, 1)[:3]
            if step < 1 or stop < start:
                raise SettingsError(f"{wanted} (the step must be 1 or more, the stop not below the start)")
            if not 1 <= start <= stop <= num_hidden_layers:
                raise SettingsError(_outside(start if start < 1 else stop, num_hidden_layers))
            return tuple(range(start, stop + 1, step))
        layers = tuple(sorted({int(part) for part in cleaned.split(",")}))
    except ValueError:
        raise SettingsError(wanted) from None
    for layer in layers:
        if not 1 <= layer <= num_hidden_layers:
            raise SettingsError(_outside(layer, num_hidden_layers))
    return layers


def format_layers(layers: tuple[int, ...]) -> str:
    """The shortest text that ``parse_layers`` reads back to the same layers."""
    steps = {after - before for before, after in zip(layers, layers[1:], strict=False)}
    if len(layers) > 2 and len(steps) == 1:
        step = steps.pop()
        return f"{layers[0]}:{layers[-1]}" + (f":{step}" if step > 1 else "")
    return ",".join(map(str, layers))


def _outside(layer: int, num_hidden_layers: int) -> str:
    return f"exit layer {layer} does not exist: this model has layers 1 to {num_hidden_layers}"
