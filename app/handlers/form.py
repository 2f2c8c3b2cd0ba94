"""The form of the page as a request: its controls' values, checked."""

import math
from typing import Any

from hcl_core.errors import SettingsError
from hcl_core.pipeline.request import RunRequest
from hcl_core.questions.jsonl import make_question, read_idea
from hcl_core.records import SamplingSettings
from hcl_core.settings.layers import LayerRange
from hcl_core.settings.prompts import load_template
from hcl_core.settings.strategies import Strategy


def make_request(
    model: str,
    question: str,
    accepted: str,
    first_layer: int,
    last_layer: int,
    every: int,
    num_samples: int,
    temperature: float,
    top_p: float,
    top_k: int,
    max_new_tokens: int,
    seed: int,
    template: str,
    exit_head: str,
    judge: str,
    strategy: str,
) -> RunRequest:
    """The controls' values, in the order of the page, as a request.

    Raises:
        HclError: A value is missing or out of range.
    """
    answers = [line.strip() for line in _text("Accepted answers", accepted).splitlines() if line.strip()]
    first, last = sorted((_whole("First layer", first_layer), _whole("Last layer", last_layer)))
    return RunRequest(
        model=_text("Model", model),
        questions=(make_question(_text("Question", question), map(read_idea, answers)),),
        question_set="page",
        layers=LayerRange(first, last, _whole("Every", every)),
        num_samples=_whole("Answers a layer", num_samples),
        sampling=SamplingSettings(
            temperature=_given("Temperature", temperature),
            top_p=_given("Top-p", top_p),
            top_k=_whole("Top-k", top_k),
            max_new_tokens=_whole("Tokens at most", max_new_tokens),
            seed=_whole("Seed", seed),
        ),
        template=load_template(_text("Prompt", template)),
        exit_head=_text("Exit head", exit_head),
        judge=_text("Judge", judge),
        strategy=Strategy.parse(_text("Strategy", strategy)),
    )


def _given(label: str, value: Any) -> float:
    if value is None:
        raise SettingsError(f"{label} is empty: type a number")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise SettingsError(f"{label} must be a number; got {str(value)[:40]!r}")
    return number


def _whole(label: str, value: Any) -> int:
    return int(_given(label, value))


def _text(label: str, value: Any) -> str:
    if not isinstance(value, str | None):
        raise SettingsError(f"{label} must be a text; got {str(value)[:40]!r}")
    return (value or "").strip()
