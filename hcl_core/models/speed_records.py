"""Speed of decoding strategies. Free of torch: a stored report opens without a model."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hcl_core.atomic import atomic_file
from hcl_core.errors import RunFolderError, cause_of
from hcl_core.settings.strategies import EARLY_EXIT, Strategy
from hcl_core.user_files import MAX_JSON_BYTES, read_text_limited

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class SpeedRow:
    """One strategy at one exit layer, over all prompts.

    Attributes:
        strategy: As ``settings.strategies.Strategy`` writes it; ``early_exit`` at the last layer is full decoding.
        exit_layer: The layer that drafts (``self_speculative``), or the first at which a token may exit (``dynamic``).
        seconds: For one answer to every prompt; median over the repeats.
        num_tokens: In those answers.
        ratio: Tokens a second, divided by those of full decoding; above 1 is faster.
        blocks_per_token: Decoder blocks run, divided by tokens.
        tokens_per_verification: Of ``self_speculative``, else ``None``.
        acceptance_rates: Of ``self_speculative``: share of drafts accepted, by position after the last verified token;
            else ``None``.
        exits: Of ``dynamic``: tokens by exit layer; else ``None``.
        share_different: Share of tokens that differ from the whole model's; ``None`` where it was not measured. Of
            ``dynamic``: at each of its tokens, given the same text before. Of ``self_speculative``: against the answers
            of full decoding, at temperature 0 alone: above it, drafts draw other tokens of the same distribution.
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
        """New tokens a second, one answer at a time."""
        return self.num_tokens / self.seconds


@dataclass(frozen=True, slots=True)
class SpeedReport:
    """Strategies timed in turn on one machine.

    Attributes:
        model: Name of the model.
        model_revision: Of that model.
        dtype: Number format of the weights.
        device: The one that computed.
        exit_head: Name of the head that reads early layers.
        num_threads: Threads of the CPU.
        num_prompts: Prompts, one answer each.
        max_new_tokens: Longest answer.
        temperature: 0 is greedy.
        repeats: Timings of each strategy.
        versions: Package versions.
        created_at: UTC, ISO 8601.
        rows: Full decoding first.
        kind: ``"speed"``, which tells this file from others.
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
        """The fastest strategy whose answers are the whole model's."""
        lossless = [row for row in self.rows if Strategy.parse(row.strategy).name != "dynamic"]
        return max(lossless, key=lambda row: row.tokens_per_second)


def strategies_to_time(
    num_hidden_layers: int,
    exit_layers: tuple[int, ...],
    num_drafts: tuple[int, ...],
    dynamic_strategies: Sequence[Strategy],
) -> list[tuple[Strategy, int]]:
    """Strategies with their exit layers: full decoding, drafts from each layer, each dynamic exit from the first layer.

    Args:
        num_hidden_layers: Of the model.
        exit_layers: Layers that draft.
        num_drafts: Numbers of drafts per verification; 0 adapts.
        dynamic_strategies: Dynamic exits.
    """
    drafting = [(Strategy("self_speculative", number), layer) for layer in exit_layers for number in num_drafts]
    dynamic = [(strategy, min(exit_layers)) for strategy in dynamic_strategies]
    return [(EARLY_EXIT, num_hidden_layers), *drafting, *dynamic]


def median_ratio(seconds: list[float], full: list[float]) -> float:
    """Time of full decoding over that of another strategy: the median over repeats, which were interleaved."""
    return statistics.median(of_full / own for own, of_full in zip(seconds, full, strict=True))


def write_report(report: SpeedReport, file: Path) -> None:
    """Store a report as JSON."""
    with atomic_file(file) as temporary:
        temporary.write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")


def read_report(file: Path) -> SpeedReport:
    """Read what ``write_report`` wrote.

    Raises:
        RunFolderError: The file is no speed report, or one of another version.
    """
    try:
        entries = json.loads(read_text_limited(file, MAX_JSON_BYTES))
        if entries["kind"] != "speed" or entries["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"it is no speed report of schema version {SCHEMA_VERSION}")
        rows = []
        for row in entries.pop("rows"):
            lists = {name: row[name] and tuple(row[name]) for name in ("acceptance_rates", "exits")}
            rows.append(SpeedRow(**(row | lists)))
        return SpeedReport(rows=tuple(rows), **entries)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{file} holds no speed report that can be read: {cause_of(error)}") from None
