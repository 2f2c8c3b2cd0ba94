"""Published question sets by name, through ``datasets`` from the Hub: TriviaQA, NQ-Open, PopQA."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hcl_core.errors import NoNetworkError, QuestionFileError, SettingsError
from hcl_core.questions.gathering import Gatherer
from hcl_core.questions.layouts import is_read
from hcl_core.questions.report import OnReport
from hcl_core.questions.rows import Row
from hcl_core.records import Question


@dataclass(frozen=True, slots=True)
class HubSet:
    """A published set that the program knows by name.

    Attributes:
        name: Name on the command line.
        repo_id: Repository on the Hub.
        config: Configuration of the repository, if it has several.
        splits: Splits with answers; the first is the default.
        without_answers: Splits without answers, which cannot be judged.
        file: File of the default split, for people who must download it themselves.
    """

    name: str
    repo_id: str
    config: str | None
    splits: tuple[str, ...]
    without_answers: tuple[str, ...]
    file: str


HUB_SETS = (
    # Not the config rc.nocontext, which has some questions twice.
    HubSet(
        "triviaqa",
        "mandarjoshi/trivia_qa",
        "unfiltered.nocontext",
        ("validation", "train"),
        ("test",),
        "unfiltered.nocontext/validation-00000-of-00001.parquet",
    ),
    HubSet(
        "nq_open",
        "google-research-datasets/nq_open",
        None,
        ("validation", "train"),
        (),
        "nq_open/validation-00000-of-00001.parquet",
    ),
    HubSet("popqa", "akariasai/PopQA", None, ("test",), (), "test.tsv"),
)
HUB_SET_NAMES = tuple(hub_set.name for hub_set in HUB_SETS)


class HubQuestions:
    """A set from the Hub, or from the cache of ``datasets``.

    Args:
        hub_set: The set.
        split: One of its splits.
        is_strict: Whether a row that cannot be read is an error; else it is left out and counted.
        on_report: Told what loading did.

    Raises:
        SettingsError: The set has no such split, or that split has no answers.
    """

    def __init__(
        self, hub_set: HubSet, split: str | None = None, is_strict: bool = False, on_report: OnReport | None = None
    ) -> None:
        self._set, self._split = hub_set, split or hub_set.splits[0]
        self._is_strict, self._on_report = is_strict, on_report
        if self._split in hub_set.without_answers:
            raise SettingsError(
                f"the {self._split} split of {hub_set.name} has no answers to judge by: use {hub_set.splits[0]}"
            )
        if self._split not in hub_set.splits:
            raise SettingsError(f"{hub_set.name} has the splits {', '.join(hub_set.splits)}; got {self._split!r}")
        self.name = f"{hub_set.name} {self._split}"

    def load(self, limit: int | None = None) -> list[Question]:
        """The first ``limit`` questions, which are streamed, or all, which are downloaded once and cached.

        Raises:
            NoNetworkError: The set is not in the cache, and the Hub cannot be reached.
            QuestionFileError: A row does not have the published layout; or the Hub has the set no longer, or without
                this configuration or split.
        """
        gatherer = Gatherer(self.name, is_strict=self._is_strict, limit=limit)
        for number, values in enumerate(self._rows(streaming=limit is not None), 1):
            gatherer.add(Row(number, values))
            if gatherer.is_full:
                break
        questions = gatherer.questions()
        if self._on_report is not None:
            self._on_report(gatherer.report(self.name))
        return questions

    def _rows(self, streaming: bool) -> Iterator[dict[str, Any]]:
        import datasets

        repo_id, config = self._set.repo_id, self._set.config
        try:
            rows: Any = datasets.load_dataset(repo_id, config, split=self._split, streaming=streaming)
            if rows.column_names is not None:
                rows = rows.select_columns([name for name in rows.column_names if is_read(name)])
            yield from rows
        except datasets.exceptions.DatasetNotFoundError as error:
            raise QuestionFileError(
                f"the Hub has no data set {repo_id}, or lets nobody read it: {self._by_file}"
            ) from error
        except ValueError as error:
            if "cache" not in str(error):  # datasets' error for a set that is neither here nor reached
                wanted = f"the split {self._split}" + (f" of the configuration {config}" if config else "")
                raise QuestionFileError(f"{repo_id} on the Hub has no longer {wanted}: {self._by_file}") from error
            raise self._no_network(error) from error
        except (OSError, datasets.exceptions.DatasetsError) as error:
            raise self._no_network(error) from error

    @property
    def _by_file(self) -> str:
        folder = f"https://huggingface.co/datasets/{self._set.repo_id}"
        return f"get {self._set.file} from {folder} and give its path to --questions"

    def _no_network(self, error: Exception) -> NoNetworkError:
        return NoNetworkError(
            f"{self._set.name} is not on this machine and the Hub cannot be reached ({type(error).__name__}): "
            f"{self._by_file}"
        )
