"""An address opens the view that it names: a stored run's question, a comparison, or a form filled in.

Whatever stands in an address is data: ids are looked up, numbers parsed, texts put into fields, nothing is run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.figures.compared import MEASURES, MOST_RUNS
from app.handlers.form import JUDGES
from app.visit import Balance
from hcl_core.models.head_records import EXIT_HEAD_NAMES
from hcl_core.numerals import read_decimal, read_whole
from hcl_core.records import DEFAULT_SCALING, SCALINGS, Scaling
from hcl_core.settings.prompts import TEMPLATE_NAMES
from hcl_core.settings.strategies import STRATEGY_NAMES

TABS = ("explore", "lens", "compare", "dataset", "runs", "learn")
# Query parameter -> control of the form, and how its text is read.
_FIELDS: Mapping[str, tuple[str, Any]] = {
    "model": ("model", str),
    "q": ("question", str),
    "first": ("first_layer", read_whole),
    "last": ("last_layer", read_whole),
    "every": ("every", read_whole),
    "samples": ("num_samples", read_whole),
    "temperature": ("temperature", read_decimal),
    "top_p": ("top_p", read_decimal),
    "top_k": ("top_k", read_whole),
    "tokens": ("max_new_tokens", read_whole),
    "seed": ("seed", read_whole),
    "template": ("template", str),
    "head": ("exit_head", str),
    "judge": ("judge", str),
    "strategy": ("strategy", str),
}
_MOST_LETTERS = 4_000
_CHOICES = {"template": TEMPLATE_NAMES, "exit_head": EXIT_HEAD_NAMES, "judge": JUDGES, "strategy": STRATEGY_NAMES}


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
        form: Values of controls, by name.
    """

    tab: str = "explore"
    run_id: str | None = None
    question_id: str | None = None
    layer: int | None = None
    balance: Balance = Balance()
    compared: tuple[str, ...] = ()
    measure: str = "hcb_score"
    form: Mapping[str, Any] = field(default_factory=dict)


def read_link(query: Mapping[str, str], answers: list[str]) -> Link:
    """What a query asks for.

    Args:
        query: Parameters of the address, the last of each.
        answers: Every ``a`` of it: accepted answers of a question of one's own.
    """
    tab = query.get("tab", "explore")
    measure = query.get("measure", "hcb_score")
    return Link(
        tab=tab if tab in TABS else "explore",
        run_id=query.get("run"),
        question_id=query.get("question"),
        layer=_number(query.get("layer"), read_whole),
        balance=_balance(query),
        compared=tuple(part for part in query.get("runs", "").split(",") if part)[:MOST_RUNS],
        measure=measure if measure in MEASURES else "hcb_score",
        form=_form(query, answers),
    )


def _balance(query: Mapping[str, str]) -> Balance:
    creativity = _number(query.get("balance"), read_decimal)
    scaling: Scaling = next((each for each in SCALINGS if each == query.get("scaling")), DEFAULT_SCALING)
    is_share = creativity is not None and 0 <= creativity <= 100
    return Balance(creativity if is_share else 50, scaling)


def _form(query: Mapping[str, str], answers: list[str]) -> dict[str, Any]:
    form: dict[str, Any] = {}
    for name, (control, read) in _FIELDS.items():
        value = _number(query.get(name), read) if read is not str else query.get(name, "")[:_MOST_LETTERS]
        if value in (None, "") or (control in _CHOICES and value not in _CHOICES[control]):
            continue
        form[control] = value
    if answers or "question" in form:  # the answers of the question that stands in the form are no answers to this one
        form["accepted"] = "\n".join(" ".join(answer.split()) for answer in answers)[:_MOST_LETTERS]
    return form


def _number(text: str | None, read: Any) -> Any:
    """The number that ``read`` finds in ``text``; ``None`` if it finds none."""
    try:
        value = read(text) if text else None
    except ValueError:
        return None
    return value if value is not None and abs(value) < 2**53 else None
