"""The token lens: of a shipped lens at once, of any prompt with the model."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache

from app.figures.lens import SHADES
from app.handlers.controls import NumberBox
from app.jobs import StoppedError
from app.messages import Message, Status, message_of
from app.visit import Visit
from hcl_core.errors import SettingsError
from hcl_core.folders import precomputed_folder
from hcl_core.models.head_records import ASKED_FOR, EXIT_HEAD_NAMES, FITTED, HeadChoice
from hcl_core.models.lens_records import RESID_POST, LensTable, read_lens

HEADS = EXIT_HEAD_NAMES
# Of the model's own greedy answer.
MOST_TOKENS = 40
NUM_TOKENS = NumberBox("max_new_tokens", 1, MOST_TOKENS)


@dataclass(frozen=True, slots=True)
class ShownLens:
    """Which lens is on screen; the browser's session keeps it.

    Attributes:
        question_id: Of a shipped lens; ``None`` for the visitor's last one.
        exit_head: That read the layers.
        prompt: Of the visitor's last one, as for the next three.
        model: That read it.
        num_tokens: Of its answer, at most.
        whole: Whether the prompt's own tokens are shown too.
        site: Where each block was read, one of ``SITES``; a shipped lens has the first alone.
    """

    question_id: str | None = None
    exit_head: str = HEADS[0]
    prompt: str | None = None
    model: str = ""
    num_tokens: int = 0
    whole: bool = False
    site: str = RESID_POST

    @property
    def is_live(self) -> bool:
        """Whether it is the visitor's last one, in memory."""
        return self.question_id is None


@dataclass(frozen=True, slots=True)
class LensResult:
    """A token lens.

    Attributes:
        shown: Which one.
        table: What every layer says.
        shade: What the colour of a cell says; one of ``SHADES``.
    """

    shown: ShownLens
    table: LensTable
    shade: str

    def __post_init__(self) -> None:
        if self.shade not in SHADES:
            raise SettingsError(f"the shade must be one of {', '.join(SHADES)}; got {str(self.shade)[:40]!r}")


@dataclass(frozen=True, slots=True)
class LensUpdate:
    """A step of reading a prompt: what is going on, and the lens once it is there."""

    status: Status
    result: LensResult | None = None


@dataclass(frozen=True, slots=True)
class LensCell:
    """One layer at one token of a lens.

    Attributes:
        of: The lens.
        layer: Exit layer, from 1.
        position: Index of the token, from 0.
    """

    of: LensResult
    layer: int
    position: int


@lru_cache(maxsize=8)
def shipped_lenses(exit_head: str) -> dict[str, LensTable]:
    """By question id; ``exit_head`` is one of ``HEADS``."""
    taken, reason = ("linear", FITTED) if exit_head == "auto" else (exit_head, ASKED_FOR)
    _, tables = read_lens(precomputed_folder() / f"lens-{taken}")
    return {table.question_id: replace(table, head=HeadChoice(exit_head, taken, reason)) for table in tables}


def show(visit: Visit, shown: ShownLens, shade: str) -> LensResult:
    """A stored lens, or the visitor's last one; no model.

    Raises:
        SettingsError: There is no such stored lens, or no such shade.
        RunFolderError: The visitor's lens is no longer in memory.
    """
    return LensResult(shown, _table(visit, shown), shade)


def _table(visit: Visit, shown: ShownLens) -> LensTable:
    if shown.question_id is None:
        return visit.service.lenses.last(visit.visitor)
    if shown.exit_head not in HEADS:
        raise SettingsError(f"exit head must be one of {', '.join(HEADS)}; got {str(shown.exit_head)[:40]!r}")
    table = shipped_lenses(shown.exit_head).get(shown.question_id)
    if table is None:
        raise SettingsError("there is no stored lens of that question: type its prompt and press Look")
    return table


def read_prompt(
    visit: Visit,
    model: str,
    exit_head: str,
    prompt: str,
    whole_text: bool,
    num_tokens: object,
    shade: str,
    site: str = RESID_POST,
) -> Generator[LensUpdate, None, None]:
    """Read every layer along the model's greedy answer to ``prompt``; raises ``HclError`` if that is not possible."""
    name, most = model.strip(), NUM_TOKENS.read_whole(num_tokens)
    shown = ShownLens(None, exit_head, prompt, name, most, whole_text, site)
    try:
        with closing(
            visit.service.lenses.look(
                name, exit_head, prompt, whole_text, most, visit.visitor, visit.address, site=site
            )
        ) as steps:
            for step in steps:
                if isinstance(step, LensTable):
                    yield LensUpdate(Message("lens_done"), LensResult(shown, step, shade))
                else:
                    yield LensUpdate(message_of(step))
    except StoppedError:
        yield LensUpdate(Message("stopped_look"))


def choose_cell(visit: Visit, shown: ShownLens, layer: object, position: object, shade: str = SHADES[0]) -> LensCell:
    """One cell of the lens on screen; raises ``SettingsError`` if it has no such cell."""
    result = show(visit, shown, shade)
    num_layers, num_positions = result.table.entropy.shape
    if not (
        isinstance(layer, int)
        and isinstance(position, int)
        and 1 <= layer <= num_layers
        and 0 <= position < num_positions
    ):
        raise SettingsError("there is no such cell in this lens")
    return LensCell(result, layer, position)
