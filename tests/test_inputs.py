"""A value that the page sent before it heard of a new bound or a new list reaches the handler, which checks it."""

import asyncio

import gradio as gr
import pytest

from app.checked_calls import CheckedBlocks
from app.handlers.form import NUMBERS
from app.inputs import CheckedSlider, ListedChoice, number_of
from app.light_sessions import LightSession
from app.page import build
from app.service import Service


@pytest.fixture(scope="module")
def blocks():
    with CheckedBlocks() as made:
        layer = number_of(NUMBERS["last_layer"], 30, 30)
        run = ListedChoice(["a", "b"], value="a", label="Stored run")
        runs = ListedChoice(["a", "b"], value=[], label="Runs", multiselect=True)
        gr.Button().click(lambda *values: None, [layer, run, runs], [layer, run, runs])
    return made


def read(blocks, values, session=None):
    return asyncio.run(blocks.preprocess_data(blocks.fns[0], values, session))


def test_values_of_the_moment_before_an_update_are_read(blocks):
    session = LightSession(blocks)
    update = [gr.update(maximum=28), gr.update(choices=["c"]), gr.update(choices=[])]
    asyncio.run(blocks.postprocess_data(blocks.fns[0], update, session))
    assert read(blocks, [30, "a", ["a", "b"]], session) == [30, "a", ["a", "b"]]
    assert read(blocks, [2.0, None, []], session) == [2, None, []]


@pytest.mark.parametrize(
    "values",
    [["x", "a", []], [1, 5, []], [1, ["a"], []], [1, "a", [{}]], [1, "a", [1]], [1, "a", [None]], [1, "a", "ab"]],
)
def test_what_is_no_number_and_no_text_is_refused(blocks, values):
    with pytest.raises(gr.Error, match="must be"):
        read(blocks, values)


def test_every_number_of_the_page_is_checked_by_its_handler():
    """Gradio's own check loses the event, and what the page says then is another reason."""
    built = build(Service())
    plain = [block.label for block in built.blocks.values() if type(block) in (gr.Number, gr.Slider)]
    assert plain == []


def test_a_slider_and_a_number_out_of_range_reach_the_handler():
    with CheckedBlocks() as made:
        inputs = [CheckedSlider(0, 100, 50), number_of(NUMBERS["temperature"], 1.0)]
        gr.Button().click(lambda *values: None, inputs, None)
    assert read(made, [150, 99]) == [150, 99] and read(made, [None, None]) == [None, None]


def test_the_browser_knows_them_as_what_they_are(blocks):
    kinds = [block.get_block_name() for block in blocks.fns[0].inputs]
    assert kinds == ["number", "dropdown", "dropdown"]
