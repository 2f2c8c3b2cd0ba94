"""Measurements in processes of their own: one that fails, hangs or crashes costs itself alone."""

import json
import os
import time

import pytest
from rich.console import Console

from bench.in_turn import InTurn


def set_up(log, fail=""):
    """Measurements; each process that makes them writes a line into ``log``."""
    with log.open("a") as file:
        file.write("made\n")
    if fail:
        raise RuntimeError(fail)

    def raises():
        raise ValueError("no compiler")

    return {
        "good": lambda: {"number": 1},
        "raises": raises,
        "hangs": lambda: time.sleep(1000),
        "crashes": lambda: os._exit(7),
        "last": lambda: {"number": 2},
    }


def results_when_first_is_there(out):
    def reads():
        while "first" not in json.loads(out.read_text()):
            time.sleep(0.01)
        return {"number": 2}

    return {"first": lambda: {"number": 1}, "second": reads}


@pytest.fixture
def turn(tmp_path, request):
    most_seconds = getattr(request, "param", 60)
    return InTurn(tmp_path / "out.json", Console(), minutes=None, most_minutes=most_seconds / 60)


@pytest.mark.parametrize(
    ("turn", "bad", "error"),
    [
        (60, "raises", "ValueError: no compiler"),
        (60, "crashes", "its process ended with exit code 7"),
        (4, "hangs", "stopped after 4 s"),
    ],
    indirect=["turn"],
)
def test_what_goes_wrong_is_noted_and_the_rest_is_measured(turn, bad, error, tmp_path, capsys):
    turn.measure(turn.results, "model", ("good", bad, "last"), set_up, tmp_path / "log")
    assert (turn.results["good"]["number"], turn.results["last"]["number"]) == (1, 2)
    assert turn.results[bad]["error"] == error and turn.missing == [f"model, {bad}: error: {error}"]
    assert json.loads((tmp_path / "out.json").read_text()) == turn.results
    assert (tmp_path / "log").read_text() == "made\n" * 2  # once more for the rest
    assert f"min  model, {bad}: error: {error}" in capsys.readouterr().out


def test_an_error_has_its_traceback(turn, tmp_path):
    turn.measure(turn.results, "model", ("raises",), set_up, tmp_path / "log")
    assert "in raises" in turn.results["raises"]["traceback"]


def test_a_set_up_that_fails_is_tried_once(turn, tmp_path):
    turn.measure(turn.results, "model", ("good", "last"), set_up, tmp_path / "log", "out of memory")
    assert {each["error"] for each in turn.results.values()} == {"RuntimeError: out of memory"}
    assert list(turn.results) == ["good", "last"] and (tmp_path / "log").read_text() == "made\n"


def test_what_has_no_time_left_is_skipped_and_named(tmp_path, capsys):
    turn = InTurn(tmp_path / "out.json", Console(), minutes=0, most_minutes=1)
    turn.measure(turn.results, "model", ("good", "last"), set_up, tmp_path / "log")
    skipped = "no time left of 0 minutes"
    assert json.loads((tmp_path / "out.json").read_text()) == {name: {"skipped": skipped} for name in ("good", "last")}
    assert turn.missing == [f"model, {name}: skipped: {skipped}" for name in ("good", "last")]
    assert not (tmp_path / "log").exists() and skipped in capsys.readouterr().out


def test_the_time_of_all_bounds_the_time_of_one(tmp_path):
    turn = InTurn(tmp_path / "out.json", Console(), minutes=0.05, most_minutes=1)
    turn.measure(turn.results, "model", ("hangs", "last"), set_up, tmp_path / "log")
    assert turn.results["hangs"]["error"].startswith("stopped after")
    assert turn.results["last"] == {"skipped": "no time left of 0.05 minutes"}


def test_each_result_is_written_before_the_next_one_is_there(turn, tmp_path):
    turn.measure(turn.results, "model", ("first", "second"), results_when_first_is_there, tmp_path / "out.json")
    assert [each["number"] for each in turn.results.values()] == [1, 2]
