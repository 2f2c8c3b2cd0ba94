"""What goes with a visitor through every handler: who is looking, and how scores are weighed."""

from dataclasses import dataclass

from app.handlers.controls import NumberBox
from app.handlers.measures import MEASURES
from app.language import Translator
from app.service import Service
from hcl_core.errors import SettingsError
from hcl_core.records import DEFAULT_SCALING, Scaling, Weights, check_scaling

BALANCE = NumberBox("balance_alone", 0, 100, is_whole=False)


@dataclass(frozen=True, slots=True)
class Visit:
    """Who is looking at the page.

    Attributes:
        words: Sentences in the visitor's language.
        service: The program's one.
        visitor: Id of the browser's session.
        address: Where they call from; see ``app.addresses``.
    """

    words: Translator
    service: Service
    visitor: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class Balance:
    """How scores are weighed, and which curves are drawn beside the three scores.

    Attributes:
        creativity: Its share of the HCB score in percent, from 0 to 100; accuracy has the rest.
        scaling: Of creativity.
        more: Names of ``handlers.measures.MEASURES``.
    """

    creativity: float = 50
    scaling: Scaling = DEFAULT_SCALING
    more: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.creativity <= 100:
            raise SettingsError(f"the balance must be from 0 to 100 percent of creativity; got {self.creativity}")
        check_scaling(self.scaling)
        if unknown := [name for name in self.more if name not in MEASURES]:
            raise SettingsError(f"measure must be one of {', '.join(MEASURES)}; got {str(unknown[0])[:60]!r}")

    @classmethod
    def from_controls(cls, creativity: object, scaling: object, more: object = None) -> "Balance":
        """Read the values of the slider, the scaling and the further curves.

        Raises:
            SettingsError: One of them is none that the controls offer.
        """
        return cls(
            BALANCE.read(creativity), check_scaling(str(scaling)), tuple(more) if isinstance(more, list | tuple) else ()
        )

    @property
    def weights(self) -> Weights:
        """Weights that sum to 1."""
        share = self.creativity / 100
        return Weights(share, 1 - share)

    def query(self) -> dict[str, object]:
        """Balance, scaling and further curves as parameters of an address; the usual ones are left out."""
        return {
            "balance": None if self.creativity == 50 else f"{self.creativity:.15g}",
            "scaling": None if self.scaling == DEFAULT_SCALING else self.scaling,
            "more": ",".join(self.more) or None,
        }
