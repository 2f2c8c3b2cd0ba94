"""Calls by programs that send what no page sends are refused in a sentence."""

import asyncio
import math

import gradio as gr
import pytest

from app.checked_calls import CheckedBlocks
from app.language import labels


@pytest.fixture(scope="module")
def blocks():
    with CheckedBlocks() as made:
        number = gr.Number(label=labels()("label_max_new_tokens"), minimum=1, maximum=9)
        slider = gr.Slider(0, 9, label="Slide")
        choice = gr.Dropdown(["a", "b"], value="a", label="Choice")
        gr.Button().click(lambda *values: None, [number, slider, choice], None)
        typed = gr.Dropdown(["a"], value="a", label="Typed", allow_custom_value=True)
        gr.Button().click(lambda *values: None, [typed], None)
    return made


def refusal_of(blocks, values):
    with pytest.raises(gr.Error) as refused:
        asyncio.run(blocks.preprocess_data(blocks.fns[0], values, None))
    assert refused.value.print_exception is False
    return refused.value.message


@pytest.mark.parametrize("value", ["abc", "5", [1], {"a": 1}, math.nan, math.inf, 10**400])
def test_what_is_no_number_is_named_with_its_box(blocks, value):
    message = refusal_of(blocks, [value, 1, "a"])
    assert message.startswith("Tokens at most must be a number; got ")
    assert len(message) < 100


def test_what_is_quoted_is_no_html(blocks):
    assert refusal_of(blocks, ["<b>", 1, "a"]) == "Tokens at most must be a number; got &#x27;&lt;b&gt;&#x27;"


def test_a_slider_needs_a_number_too(blocks):
    assert refusal_of(blocks, [1, "x", "a"]) == "Slide must be a number; got &#x27;x&#x27;"


def test_a_long_value_is_not_quoted_whole(blocks):
    assert len(refusal_of(blocks, [1, 1, "x" * 1_000_000])) == 300


@pytest.mark.parametrize("value", [[], ["a"], {}, {"a": "b"}])
def test_a_choice_of_one_is_neither_many_nor_an_object(blocks, value):
    assert refusal_of(blocks, [1, 1, value]) == "Choice must be one of its choices"


@pytest.mark.parametrize("value", [True, 1, 1.5, 10**400, []])
def test_what_is_typed_is_a_text(blocks, value):
    with pytest.raises(gr.Error, match="Typed must be one of its choices"):
        asyncio.run(blocks.preprocess_data(blocks.fns[1], [value], None))
    assert asyncio.run(blocks.preprocess_data(blocks.fns[1], ["own"], None)) == ["own"]


def test_half_a_letter_is_not_sent_back(blocks):
    assert refusal_of(blocks, [1, 1, "\ud800"]).encode()


@pytest.mark.parametrize("values", [[], [1], [1, None, "a"], [1, 1, [["a"]]]])
def test_values_that_components_cannot_read_are_a_sentence(blocks, values):
    assert "values" in refusal_of(blocks, values) or "choices" in refusal_of(blocks, values)


def test_an_event_of_the_browser_alone_is_none_of_the_server():
    with CheckedBlocks() as made:
        gr.Button().click(None, None, None, js="() => []")
    assert "browser's own" in refusal_of(made, [1, {}])


def test_values_in_range_are_read(blocks):
    read = asyncio.run(blocks.preprocess_data(blocks.fns[0], [None, 3, "b"], None))
    assert read == [None, 3, "b"]


@pytest.mark.parametrize("data", [None, "layer", 3, ["layer"]])
def test_an_event_without_an_object_has_no_values(data):
    seen = []

    def chosen(event: gr.EventData):
        seen.append(getattr(event, "layer", None))

    with CheckedBlocks() as made:
        gr.Button().click(chosen, None, None)
    asyncio.run(made.process_api(made.fns[0], [], event_data=gr.EventData(None, data)))
    assert seen == [None]
