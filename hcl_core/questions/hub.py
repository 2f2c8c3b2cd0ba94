"""Published question sets by name, through ``datasets`` from the Hub: TriviaQA, NQ-Open, PopQA."""

import itertools
from dataclasses import dataclass
from typing import Any

from hcl_core.errors import NoNetworkError, SettingsError
from hcl_core.questions.schemas import COLUMNS, questions_of
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

    Raises:
        SettingsError: The set has no such split, or that split has no answers.
    """

    def __init__(self, hub_set: HubSet, split: str | None = None) -> None:
        self._set, self._split = hub_set, split or hub_set.splits[0]
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
            QuestionFileError: A row does not have the published schema.
        """
        import datasets

        streaming = limit is not None
        try:
            rows: Any = datasets.load_dataset(
                self._set.repo_id, self._set.config, split=self._split, streaming=streaming
            )
            if rows.column_names is not None:
                rows = rows.select_columns([name for name in rows.column_names if name in COLUMNS])
            return list(itertools.islice(questions_of(rows, self.name), limit))
        except (OSError, datasets.exceptions.DatasetsError, ValueError) as error:
            raise NoNetworkError(
                f"{self._set.name} is not on this machine and the Hub cannot be reached "
                f"({type(error).__name__}): get {self._set.file} from "
                f"https://huggingface.co/datasets/{self._set.repo_id} and give its path to --questions"
            ) from error
