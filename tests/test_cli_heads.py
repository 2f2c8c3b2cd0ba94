"""``fit-head`` and ``lens`` as a user meets them, and what ``run`` makes of a fitted head."""

import json

import pytest
from test_cli import OWN, assert_one_line_error, command, run_tiny, tiny  # noqa: F401  # fixtures

from hcl_core import registry
from hcl_core.cli import tables
from hcl_core.runs.folder import RunFolder


@pytest.fixture
def fit_tiny(command, tiny):  # noqa: F811
    def fit(*arguments):
        tokens = () if "--tokens" in arguments else ("--tokens", "1000")
        return command("fit-head", *tokens, "--model", tiny, *arguments)

    return fit


def test_fit_head_prints_every_layer_before_and_after_and_names_the_file(fit_tiny, tmp_path):
    code, out, err = fit_tiny("--self-generated", "--out", tmp_path / "head.safetensors")
    assert (code, err) == (0, "")
    assert "self-generated; held-out text" in out and f"Saved as {tmp_path / 'head.safetensors'}" in out
    rows = [line.split() for line in out.splitlines() if line.split()[:1] in (["1"], ["2"], ["3"], ["4"])]
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    assert rows[3][1] == rows[3][3] == "1.00", "the last layer agrees with itself under either head"
    assert all(float(row[4]) < float(row[2]) for row in rows[:3]), "every early layer is read better"


def test_a_fitted_head_is_what_run_then_takes_and_the_run_is_another(fit_tiny, run_tiny, tmp_path):  # noqa: F811
    run_tiny(*OWN, "--out", tmp_path / "before")
    assert fit_tiny()[0] == 0
    assert "linear head" in run_tiny(*OWN, "--out", tmp_path / "after")[1]
    assert "shared head" in run_tiny(*OWN, "--exit-head", "shared", "--out", tmp_path / "before")[1]
    before, after = (RunFolder(tmp_path / name).manifest() for name in ("before", "after"))
    assert (before.settings.exit_head, after.settings.exit_head) == ("shared", "linear")
    assert before.run_id != after.run_id
    last = {
        name: [sample for sample in RunFolder(tmp_path / name).samples() if sample.exit_layer == 4]
        for name in ("before", "after")
    }
    assert last["before"] == last["after"]


def test_a_head_can_be_named_by_its_file(fit_tiny, run_tiny, tmp_path):  # noqa: F811
    file = tmp_path / "head.safetensors"
    fit_tiny("--out", file)
    assert "linear head" in run_tiny(*OWN, "--exit-head", file)[1]
    assert "shared head" in run_tiny(*OWN)[1], "auto looks only where heads are kept"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--tokens", "5"], "tokens must be between 1,000"),
        (["--texts", "none.txt"], "there is no text file 'none.txt'"),
        (["--texts", "none.txt", "--self-generated"], "either --texts FILE or --self-generated"),
        (["--out", "head.bin"], "--out must end in .safetensors"),
        (["--refine-steps", "-1"], "refine steps must be"),
        (["--answer-weight", "0"], "answer weight must be"),
    ],
)
def test_a_mistake_in_fit_head_is_found_before_the_model_is_loaded(fit_tiny, monkeypatch, arguments, expected):
    monkeypatch.setattr(registry, "load_model", lambda *given: pytest.fail("loaded for nothing"))
    assert_one_line_error(fit_tiny(*arguments), expected)


def test_linear_without_a_fitted_head_says_how_to_make_one(run_tiny):  # noqa: F811
    assert_one_line_error(run_tiny(*OWN, "--exit-head", "linear"), "fit-head --model tiny-llama")


def test_a_head_file_that_is_none_is_refused(run_tiny, tmp_path):  # noqa: F811
    (tmp_path / "bad.safetensors").write_bytes(b"nothing of the kind")
    assert_one_line_error(run_tiny(*OWN, "--exit-head", tmp_path / "bad.safetensors"), "cannot be read")


# The lens.


def test_lens_prints_every_layer_and_where_each_token_settles(command, tiny):  # noqa: F811
    code, out, err = command(
        "lens", "--model", tiny, "--question", "Why?", "--max-new-tokens", 3, "--exit-head", "shared"
    )
    assert (code, err) == (0, "")
    firsts = [line.split()[0] for line in out.splitlines() if line.split()]
    assert [first for first in firsts if first in ("1", "2", "3", "4", "settles")][:5] == [
        "1",
        "2",
        "3",
        "4",
        "settles",
    ]


def test_lens_json_has_every_cell(command, tiny):  # noqa: F811
    code, out, _ = command("lens", "--model", tiny, "--prompt", "Why?", "--answer", "No", "--top", 3, "--json")
    table = json.loads(out)
    assert code == 0 and table["exit_head"] == "shared" and "".join(table["tokens"]) == " No"
    assert len(table["layers"]) == 4 and len(table["settles"]) == len(table["tokens"])
    for layer in table["layers"]:
        for name in ("entropy", "final_rank", "text_rank", "kl_to_last"):
            assert len(layer[name]) == len(table["tokens"])
        assert all(len(top) == 3 for name in ("top_token_ids", "top_probabilities") for top in layer[name])
    assert table["layers"][-1]["kl_to_last"] == [0.0] * len(table["tokens"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "give either --question TEXT or --prompt TEXT"),
        (["--question", "a", "--prompt", "b"], "give either --question TEXT or --prompt TEXT"),
        (["--prompt", " "], "got an empty one"),
        (["--prompt", "Why?", "--answer", " "], "the lens needs an answer"),
        (["--prompt", "Why?", "--top", "0"], "top must be between 1"),
        (["--prompt", "Why?" * 500], "exceed this model's window of 512"),
        (["--prompt", "Why?", "--exit-head", "magic"], "got 'magic'"),
        (["--question", "Why?", "--template", "chat"], "no chat template"),
        (["--question", "Why?", "--template", "poem"], "template must be one of"),
    ],
)
def test_a_mistake_in_lens_is_one_line_and_exit_code_2(command, tiny, arguments, expected):  # noqa: F811
    assert_one_line_error(command("lens", "--model", tiny, *arguments), expected)


def test_a_token_is_shown_as_data():
    assert tables.token("[bold]\n ").plain == "[bold]⏎␣"
    assert tables.token("\x1b[31mred").plain.startswith("\x1b") is False
    assert len(tables.token("x" * 100).plain) == 14
