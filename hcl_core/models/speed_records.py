"""What decoding costs, way by way: full, drafted, or left early. Free of torch: a stored report opens at once."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hcl_core.atomic import atomic_file
from hcl_core.errors import RunFolderError
from hcl_core.settings.strategies import EARLY_EXIT, Strategy

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class SpeedRow:
    """One way of decoding, over all prompts; medians of repeats that were interleaved with the other ways'.

    Attributes:
        strategy: As ``settings.strategies.Strategy`` writes it; ``early_exit`` at the last layer is full decoding.
        exit_layer: Drafted from, or the first that may be left.
        seconds: For one answer to every prompt.
        num_tokens: In those answers.
        ratio: Tokens a second over full decoding's; above 1 is faster.
        blocks_per_token: Decoder blocks run over tokens.
        tokens_per_verification: Of drafts; ``None`` without.
        acceptance_rates: Of drafts, by place; ``None`` without.
        exits: Tokens by the layer they left at, of ``dynamic``; ``None`` of others.
        share_different: Tokens that the whole model would have put otherwise, of ``dynamic``; 0 of drafts.
    """

    strategy: str
    exit_layer: int
    seconds: float
    num_tokens: int
    ratio: float
    blocks_per_token: float
    tokens_per_verification: float | None = None
    acceptance_rates: tuple[float, ...] | None = None
    exits: tuple[int, ...] | None = None
    share_different: float | None = None

    @property
    def tokens_per_second(self) -> float:
        """Of new tokens, one answer at a time."""
        return self.num_tokens / self.seconds


@dataclass(frozen=True, slots=True)
class SpeedReport:
    """A sweep.

    Attributes:
        model: Name.
        model_revision: Of it.
        dtype: Of the weights.
        device: That computed.
        exit_head: Of the drafts and exits.
        num_threads: Of the CPU's.
        num_prompts: Asked, one answer each.
        max_new_tokens: Longest answer.
        temperature: 0 is greedy.
        repeats: Of each way.
        versions: Package versions.
        created_at: UTC, ISO 8601.
        rows: Full decoding first.
        kind: Tells this file from others.
        schema_version: Of this format.
    """

    model: str
    model_revision: str
    dtype: str
    device: str
    exit_head: str
    num_threads: int
    num_prompts: int
    max_new_tokens: int
    temperature: float
    repeats: int
    versions: dict[str, str]
    created_at: str
    rows: tuple[SpeedRow, ...]
    kind: str = "speed"
    schema_version: int = SCHEMA_VERSION

    @property
    def best_lossless(self) -> SpeedRow:
        """The fastest way whose answers are the whole model's."""
        lossless = [row for row in self.rows if Strategy.parse(row.strategy).name != "dynamic"]
        return max(lossless, key=lambda row: row.tokens_per_second)


def sweep(
    num_hidden_layers: int, layers: tuple[int, ...], drafts: tuple[int, ...], leaving: Sequence[Strategy]
) -> list[tuple[Strategy, int]]:
    """The ways to time: full decoding, drafts from each layer, and each dynamic exit from the first one.

    Args:
        num_hidden_layers: Of the model.
        layers: Drafted from.
        drafts: Numbers of them; 0 adapts.
        leaving: Dynamic exits.
    """
    ways = [(EARLY_EXIT, num_hidden_layers)]
    ways += [(Strategy("self_speculative", number), layer) for layer in layers for number in drafts]
    ways += [(each, min(layers)) for each in leaving]
    return ways


def median_ratio(seconds: list[float], full: list[float]) -> float:
    """Of the full way's time to this one's: the median of each repeat's own."""
    return statistics.median(theirs / mine for mine, theirs in zip(seconds, full, strict=True))


def write_report(report: SpeedReport, file: Path) -> None:
    """Store a report as JSON."""
    with atomic_file(file) as temporary:
        temporary.write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")


def read_report(file: Path) -> SpeedReport:
    """Read what ``write_report`` wrote.

    Raises:
        RunFolderError: It is none, or of another version.
    """
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        if entries["kind"] != "speed" or entries["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"a speed report of schema version {SCHEMA_VERSION} was wanted")
        rows = []
        for row in entries.pop("rows"):
            lists = {name: row[name] and tuple(row[name]) for name in ("acceptance_rates", "exits")}
            rows.append(SpeedRow(**(row | lists)))
        return SpeedReport(rows=tuple(rows), **entries)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{file} holds no speed report that can be read: {error}") from None
