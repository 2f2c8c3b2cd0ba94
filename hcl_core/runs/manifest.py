"""What a run was asked to do, and the record of it: ``manifest.json``."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from hcl_core.errors import RunFolderError, SettingsError
from hcl_core.models.cost import ModelCost
from hcl_core.records import SamplingSettings, StoredQuestion
from hcl_core.settings.layers import format_layers
from hcl_core.settings.prompts import PromptTemplate
from hcl_core.settings.strategies import Strategy
from hcl_core.strict_json import read_record

SCHEMA_VERSION = 1
# Raised when the engine draws other samples from the same settings.
ENGINE_VERSION = 1
_RUN_ID = re.compile(r"[0-9a-f]{16}")


def check_run_id(text: str) -> str:
    """``text``; raises ``RunFolderError`` unless it has the form of a run's id, and so is no path."""
    if not _RUN_ID.fullmatch(text):
        raise RunFolderError(f"a run's id of 16 hexadecimal digits was wanted; got {text[:80]!r}")
    return text


def check_num_samples(num_samples: int) -> None:
    """Raise ``SettingsError`` unless so many answers a question and layer can be asked for."""
    if not 1 <= num_samples <= 10_000:
        raise SettingsError(f"samples must be between 1 and 10000; got {num_samples}")


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What decides the samples of a run; its hash is the run's id.

    Attributes:
        model: Catalogue name, Hub id or folder name.
        model_revision: Hub commit, wheel version or folder fingerprint.
        dtype: Of the weights: ``"float32"``, ``"bfloat16"`` or ``"float16"``.
        exit_head: Name of the exit head.
        exit_head_hash: What decides the head's weights.
        strategy: As ``settings.strategies.Strategy`` writes it.
        template: How a question becomes a prompt.
        exit_layers: Ascending, from 1.
        num_samples: Answers a question and layer.
        sampling: How tokens are drawn.
    """

    model: str
    model_revision: str
    dtype: str
    exit_head: str
    exit_head_hash: str
    template: PromptTemplate
    exit_layers: tuple[int, ...]
    num_samples: int
    sampling: SamplingSettings
    strategy: str = "early_exit"

    def __post_init__(self) -> None:
        check_num_samples(self.num_samples)
        Strategy.parse(self.strategy)
        if not self.exit_layers or list(self.exit_layers) != sorted(set(self.exit_layers)) or self.exit_layers[0] < 1:
            raise SettingsError(f"exit layers must be ascending and from 1; got {self.exit_layers}")

    def run_id(self, questions: Sequence[StoredQuestion]) -> str:
        """16 hexadecimal digits: the same request by another person has the same ones.

        Accepted answers are left out: they decide verdicts, not samples. The prompts stand for the template.
        """
        settings = {name: value for name, value in asdict(self).items() if name != "template"}
        prompts = [(stored.question.id, stored.prompt) for stored in questions]
        decides = {"engine": ENGINE_VERSION, "settings": settings, "prompts": prompts}
        canonical = json.dumps(decides, sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()


def differing_settings(first: "Manifest", second: "Manifest") -> dict[str, list[object]]:
    """What was asked for differently, by name, with both values."""
    theirs = second.asked
    return {name: [value, theirs[name]] for name, value in first.asked.items() if value != theirs[name]}


@dataclass(frozen=True, slots=True)
class Manifest:
    """``manifest.json``.

    Attributes:
        run_id: Hash of ``settings`` and the questions.
        settings: What decides the samples.
        num_hidden_layers: Of the model.
        num_questions: In ``questions.jsonl``.
        question_set: Name of where they came from.
        device: That computed the samples; decides nothing but ties of rounding.
        judge: Name of the judge of ``verdicts.parquet``.
        embedder: Name of the embedder of ``clusters.parquet``.
        versions: Package versions.
        created_at: UTC, ISO 8601.
        finished_at: Likewise; ``None`` until every sample is there.
        decode_seconds: Time spent decoding, over all sittings.
        preset: Name of the protocol that was asked for, and what was chosen otherwise; ``None`` without one.
        cost: Of the model's tokens; ``None`` in runs of before it was kept.
        schema_version: Of this format.
    """

    run_id: str
    settings: RunSettings
    num_hidden_layers: int
    num_questions: int
    question_set: str
    device: str
    judge: str
    embedder: str
    versions: dict[str, str]
    created_at: str
    finished_at: str | None = None
    decode_seconds: float = 0.0
    preset: str | None = None
    cost: ModelCost | None = None
    schema_version: int = SCHEMA_VERSION

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Read ``manifest.json``; raises ``RunFolderError`` for what this version cannot read."""
        try:
            # First: a manifest of another version may have other fields.
            if (version := json.loads(text)["schema_version"]) != SCHEMA_VERSION:
                raise RunFolderError(f"schema version {SCHEMA_VERSION} was wanted; got {version}")
            return read_record(cls, text)
        except (KeyError, TypeError, ValueError, RecursionError, SettingsError) as error:
            raise RunFolderError(f"the manifest cannot be read: {str(error)[:200]}") from None

    @property
    def num_total_samples(self) -> int:
        """Samples of the whole run: questions times exit layers times samples of each."""
        return self.num_questions * len(self.settings.exit_layers) * self.settings.num_samples

    @property
    def asked(self) -> dict[str, object]:
        """Everything that was asked for, by name."""
        everything = asdict(self.settings) | asdict(self.settings.sampling)
        template = self.settings.template
        everything |= {
            "template": template.name if template.name != "file" else template.text,
            "question_set": self.question_set,
            "judge": self.judge,
            "embedder": self.embedder,
        }
        return {name: value for name, value in everything.items() if name != "sampling"}

    def describe(self) -> str:
        """One line for people."""
        settings = self.settings
        return (
            f"{settings.model} · {settings.exit_head} head · layers {format_layers(settings.exit_layers)} · "
            f"{settings.num_samples} samples · T {settings.sampling.temperature:g}"
        )
