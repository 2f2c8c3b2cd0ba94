"""A step of the walkthrough, after the visitor's guess."""

from app.handlers.learn import RevealedStep
from app.language import Translator
from app.render import Parts


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
