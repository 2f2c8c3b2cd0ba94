"""What a run does with its exit layers, as text and back."""

import pytest

from hcl_core.errors import SettingsError
from hcl_core.settings.strategies import EARLY_EXIT, ExitRule, Strategy


@pytest.mark.parametrize(
    ("text", "in_full"),
    [
        ("early_exit", "early_exit"),
        ("self_speculative", "self_speculative:adaptive"),
        ("self_speculative:4", "self_speculative:4"),
        ("dynamic", "dynamic:probability:0.9"),
        ("dynamic:entropy:0.5", "dynamic:entropy:0.5"),
        ("dynamic:agreement:3", "dynamic:agreement:3"),
        ("dynamic:probability:0.99999999", "dynamic:probability:0.99999999"),
    ],
)
def test_a_strategy_is_read_and_written_in_full(text, in_full):
    assert str(Strategy.parse(text)) == in_full
    assert Strategy.parse(in_full) == Strategy.parse(text)


def test_early_exit_is_the_default():
    assert Strategy.parse("early_exit") == Strategy() == EARLY_EXIT


@pytest.mark.parametrize(
    "text",
    [
        "", "late_exit", "early_exit:3", "self_speculative:0", "self_speculative:17", "self_speculative:two",
        "self_speculative:" + "9" * 5_000,
        "self_speculative:٣", "self_speculative:1:2", "dynamic:0.9", "dynamic:mood:0.9", "dynamic:probability:1.1",
        "dynamic:probability:nan", "dynamic:entropy:-1", "dynamic:entropy:inf", "dynamic:agreement:1",
        "dynamic:agreement:2.5", "dynamic:probability:high",
    ],
)  # fmt: skip
def test_what_is_no_strategy_is_refused(text):
    with pytest.raises(SettingsError):
        Strategy.parse(text)


def test_a_rule_says_what_was_wanted():
    with pytest.raises(SettingsError, match="the threshold of probability must be from 0 to 1; got 2"):
        ExitRule("probability", 2)


def test_the_ids_of_early_exit_runs_are_what_they_were():
    from hcl_core.folders import precomputed_folder
    from hcl_core.runs.folder import RunFolder

    folder = RunFolder(precomputed_folder() / "0be6b1cadd189061")
    assert folder.manifest().settings.run_id(folder.questions()) == "0be6b1cadd189061"
