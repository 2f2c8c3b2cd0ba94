"""Named sets of options for ``run --preset NAME``; an option on the command line replaces the preset's."""

from dataclasses import dataclass

from hcl_core.errors import SettingsError
from hcl_core.records import DEFAULT_SCALING, SamplingSettings, Scaling


@dataclass(frozen=True, slots=True)
class Preset:
    """The options of a published protocol.

    Attributes:
        name: Name on the command line.
        layers: Text that ``settings.layers.parse_layer_choice`` reads.
        num_samples: Answers a question and layer.
        sampling: How tokens are drawn.
        template: Name of the prompt template.
        judge: Name of the judge.
        ideas: Name of the idea finder.
        scaling: Of creativity, where no other is asked for.
    """

    name: str
    layers: str
    num_samples: int
    sampling: SamplingSettings
    template: str
    judge: str
    ideas: str
    scaling: Scaling

    def options(self) -> dict[str, object]:
        """The options by their names on the command line."""
        return {
            "layers": self.layers,
            "samples": self.num_samples,
            "temperature": self.sampling.temperature,
            "top_p": self.sampling.top_p,
            "top_k": self.sampling.top_k,
            "max_new_tokens": self.sampling.max_new_tokens,
            "template": self.template,
            "judge": self.judge,
            "ideas": self.ideas,
        }


# arXiv 2503.02851: 50 samples of at most 50 tokens, T 0.6 (and 1.0), top_p 0.9, every second layer, accepted answers
# as substrings, ideas as clusters of whole answers, min-max scaling, both weights 0.5. In its script the full model
# verifies every token; here each layer answers alone.
PRESETS = (
    Preset(
        "paper",
        layers="2::2",
        num_samples=50,
        sampling=SamplingSettings(temperature=0.6, top_p=0.9, top_k=0, max_new_tokens=50),
        template="instruction",
        judge="paper",
        ideas="embedding",
        scaling="min_max",
    ),
)


def find_preset(name: str) -> Preset:
    """The preset called ``name``.

    Raises:
        SettingsError: There is none.
    """
    presets = {preset.name: preset for preset in PRESETS}
    if name not in presets:
        raise SettingsError(f"preset must be one of {', '.join(presets)}; got {name!r}")
    return presets[name]


def describe_preset(preset: Preset, chosen: dict[str, object]) -> str:
    """The preset's name, and the options that differ from it.

    Args:
        preset: The preset.
        chosen: The run's options by name.
    """
    changed = sorted(name for name, value in preset.options().items() if chosen[name] != value)
    return f"{preset.name}, but {', '.join(changed)}" if changed else preset.name


def scaling_of(described: str | None) -> Scaling:
    """The scaling of a run whose manifest says this of its preset, as ``describe_preset`` does."""
    name = (described or "").split(",")[0]
    return next((preset.scaling for preset in PRESETS if preset.name == name), DEFAULT_SCALING)
