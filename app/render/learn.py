"""The walkthrough: where the visitor is in it, and a step after the visitor's guess."""

from collections.abc import Mapping

import gradio as gr

from app.handlers.learn import RevealedStep
from app.handlers.links import Link
from app.language import Translator
from app.render import Parts
from app.views.learn import marked_options, score, stepper
from app.views.runs import link_box


def opened_parts(step: int, words: Translator) -> Parts:
    """The walkthrough at a step that an address names."""
    return {"walk": gr.Walkthrough(selected=step)} | link_parts(step, words)


def link_parts(step: int, words: Translator) -> Parts:
    """The address of a step."""
    return {"link": link_box(Link("learn", step=step).query(), words)}


def place_parts(step: int, guesses: Mapping[int, bool | None], words: Translator) -> Parts:
    """Which step is on screen, its address, and how many guesses were right.

    Args:
        step: From 1.
        guesses: By step, whether the guess was right; ``None`` where the answer was shown without one.
        words: The page's.
    """
    return {"stepper": stepper(step, guesses, words), "score": score(guesses, words)} | link_parts(step, words)


def step_parts(revealed: RevealedStep, words: Translator) -> Parts:
    """Whether the guess was right, why, the chart that shows it, and the right option in place of the question."""
    verdict = "" if revealed.is_right is None else words("guess_right" if revealed.is_right else "guess_wrong")
    values = {
        name: words.percent(value) if isinstance(value, float) else value
        for name, value in revealed.chart.values.items()
    }
    answer = words(f"learn_{revealed.step}_answer", **values)
    text = f'<div class="hcl-revealed"><p><b>{verdict}</b> {answer}</p></div>'
    options = marked_options(revealed.step, revealed.right, revealed.guess, words)
    hidden = dict.fromkeys(("guess", "reveal", "no_guess"), gr.update(visible=False))
    return hidden | {"text": text, "chart": revealed.chart.figure, "options": options}
