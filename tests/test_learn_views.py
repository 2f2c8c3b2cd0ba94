"""The walkthrough's own parts: where one is, which option is right, the score, and the drawings."""

import re
from xml.etree import ElementTree

import pytest

from app.handlers.learn import NUM_GUESSES, NUM_STEPS, STEPS
from app.language import Translator
from app.theme import light_colours
from app.views.learn import marked_options, picture, score, stepper
from hcl_core.folders import PROGRAM

WORDS = Translator("en")


def test_the_steps_have_names_that_others_can_link_to():
    assert len(set(STEPS)) == NUM_STEPS == NUM_GUESSES + 1 and STEPS[0] == "layers"


def test_the_stepper_says_where_one_is_and_what_came_of_the_others():
    html = stepper(3, {1: True, 2: False, 4: None}, WORDS)
    steps = re.findall(r"<button.*?</button>", html)
    assert len(steps) == NUM_STEPS
    assert [number for number, step in enumerate(steps, 1) if 'aria-current="step"' in step] == [3]
    assert ["guessed right" in steps[0], "guessed wrong" in steps[1], "without a guess" in steps[3]] == [True] * 3
    assert ["✓" in step for step in steps[:5]] == [True, False, False, False, False]
    assert "<i>5</i>" in steps[4] and "guess" not in steps[4]


@pytest.mark.parametrize(
    ("guess", "kinds", "own"),
    [(2, ["", "correct", ""], [1]), (3, ["", "correct", "incorrect"], [2]), (None, ["", "correct", ""], [])],
)
def test_the_right_option_is_marked_and_one_s_own(guess, kinds, own):
    options = re.findall(r'<li class="(\w*)">(.*?)</li>', marked_options(1, 2, guess, WORDS))
    assert [kind for kind, _ in options] == kinds
    assert [place for place, (_, text) in enumerate(options) if "your guess" in text] == own


def test_the_score_counts_right_guesses_and_says_which_are_missing():
    guesses = {step: step % 2 == 1 for step in range(1, NUM_GUESSES + 1)}
    assert "right in 4 of 7 steps" in score(guesses, WORDS) and "no guess" not in score(guesses, WORDS)
    assert "One step has no guess" in score(guesses | {7: None}, WORDS)
    assert "right in 0 of 7" in score({}, WORDS) and "7 steps have no guess" in score({}, WORDS)


@pytest.mark.parametrize("step", range(1, NUM_STEPS + 1))
def test_a_drawing_is_named_by_its_caption_and_takes_the_page_s_colours(step):
    html = picture(step, WORDS(f"learn_{step}_picture"))
    (drawing,) = ElementTree.fromstring(html).findall("svg")
    assert drawing.get("role") == "img" and f'id="{drawing.get("aria-labelledby")}"' in html
    assert not re.search(r'(fill|stroke|style)="', html)
    style = (PROGRAM / "assets" / "learn.css").read_text()
    used = {name for each in re.findall(r'class="([^"]*)"', html) for name in each.split()}
    assert all(f".{name}" in style for name in used - {"hcl-picture"})


def test_the_walkthrough_s_colours_are_the_page_s():
    style = (PROGRAM / "assets" / "learn.css").read_text()
    assert set(re.findall(r"var\((--hcl-[\w-]+)\)", style)) <= set(light_colours())
