"""What Gradio keeps for a visitor and sends to the browser, without work that serves nothing on this page."""

import asyncio

import gradio as gr
import pytest
from gradio import routes, state_holder
from starlette.exceptions import HTTPException

from app.checked_calls import CheckedBlocks
from app.light_sessions import keep_sessions_light


def page_of(handler):
    with CheckedBlocks() as page:
        name, level, kept = gr.Textbox(elem_id="name"), gr.Slider(0, 9, elem_id="level"), gr.State(None)
        page.load(handler(name, level, kept), None, [name, level, kept])
    return page


def sent(page):
    (block_fn,) = page.fns.values()
    holder = state_holder.StateHolder()
    holder.set_blocks(page)
    state = holder["visitor"]
    result = asyncio.run(page.process_api(block_fn, [], state=state))
    return result["data"], state, block_fn


def test_an_output_that_stays_is_not_made_anew_and_others_are_as_gradio_sends_them(monkeypatch):
    monkeypatch.setattr(state_holder, "SessionState", state_holder.SessionState)
    monkeypatch.setattr(routes, "StateHolder", routes.StateHolder)
    keep_sessions_light()
    made = []
    page = page_of(lambda name, level, kept: lambda: {level: gr.update(maximum=20, value=12), kept: ["seen"]})
    monkeypatch.setattr(gr.Textbox, "__init__", lambda *_, **__: made.append(1))
    data, state, block_fn = sent(page)
    name, level, kept = block_fn.outputs
    assert data == [{"__type__": "update"}, {"__type__": "update", "maximum": 20, "value": 12}, None]
    assert state[kept._id] == ["seen"] and state[level._id].maximum == 20 and not made
    assert list(state.components) == []


def test_a_session_of_a_long_name_is_refused_and_not_kept(monkeypatch):
    monkeypatch.setattr(state_holder, "SessionState", state_holder.SessionState)
    monkeypatch.setattr(routes, "StateHolder", routes.StateHolder)
    keep_sessions_light()
    holder = routes.StateHolder()
    holder.set_blocks(page_of(lambda name, level, kept: lambda: gr.skip()))
    assert holder["x" * 100] is holder["x" * 100]
    with pytest.raises(HTTPException, match="at most 100 letters; got 101"):
        holder["x" * 101]
    assert list(holder.session_data) == ["x" * 100]


def test_a_single_part_and_none_are_sent(monkeypatch):
    data, _, _ = sent(page_of(lambda name, level, kept: lambda: {name: "Mars"}))
    assert data == ["Mars", {"__type__": "update"}, None]
    data, _, _ = sent(page_of(lambda name, level, kept: lambda: gr.skip()))
    assert data == [{"__type__": "update"}, {"__type__": "update"}, None]
