"""What decoding costs, strategy by strategy: measured on a tiny model, stored, and read back."""

import json

import pytest
from conftest import NUM_LAYERS, make_decoder, make_lm, run_command
from test_speculative import QUESTION

from hcl_core.decode.timing import Timed, benchmark_strategies, share_different
from hcl_core.errors import RunFolderError, SettingsError
from hcl_core.models.speed_records import SpeedReport, median_ratio, read_report, strategies_to_time, write_report
from hcl_core.records import SamplingSettings
from hcl_core.settings.strategies import EARLY_EXIT, Strategy

SETTINGS = SamplingSettings(temperature=0, max_new_tokens=8)


@pytest.fixture(scope="module")
def events():
    parts = make_decoder(make_lm()).parts
    strategies = strategies_to_time(
        NUM_LAYERS, (1, 3), (2, 0), [Strategy.parse(f"dynamic:probability:{each}") for each in (0, 1)]
    )
    return list(benchmark_strategies(parts, "tiny", [QUESTION], SETTINGS, strategies, repeats=2))


def test_a_strategies_to_time_has_every_strategy_and_full_decoding_first():
    strategies = strategies_to_time(30, (20, 27), (2, 0), [Strategy.parse("dynamic:probability:0.9")])
    assert strategies[0] == (EARLY_EXIT, 30)
    assert [(str(strategy), layer) for strategy, layer in strategies[1:]] == [
        ("self_speculative:2", 20), ("self_speculative:adaptive", 20), ("self_speculative:2", 27),
        ("self_speculative:adaptive", 27), ("dynamic:probability:0.9", 20),
    ]  # fmt: skip


def test_every_strategy_is_timed_in_turn_after_one_round_to_warm_up(events):
    timed = [event for event in events if isinstance(event, Timed)]
    assert len(timed) == 7 * 3 and [event.num_done for event in timed] == list(range(1, 22))
    assert [str(event.strategy) for event in timed[:7]] == [str(event.strategy) for event in timed[7:14]]


def test_the_report_says_what_each_strategy_did(events):
    report = events[-1]
    assert isinstance(report, SpeedReport) and len(report.rows) == 7
    full, *others = report.rows
    assert (full.strategy, full.ratio, full.blocks_per_token) == ("early_exit", 1, NUM_LAYERS)
    drafted = [row for row in others if row.strategy.startswith("self_speculative")]
    # The same greedy answers, whatever drafted them.
    assert {row.num_tokens for row in drafted} == {full.num_tokens}
    assert all(row.tokens_per_verification >= 1 and row.acceptance_rates for row in drafted)
    leaving = {row.strategy: row for row in others if row.strategy.startswith("dynamic")}
    never, alstrategies = leaving["dynamic:probability:1"], leaving["dynamic:probability:0"]
    assert never.exits[:-1] == (0,) * (NUM_LAYERS - 1) and never.share_different == 0
    assert alstrategies.exits[0] == sum(alstrategies.exits) and alstrategies.share_different > 0
    assert alstrategies.blocks_per_token < 1.01 < never.blocks_per_token


def test_greedy_drafts_are_compared_with_full_decoding(events):
    drafted = [row for row in events[-1].rows if row.strategy.startswith("self_speculative")]
    assert {row.share_different for row in drafted} == {0}


def test_drafts_that_are_drawn_are_not_said_to_be_the_same():
    settings = SamplingSettings(temperature=1, max_new_tokens=4)
    strategies = strategies_to_time(NUM_LAYERS, (1,), (2,), [])
    *_, report = benchmark_strategies(make_decoder(make_lm()).parts, "tiny", [QUESTION], settings, strategies, 1)
    assert isinstance(report, SpeedReport)
    assert [row.share_different for row in report.rows] == [None, None]


@pytest.mark.parametrize(
    ("answers", "full", "share"),
    [
        ([(1, 2, 3, 4)], [(1, 2, 3, 4)], 0),
        ([(1, 2, 3, 4)], [(1, 9, 3, 8)], 0.5),
        ([(1, 2)], [(1, 2, 3, 4)], 0.5),
        ([(1,), (2, 3, 4)], [(9,), (2, 3, 4)], 0.25),
        ([()], [()], None),
    ],
)
def test_tokens_are_compared_place_by_place(answers, full, share):
    assert share_different(answers, full) == share


def test_the_fastest_strategy_is_one_that_changes_no_answer(events):
    best = events[-1].best_lossless
    assert Strategy.parse(best.strategy).name != "dynamic"
    assert best.tokens_per_second == max(
        row.tokens_per_second for row in events[-1].rows if not row.strategy.startswith("dynamic")
    )


def test_a_ratio_is_the_median_of_each_rounds_own():
    assert median_ratio([1.0, 2.0, 4.0], [2.0, 2.0, 2.0]) == 1


def test_a_report_is_read_as_it_was_written(events, tmp_path):
    write_report(events[-1], tmp_path / "speed.json")
    assert read_report(tmp_path / "speed.json") == events[-1]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"kind": "speed", "schema_version": 99}', '{"kind": "speed", "schema_version": 1}']
)
def test_a_file_that_is_no_report_is_refused(tmp_path, text):
    (tmp_path / "speed.json").write_text(text, encoding="utf-8")
    with pytest.raises(RunFolderError, match="no speed report"):
        read_report(tmp_path / "speed.json")


@pytest.mark.parametrize(
    ("strategies", "questions", "repeats"),
    [([(EARLY_EXIT, 9)], [QUESTION], 1), ([(EARLY_EXIT, 4)], [], 1), ([(EARLY_EXIT, 4)], [QUESTION], 0)],
)
def test_what_cannot_be_timed_is_refused(strategies, questions, repeats):
    with pytest.raises(SettingsError):
        list(benchmark_strategies(make_decoder(make_lm()).parts, "tiny", questions, SETTINGS, strategies, repeats))


def test_the_command_measures_keeps_and_shows(tiny_folder, tmp_path, capsys):
    out = tmp_path / "speed.json"
    asked = [
        "--limit",
        1,
        "--layers",
        "2",
        "--drafts",
        "2",
        "--thresholds",
        "0.5",
        "--max-new-tokens",
        4,
        "--repeats",
        1,
    ]
    code, stdout, _ = run_command(capsys, "speed", "--model", tiny_folder, *asked, "--out", out)
    assert code == 0 and "self_speculative:2" in stdout and "Fastest with the whole model's answers" in stdout
    code, stdout, _ = run_command(capsys, "speed", "--show", out, "--json")
    assert code == 0 and len(json.loads(stdout)["rows"]) == 3


@pytest.mark.parametrize(
    "wrong", [["--drafts", "0"], ["--thresholds", "2"], ["--layers", "x"], ["--show", "nowhere"], ["--exit-head", "x"]]
)
def test_the_command_refuses_before_a_model_is_loaded(wrong, capsys, monkeypatch):
    from hcl_core import registry

    monkeypatch.setattr(registry, "load_model", lambda *_: pytest.fail("loaded"))
    code, _, stderr = run_command(capsys, "speed", *wrong)
    assert code == 2 and stderr.startswith("error:")


@pytest.mark.parametrize("strategy", ["self_speculative:2", "dynamic:agreement:2"])
def test_a_run_keeps_its_strategy_and_has_an_id_of_its_own(tiny_folder, tmp_path, capsys, monkeypatch, strategy):
    from conftest import FakeEmbedder

    from hcl_core import registry
    from hcl_core.runs.folder import RunFolder

    monkeypatch.setattr(registry, "load_embedder", FakeEmbedder)
    asked = ["--question", "Name a planet", "--accept", "a", "--layers", "1,4", "--samples", 3, "--max-new-tokens", 4]
    ids = set()
    for each in ("early_exit", strategy):
        out = tmp_path / each.replace(":", "-")
        code, _, stderr = run_command(capsys, "run", "--model", tiny_folder, *asked, "--strategy", each, "--out", out)
        assert code == 0, stderr
        manifest = RunFolder(out).manifest()
        ids.add(manifest.run_id)
        assert manifest.settings.strategy == each and (manifest.cost is None) is (each != "early_exit")
        assert len(RunFolder(out).samples()) == 6
    assert len(ids) == 2
