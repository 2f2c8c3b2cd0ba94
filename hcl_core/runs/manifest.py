"""The settings of a run, and the record of it: ``manifest.json``."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from hcl_core.answer_rules import FIRST_LINE, find_answer_rule
from hcl_core.errors import RunFolderError, SettingsError
from hcl_core.models.cost import ModelCost
from hcl_core.models.head_records import HeadChoice
from hcl_core.records import SamplingSettings, StoredQuestion
from hcl_core.settings.layers import format_layers
from hcl_core.settings.prompts import PromptTemplate
from hcl_core.settings.strategies import Strategy
from hcl_core.strict_json import read_record, short_hash
from hcl_core.text import counted

SCHEMA_VERSION = 1
# To be raised by 1 when a change of the engine makes it draw other samples from the same settings.
ENGINE_VERSION = 1
# A regular expression.
RUN_ID_PATTERN = "[0-9a-f]{16}"


def now() -> str:
    """The time, as a manifest has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def is_run_id(text: str) -> bool:
    """Whether ``text`` has the form of a run id; such a text is safe as a folder's name."""
    return re.fullmatch(RUN_ID_PATTERN, text) is not None


def check_run_id(text: str) -> str:
    """``text``; raises ``RunFolderError`` unless it has the form of a run id."""
    if not is_run_id(text):
        raise RunFolderError(f"a run's id of 16 hexadecimal digits was wanted; got {text[:80]!r}")
    return text


def check_num_samples(num_samples: int) -> None:
    """Raise ``SettingsError`` unless ``num_samples``, the answers a question and layer, is in the allowed range."""
    if not 1 <= num_samples <= 10_000:
        raise SettingsError(f"samples must be between 1 and 10000; got {num_samples}")


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The settings that decide the samples of a run; the run id is a hash of them and of the prompts.

    Attributes:
        model: Catalogue name, Hub id or folder name.
        model_revision: Hub commit, wheel version or folder fingerprint.
        dtype: Number format of the weights, such as ``"float32"``.
        exit_head: Name of the exit head.
        exit_head_hash: Hash of the head's weights.
        template: How a question becomes a prompt.
        exit_layers: Ascending, from 1.
        num_samples: Answers a question and layer.
        sampling: How tokens are drawn.
        strategy: The text of a ``settings.strategies.Strategy``.
        answer_rule: Name of the ``answer_rules.AnswerRule``: how an answer ends and where it stands.
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
    answer_rule: str = FIRST_LINE.name

    def __post_init__(self) -> None:
        find_answer_rule(self.answer_rule)
        check_num_samples(self.num_samples)
        Strategy.parse(self.strategy)
        if not self.exit_layers or list(self.exit_layers) != sorted(set(self.exit_layers)) or self.exit_layers[0] < 1:
            raise SettingsError(f"exit layers must be ascending and from 1; got {self.exit_layers}")

    def run_id(self, questions: Sequence[StoredQuestion]) -> str:
        """16 hexadecimal digits, equal for equal requests on any machine.

        The accepted answers are not part of it: they decide verdicts, not samples. Nor is the template: the prompts
        made from it are.
        """
        settings = {name: value for name, value in asdict(self).items() if name != "template"}
        if self.answer_rule == FIRST_LINE.name:  # that of all runs older than this field
            del settings["answer_rule"]
        prompts = [(stored.question.id, stored.prompt) for stored in questions]
        hashed = {"engine": ENGINE_VERSION, "settings": settings, "prompts": prompts}
        return short_hash(hashed)


def differing_settings(first: "Manifest", second: "Manifest") -> dict[str, list[object]]:
    """The settings in which two runs differ, by name, each with both values."""
    others = second.all_settings
    return {name: [value, others[name]] for name, value in first.all_settings.items() if value != others[name]}


@dataclass(frozen=True, slots=True)
class Manifest:
    """``manifest.json``.

    Attributes:
        run_id: Hash of ``settings`` and the questions.
        settings: What decides the samples.
        num_hidden_layers: Of the model.
        num_questions: In ``questions.jsonl``.
        question_set: Name of the set that the questions come from.
        device: Device that computed the samples, or several with commas between; on another one, rounding can decide a
            tie between tokens differently.
        judge: Name of the judge of ``verdicts.parquet``.
        embedder: Name of the embedder of ``clusters.parquet``.
        ideas: Name of the idea finder of ``clusters.parquet``.
        versions: Version by package name.
        created_at: Time in UTC, ISO 8601.
        finished_at: Likewise; ``None`` until every sample is stored.
        decode_seconds: Time spent decoding, also before an interruption.
        preset: Name of the preset, and the options changed in it; ``None`` without one.
        head_choice: Which exit head was asked for, which was taken and why; ``None`` in runs older than this field.
        view_id: Of the accepted answers, the judge and the verdicts, see ``runs.view``; ``None`` in runs older than
            this field.
        cost: Operations a token; ``None`` for other strategies than early exit, and in runs older than this field.
        schema_version: Version of this format.
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
    ideas: str = "accepted"
    cost: ModelCost | None = None
    head_choice: HeadChoice | None = None
    view_id: str | None = None
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if self.view_id is not None:
            check_run_id(self.view_id)

    @property
    def id(self) -> str:
        """What links, files and people call it by: the name of its folder among the runs."""
        return self.view_id or self.run_id

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Read ``manifest.json``; raises ``RunFolderError`` for what this version cannot read."""
        try:
            # First: a manifest of another version may have other fields.
            fields = json.loads(text)
            if (version := fields["schema_version"]) != SCHEMA_VERSION:
                raise RunFolderError(f"schema version {SCHEMA_VERSION} was wanted; got {version}")
            manifest = read_record(cls, text)
            if "ideas" not in fields and (manifest.preset or "").startswith("paper"):
                # Older runs do not name their idea finder; those of the paper's preset had the paper's.
                manifest = replace(manifest, ideas="embedding")
            return manifest
        except (KeyError, TypeError, ValueError, RecursionError, SettingsError) as error:
            raise RunFolderError(f"the manifest cannot be read: {str(error)[:200]}") from None

    @property
    def strategy(self) -> Strategy:
        """How the exit layers were used."""
        return Strategy.parse(self.settings.strategy)

    @property
    def asked_exit_head(self) -> str:
        """The exit head that was asked for; in runs that do not say, the one that was taken."""
        return self.head_choice.asked if self.head_choice else self.settings.exit_head

    @property
    def num_total_samples(self) -> int:
        """Samples of the whole run: questions times exit layers times samples of each."""
        return self.num_questions * len(self.settings.exit_layers) * self.settings.num_samples

    @property
    def all_settings(self) -> dict[str, object]:
        """Every setting of the run by name, those of ``sampling`` among them."""
        template = self.settings.template
        settings = asdict(self.settings) | asdict(self.settings.sampling)
        settings |= {
            "template": template.name if template.name != "file" else template.text,
            "question_set": self.question_set,
            "judge": self.judge,
            "embedder": self.embedder,
            "ideas": self.ideas,
        }
        del settings["sampling"]
        return settings

    def describe(self) -> str:
        """One line for people."""
        settings = self.settings
        return (
            f"{settings.model} · {settings.exit_head} head · layers {format_layers(settings.exit_layers)} · "
            f"{counted(settings.num_samples, 'sample')} · T {settings.sampling.temperature:g}"
        )
