"""The edge to Gradio: values of controls in, parts of the page out, and every mistake as a message."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from starlette.datastructures import Headers

from app import page
from app.handlers.form import CONTROLS
from app.jobs import StoppedError
from app.service import Service
from app.tabs.base import Binder
from hcl_core.errors import SettingsError

ROOT = Path(__file__).parent.parent
REQUEST = SimpleNamespace(
    headers=Headers({"accept-language": "de"}), session_hash="visitor", query_params={"q": "x"}, client=None
)
PARTS = {"status": "the status line", "chart": "the chart"}
bind = Binder(Service(), PARTS)


def failing(error):
    def handler(visit):
        raise error

    return handler


def test_a_handler_is_called_for_the_visitor_in_their_language():
    def handler(visit, value):
        return {"chart": (visit.visitor, visit.words.language, value)}

    assert bind(handler)(REQUEST, 3) == {"the chart": ("visitor", "de", 3)}


def test_a_handler_that_changes_nothing_changes_nothing():
    assert bind(lambda visit: {})(REQUEST) == {"__type__": "update"}


def test_a_choice_is_passed_on():
    handler = bind.on_choice(lambda visit, event, value: {"chart": (event.layer, value)})
    assert handler(SimpleNamespace(layer=3), REQUEST, "x") == {"the chart": (3, "x")}


def test_an_address_is_passed_on():
    assert bind.on_opening(lambda visit, query: {"chart": query["q"]})(REQUEST) == {"the chart": "x"}


def test_a_mistake_is_a_message_and_everything_else_stays():
    shown = bind(failing(SettingsError("top_p must be <b>")))(REQUEST)
    assert set(shown) == {"the status line"}
    assert 'role="alert"' in shown["the status line"] and "top_p must be &lt;b&gt;" in shown["the status line"]


def test_a_fault_of_ours_is_a_message_and_not_its_text(caplog):
    (message,) = bind(failing(ZeroDivisionError("secret /path")))(REQUEST).values()
    assert "Im Programm" in message and 'role="alert"' in message and "secret" not in message
    assert "secret /path" in caplog.text


def test_a_stream_ends_with_a_message_where_it_fails_or_is_stopped():
    def updates(error):
        def handler(visit):
            yield {"chart": 1}
            raise error

        first, last = bind(handler)(REQUEST)
        assert first == {"the chart": 1} and set(last) == {"the status line"}
        return last["the status line"]

    assert "too much" in updates(SettingsError("too much")) and 'role="alert"' in updates(SettingsError("too much"))
    assert "Gestoppt" in updates(StoppedError()) and 'role="alert"' not in updates(StoppedError())


def test_an_error_is_shown_where_the_tab_wants_it():
    other = Binder(Service(), PARTS, errors_in="chart")
    assert set(other(failing(SettingsError("no")))(REQUEST)) == {"the chart"}


@pytest.fixture(scope="module")
def built():
    return page.build(Service())


def test_the_page_sends_the_controls_in_the_order_in_which_the_form_reads_them(built):
    (event,) = [fn for fn in built.fns.values() if fn.api_name == "page_explore"]
    labels = [str(block.label) for block in event.inputs]
    expected = ["label_balance", "label_scaling", "label_more", *(f"label_{name}" for name in CONTROLS)]
    assert len(labels) == len(expected)
    assert all(f'hcl_word_{name}"' in label for name, label in zip(expected, labels, strict=True))


def test_one_event_writes_the_estimate_and_the_question_is_among_what_causes_it(built):
    """Two events could be answered in another order than they were sent in."""
    (estimate,) = [block for block in built.blocks.values() if getattr(block, "elem_id", None) == "estimate"]
    (question,) = [block for block in built.blocks.values() if getattr(block, "elem_id", None) == "question"]
    (event,) = [fn for fn in built.fns.values() if estimate in fn.outputs and len(fn.outputs) == 2]
    assert event.trigger_mode == "always_last" and (question._id, "change") in event.targets


def test_events_that_wait_are_reached_through_the_queue_alone(built):
    assert built.api_open is False


def test_the_endpoints_alone_are_an_api(built):
    public = {fn.api_name for fn in built.fns.values() if fn.api_visibility == "public"}
    assert public == {"run", "score", "lens", "runs", "get_run", "compare", "status"}
    assert all((fn.fn.__doc__ or "").strip() for fn in built.fns.values() if fn.api_visibility == "public")


def test_the_page_is_built_without_a_model_library():
    code = (
        "import sys; from app.page import build; from app.service import Service; build(Service());"
        "print([name for name in ('torch', 'transformers', 'sentence_transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
