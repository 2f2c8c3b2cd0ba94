"""The page's log stays small, whatever is logged."""

import logging

import pytest

from app.logs import LimitedLength, LimitedRate


def record_of(message, error=None, line=1):
    info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("name", logging.ERROR, "file.py", line, message, (), info)


def raised(error):
    try:
        raise error
    except Exception as caught:
        return caught


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_kind_of_entry_is_logged_five_times_a_minute(clock):
    limit = LimitedRate(clock)
    assert [limit.filter(record_of(f"message {number}")) for number in range(7)] == [True] * 5 + [False] * 2


def test_another_line_or_error_is_another_kind(clock):
    limit = LimitedRate(clock)
    for _ in range(6):
        limit.filter(record_of("a", raised(ValueError())))
    assert limit.filter(record_of("a", raised(KeyError())))
    assert limit.filter(record_of("a", raised(ValueError()), line=2))


def test_the_next_minute_says_how_many_were_left_out(clock):
    limit = LimitedRate(clock)
    for _ in range(8):
        limit.filter(record_of("a"))
    clock.now = 60
    record = record_of("a")
    assert limit.filter(record)
    assert LimitedLength("%(message)s").format(record) == "a\n(3 more like this were not logged)"


def test_a_long_entry_keeps_its_beginning_and_its_end():
    text = LimitedLength("%(message)s").format(record_of("a" + "x" * 1_000_000 + "z"))
    assert len(text) < 4_100
    assert (text[0], text[-1]) == ("a", "z")


def test_a_traceback_counts_towards_the_length():
    text = LimitedLength("%(message)s").format(record_of("failed", raised(ValueError("x" * 1_000_000))))
    assert text.startswith("failed\nTraceback")
    assert len(text) < 4_100


def test_control_characters_are_made_visible():
    assert LimitedLength("%(message)s").format(record_of("a\x1b[2Jb\nc")) == "a·[2Jb\nc"


def test_what_gradio_prints_goes_to_the_log(monkeypatch, caplog):
    import traceback

    from app import logs

    monkeypatch.setattr(traceback, "print_exc", traceback.print_exc)
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    logs.limit_log()
    try:
        raise ValueError("why")
    except ValueError:
        traceback.print_exc()
    assert [(each.message, each.exc_info[0]) for each in caplog.records] == [("an event failed", ValueError)]
