"""Named sets of options: what ``run --preset NAME`` asks for where nothing else is said."""

from dataclasses import dataclass

from hcl_core.errors import SettingsError
from hcl_core.records import DEFAULT_SCALING, SamplingSettings, Scaling


@dataclass(frozen=True, slots=True)
class Preset:
    """A protocol.

    Attributes:
        name: As chosen.
        layers: As ``settings.layers.parse_layers`` reads them.
        num_samples: Answers a question and layer.
        sampling: How tokens are drawn.
        template: Name of the prompt template.
        judge: Name of the judge.
        scaling: Of creativity, where nothing else is said.
    """

    name: str
    layers: str
    num_samples: int
    sampling: SamplingSettings
    template: str
    judge: str
    scaling: Scaling

    def options(self) -> dict[str, object]:
        """By the name that each has on the command line."""
        return {
            "layers": self.layers,
            "samples": self.num_samples,
            "temperature": self.sampling.temperature,
            "top_p": self.sampling.top_p,
            "top_k": self.sampling.top_k,
            "max_new_tokens": self.sampling.max_new_tokens,
            "template": self.template,
            "judge": self.judge,
        }


# arXiv 2503.02851: 50 samples of at most 50 tokens, T 0.6 (and 1.0), top_p 0.9, every second layer, accepted answers
# as substrings, min-max scaling, both weights 0.5. Its script lets the full model verify every token; here layers
# answer by themselves.
PRESETS = (
    Preset(
        "paper",
        layers="2::2",
        num_samples=50,
        sampling=SamplingSettings(temperature=0.6, top_p=0.9, top_k=0, max_new_tokens=50),
        template="instruction",
        judge="paper",
        scaling="min_max",
    ),
)


def find_preset(name: str) -> Preset:
    """The preset called ``name``.

    Raises:
        SettingsError: There is none.
    """
    found = next((preset for preset in PRESETS if preset.name == name), None)
    if found is None:
        raise SettingsError(f"preset must be one of {', '.join(each.name for each in PRESETS)}; got {name!r}")
    return found


def describe_preset(preset: Preset, chosen: dict[str, object]) -> str:
    """``preset``'s name, and the options that were chosen otherwise.

    Args:
        preset: That was asked for.
        chosen: What the run has, by option.
    """
    changed = sorted(name for name, value in preset.options().items() if chosen[name] != value)
    return f"{preset.name}, but {', '.join(changed)}" if changed else preset.name


def scaling_of(described: str | None) -> Scaling:
    """The scaling of a run whose manifest says this of its preset, as ``describe_preset`` does."""
    name = (described or "").split(",")[0]
    return next((preset.scaling for preset in PRESETS if preset.name == name), DEFAULT_SCALING)
