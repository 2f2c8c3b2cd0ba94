"""The walkthrough in words and pictures: where one is, the drawing of a step, its options once the answer is known."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from app.handlers.learn import NUM_GUESSES, NUM_STEPS, OPTIONS
from app.language import SIGNS, Translator

_PICTURES = Path(__file__).parent.parent.parent / "assets" / "learn"
# Sign and word of a step by whether its guess was right; ``None`` without a guess.
_STATES = {
    True: (SIGNS["correct"], "learn_state_right"),
    False: (SIGNS["incorrect"], "learn_state_wrong"),
    None: (SIGNS["unjudged"], "learn_state_shown"),
}


def stepper(step: int, guesses: Mapping[int, bool | None], words: Callable[[str], Any]) -> str:
    """A button a step: which one is on screen, and what came of those that were done.

    Args:
        step: On screen, from 1.
        guesses: By step, whether the guess was right; ``None`` where the answer was shown without one.
        words: The page's, or its labels.
    """
    items = "".join(_step_button(each, each == step, guesses, words) for each in range(1, NUM_STEPS + 1))
    return f'<nav class="hcl-stepper" aria-label="{words("learn_steps")}"><ol>{items}</ol></nav>'


def _step_button(step: int, is_here: bool, guesses: Mapping[int, bool | None], words: Callable[[str], Any]) -> str:
    sign, state = _STATES[guesses[step]] if step in guesses else (str(step), "")
    here = ' aria-current="step"' if is_here else ""
    said = f'<span class="hcl-said">: {words(state)}</span>' if state else ""
    return (
        f'<li><button type="button" data-step="{step}" class="{state.removeprefix("learn_state_")}"{here}>'
        f"<i>{sign}</i><span>{words(f'learn_{step}_name')}{said}</span></button></li>"
    )


def picture(step: int, caption: object) -> str:
    """The drawing of a step, over a caption that says what it shows."""
    return (
        f'<figure class="hcl-picture">{_drawing(step)}'
        f'<figcaption id="learn-picture-{step}">{caption}</figcaption></figure>'
    )


@cache
def _drawing(step: int) -> str:
    return (_PICTURES / f"{step}.svg").read_text(encoding="utf-8")


def marked_options(step: int, right: int, guess: int | None, words: Translator) -> str:
    """The options of a step: the right one marked, and the visitor's own if it is another one."""
    items = "".join(_option(step, number, right, guess, words) for number in range(1, OPTIONS + 1))
    return f'<p class="hcl-asked-step">{words(f"learn_{step}_question")}</p><ul class="hcl-options">{items}</ul>'


def _option(step: int, number: int, right: int, guess: int | None, words: Translator) -> str:
    kind = "correct" if number == right else "incorrect" if number == guess else ""
    notes = [words("correct")] if number == right else []
    notes += [words("learn_guessed")] if number == guess else []
    note = f" <small>{' · '.join(notes)}</small>" if notes else ""
    text = words(f"learn_{step}_option_{number}")
    return f'<li class="{kind}"><i>{SIGNS.get(kind, "")}</i><span>{text}{note}</span></li>'


def score(guesses: Mapping[int, bool | None], words: Translator) -> str:
    """How many guesses were right."""
    num_right = sum(guess is True for guess in guesses.values())
    missing = NUM_GUESSES - sum(guess is not None for guess in guesses.values())
    rest = f"<p>{words.plural('learn_no_guess', missing)}</p>" if missing else ""
    return f'<div class="hcl-score"><p><b>{words("learn_score", right=num_right, all=NUM_GUESSES)}</b></p>{rest}</div>'
