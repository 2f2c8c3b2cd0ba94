"""An address opens the view that it names: a question of a run, a comparison, a lens, or a form filled in; and back.

Whatever stands in an address is data: ids are looked up, numbers parsed, texts put into fields, nothing is run.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.figures.compared import MEASURES, MOST_RUNS
from app.figures.lens import SHADES
from app.handlers.form import JUDGES
from app.handlers.learn import NUM_STEPS
from app.handlers.lens import HEADS, MOST_TOKENS
from app.handlers.measures import MEASURES as CURVES
from app.visit import Balance
from hcl_core.models.catalogue import DEFAULT_MODEL
from hcl_core.models.head_records import EXIT_HEAD_NAMES
from hcl_core.models.lens_records import RESID_POST, SITES
from hcl_core.numerals import read_decimal, read_whole
from hcl_core.records import DEFAULT_SCALING, SCALINGS
from hcl_core.settings.prompts import TEMPLATE_NAMES
from hcl_core.settings.strategies import STRATEGY_NAMES
from hcl_core.text import one_line

TABS = ("explore", "lens", "compare", "dataset", "runs", "learn")
# Control of the form -> its parameter. A question's accepted ideas are ``a``, one each.
FORM_FIELDS: Mapping[str, str] = {
    "model": "model",
    "question": "q",
    "first_layer": "first",
    "last_layer": "last",
    "every": "every",
    "num_samples": "samples",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_new_tokens": "tokens",
    "seed": "seed",
    "template": "template",
    "exit_head": "head",
    "judge": "judge",
    "strategy": "strategy",
}
# Parameters that change the view a little: the browser's Back does not stop at each of their values.
SMALL_STEPS = (*FORM_FIELDS.values(), "a", "layer", "balance", "scaling", "more", "measure", "share", "shade", "cell")
# Every other one.
STEPS = (
    "tab", "run", "question", "runs", "lens", "lens_head", "prompt", "lens_model", "lens_tokens", "whole", "site",
    "step",
)  # fmt: skip
# Of a whole query, as it is encoded: servers and mail programs cut longer ones.
LONGEST_QUERY = 6_000
_MOST_LETTERS = 4_000
_MOST_QUOTED = 60
_DECIMALS = ("temperature", "top_p")
_TEXTS = ("model", "question")
_CHOICES = {"template": TEMPLATE_NAMES, "exit_head": EXIT_HEAD_NAMES, "judge": JUDGES, "strategy": STRATEGY_NAMES}


@dataclass(frozen=True, slots=True)
class LensLink:
    """Which token lens an address names, and how it is shown.

    Attributes:
        question_id: Of a stored lens; ``None`` for the first one, or where there is a prompt.
        exit_head: Of either.
        shade: What the colour of a cell says.
        cell: Layer, from 1, and position, from 0, of the chosen cell.
        prompt: A prompt of the visitor's own, which is read once they press Look.
        model: That reads it, as for the next two.
        num_tokens: Of its answer.
        whole: Whether the prompt's own tokens are shown too.
        site: Where each block is read.
    """

    question_id: str | None = None
    exit_head: str = HEADS[0]
    shade: str = SHADES[0]
    cell: tuple[int, int] | None = None
    prompt: str | None = None
    model: str = DEFAULT_MODEL.name
    num_tokens: int = 12
    whole: bool = False
    site: str = RESID_POST

    def query(self) -> dict[str, object]:
        """As parameters of an address; what is as usual is left out."""
        own = self.prompt is not None
        return {
            "lens": self.question_id,
            "lens_head": _unless(self.exit_head, HEADS[0]),
            "shade": _unless(self.shade, SHADES[0]),
            "cell": f"{self.cell[0]}.{self.cell[1]}" if self.cell else None,
            "prompt": self.prompt,
            "lens_model": _unless(self.model, DEFAULT_MODEL.name) if own else None,
            "lens_tokens": _unless(self.num_tokens, 12) if own else None,
            "whole": "1" if own and self.whole else None,
            "site": _unless(self.site, RESID_POST) if own else None,
        }


@dataclass(frozen=True, slots=True)
class Link:
    """What an address asks for; whatever it leaves out, or makes no sense, is as on a first visit.

    Attributes:
        tab: Which tab is in front.
        run_id: A stored run.
        question_id: One of its questions.
        layer: A chosen exit layer.
        balance: How scores are weighed.
        compared: Ids to compare.
        measure: By which.
        by_share: Whether layers are drawn at their share of the models' depths.
        lens: Of the tab with the token lens.
        step: Of the walkthrough.
        form: Values of controls, by name.
        ignored: Parameters that make no sense, each with its value as it was.
    """

    tab: str = "explore"
    run_id: str | None = None
    question_id: str | None = None
    layer: int | None = None
    balance: Balance = Balance()
    compared: tuple[str, ...] = ()
    measure: str = "hcb_score"
    by_share: bool = False
    lens: LensLink = LensLink()
    step: int = 1
    form: Mapping[str, Any] = field(default_factory=dict)
    ignored: tuple[tuple[str, str], ...] = ()

    def query(self) -> dict[str, object]:
        """Parameters of the address, which ``read_link`` reads back; a list for one that stands there many times."""
        accepted = str(self.form.get("accepted", ""))
        parameters = {
            "tab": _unless(self.tab, "explore"),
            "run": self.run_id,
            "question": self.question_id,
            "layer": self.layer,
            **self.balance.query(),
            "runs": ",".join(self.compared),
            "measure": _unless(self.measure, "hcb_score"),
            "share": "1" if self.by_share else None,
            **self.lens.query(),
            "step": _unless(self.step, 1),
            **{FORM_FIELDS[name]: value for name, value in self.form.items() if name in FORM_FIELDS},
            "a": accepted.splitlines(),
        }
        return {name: value for name, value in parameters.items() if value not in (None, "", [])}


def _unless(value: object, usual: object) -> object:
    return None if value == usual else value


class _Reader:
    """Reads parameters one by one, and keeps those that make no sense."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self._query = query
        self.ignored: list[tuple[str, str]] = []

    def text(self, name: str) -> str | None:
        return self._query.get(name) or None

    def read(self, name: str, read: Callable[[str], Any], fits: Callable[[Any], bool] = lambda _: True) -> Any:
        """The value that ``read`` makes of the parameter; ``None`` if there is none, or one that makes no sense."""
        if not (text := self._query.get(name)):
            return None
        try:
            value = read(text)
        except ValueError:
            value = None
        if value is not None and fits(value):
            return value
        self.ignored.append((name, text[:_MOST_QUOTED]))
        return None

    def choice(self, name: str, choices: Sequence[str], usual: Any = None) -> Any:
        found = self.read(name, str, lambda value: value in choices)
        return usual if found is None else found


def _is_small(number: float) -> bool:
    """Whether a browser, whose numbers are all floats, has the number as it is."""
    return abs(number) < 2**53


def read_link(query: Mapping[str, str], answers: list[str]) -> Link:
    """What a query asks for.

    Args:
        query: Parameters of the address, the last of each.
        answers: Every ``a`` of it: accepted answers of a question of one's own.
    """
    reader = _Reader(query)
    share = reader.read("balance", read_decimal, lambda value: 0 <= value <= 100)
    runs = tuple(part for part in query.get("runs", "").split(",") if part)
    if len(runs) > MOST_RUNS:
        reader.ignored.append(("runs", ",".join(runs[MOST_RUNS:])[:_MOST_QUOTED]))
    return Link(
        tab=reader.choice("tab", TABS, "explore"),
        run_id=reader.text("run"),
        question_id=reader.text("question"),
        layer=reader.read("layer", read_whole, _is_small),
        balance=Balance(
            50 if share is None else share,
            reader.choice("scaling", SCALINGS, DEFAULT_SCALING),
            reader.read("more", _read_curves) or (),
        ),
        compared=runs[:MOST_RUNS],
        measure=reader.choice("measure", tuple(MEASURES), "hcb_score"),
        by_share=reader.choice("share", ("1",)) is not None,
        lens=_lens(reader),
        step=reader.read("step", read_whole, lambda value: 1 <= value <= NUM_STEPS) or 1,
        form=_form(reader, answers),
        ignored=tuple(reader.ignored),
    )


def _lens(reader: _Reader) -> LensLink:
    prompt = reader.text("prompt")
    head, shade = reader.choice("lens_head", HEADS, HEADS[0]), reader.choice("shade", SHADES, SHADES[0])
    cell = reader.read("cell", _read_cell)
    if prompt is None:
        return LensLink(reader.text("lens"), head, shade, cell)
    return LensLink(
        exit_head=head,
        shade=shade,
        cell=cell,
        prompt=prompt[:_MOST_LETTERS],
        model=(reader.text("lens_model") or DEFAULT_MODEL.name)[:_MOST_LETTERS],
        num_tokens=reader.read("lens_tokens", read_whole, lambda value: 1 <= value <= MOST_TOKENS) or 12,
        whole=reader.choice("whole", ("1",)) is not None,
        site=reader.choice("site", SITES, RESID_POST),
    )


def _read_curves(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    if not set(names) <= set(CURVES):
        raise ValueError(f"not further curves: {text[:40]!r}")
    return names


def _read_cell(text: str) -> tuple[int, int]:
    layer, _, position = text.partition(".")
    cell = read_whole(layer), read_whole(position)
    if not all(0 <= each < 2**31 for each in cell):
        raise ValueError(f"not a cell: {text[:40]!r}")
    return cell


def _form(reader: _Reader, answers: list[str]) -> dict[str, Any]:
    form: dict[str, Any] = {}
    for control, name in FORM_FIELDS.items():
        if control in _CHOICES:
            value = reader.choice(name, _CHOICES[control])
        elif control in _TEXTS:
            value = (reader.text(name) or "")[:_MOST_LETTERS] or None
        else:
            value = reader.read(name, read_decimal if control in _DECIMALS else read_whole, _is_small)
        if value is not None:
            form[control] = value
    accepted = "\n".join(filter(None, map(one_line, answers)))[:_MOST_LETTERS]
    if accepted or "question" in form:  # the answers of the question that stands in the form are no answers to this one
        form["accepted"] = accepted
    return form
