"""A step of the walkthrough, after the visitor's guess."""

import gradio as gr

from app.handlers.learn import RevealedStep
from app.handlers.links import Link
from app.language import Translator
from app.render import Parts
from app.views.runs import link_box


def opened_parts(step: int, words: Translator) -> Parts:
    """The walkthrough at a step that an address names."""
    return {"walk": gr.Walkthrough(selected=step)} | link_parts(step, words)


def link_parts(step: int, words: Translator) -> Parts:
    """The address of a step."""
    return {"link": link_box(Link("learn", step=step).query(), words)}


def step_parts(revealed: RevealedStep, words: Translator) -> Parts:
    """Whether the guess was right, why, and the chart that shows it."""
    verdict = "" if revealed.is_right is None else words("guess_right" if revealed.is_right else "guess_wrong")
    values = {
        name: words.percent(value) if isinstance(value, float) else value
        for name, value in revealed.chart.values.items()
    }
    answer = words(f"learn_{revealed.step}_answer", **values)
    text = f'<div class="hcl-revealed"><p><b>{verdict}</b> {answer}</p></div>'
    return {"text": text, "chart": revealed.chart.figure}
