"""Heads that go to other people with a card, and that come from them: what is refused, and what is written."""

import json
import shutil

import pytest
from conftest import NUM_LAYERS, make_lm
from test_cli import assert_one_line_error, command, tiny  # noqa: F401  # fixtures
from test_head_trial import changed_lm, fitted  # noqa: F401  # fixtures

torch = pytest.importorskip("torch")

from safetensors import safe_open  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from hcl_core.decode.heads.exit_heads import load_exit_head  # noqa: E402
from hcl_core.decode.heads.head_files import FORMAT, read_config  # noqa: E402
from hcl_core.decode.heads.sharing import export_head, import_head  # noqa: E402
from hcl_core.errors import ExitHeadError  # noqa: E402
from hcl_core.models.head_cards import head_card  # noqa: E402


@pytest.fixture(autouse=True)
def other_machine(tmp_path, monkeypatch):
    """No head is here yet."""
    monkeypatch.setenv("HCL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def shared(fitted, tmp_path):  # noqa: F811
    """The exported folder."""
    return export_head(str(fitted), tmp_path / "shared")


def changed(shared, tensors=None, record=None, metadata=None):
    """The exported head with some tensors or entries of its record replaced."""
    file = shared / "exit_head.safetensors"
    with safe_open(file, "pt") as opened:
        own = json.loads(opened.metadata()[FORMAT])
    kept = {name: value for name, value in (load_file(file) | (tensors or {})).items() if value is not None}
    save_file(kept, file, {FORMAT: json.dumps(own | (record or {}))} | (metadata or {}))
    return file


def test_what_is_exported_is_imported_bit_for_bit_and_auto_takes_it(fitted, shared):  # noqa: F811
    assert load_exit_head("auto", make_lm()).name == "shared"
    kept, trial = import_head(shared, make_lm())
    assert kept.read_bytes() == fitted.read_bytes() and trial.is_accepted
    assert load_exit_head("auto", make_lm()).name == "linear"
    assert import_head(shared / "exit_head.safetensors", make_lm())[0] == kept, "the same head again is no mistake"


def test_the_card_says_what_the_head_says_of_itself(fitted, shared):  # noqa: F811
    config = read_config(fitted)
    card = (shared / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlibrary_name: hcl-explorer\n")
    for expected in (config.model, config.weights_hash, "self-generated", f"{config.num_tokens:,} tokens"):
        assert expected in card
    rows = [line for line in card.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert len(rows) == NUM_LAYERS
    assert f"| {config.before[0].agreement:.2f} | {config.after[0].agreement:.2f} |" in rows[0]


def test_a_card_shows_what_others_wrote_as_data(fitted):  # noqa: F811
    config = read_config(fitted)
    object.__setattr__(config, "model", "a`b|c\n# d; rm -rf x")
    card = head_card(config, 1, "f")
    assert "\n# d" not in card and "`ab/c·# d; rm -rf x`" in card
    assert "--model 'a`b|c·# d; rm -rf x'" in card, "one word to a shell"


def test_a_model_is_enough_to_name_its_head(fitted, monkeypatch, tmp_path):  # noqa: F811
    monkeypatch.setenv("HCL_CACHE", str(fitted.parent.parent))
    out = export_head(make_lm().name, tmp_path / "shared")
    assert (out / "exit_head.safetensors").read_bytes() == fitted.read_bytes()
    with pytest.raises(ExitHeadError, match="no exit head was fitted for nobody"):
        export_head("nobody", tmp_path / "other")
    with pytest.raises(ExitHeadError, match="is there already"):
        export_head(str(fitted), out)


def test_a_head_of_nearly_the_same_weights_is_measured_and_taken(shared):
    lm = changed_lm(0.001)
    kept, trial = import_head(shared, lm)
    assert trial.is_accepted and kept.stem.endswith(read_config(kept).weights_hash)
    assert load_exit_head("auto", lm).name == "linear"


def test_a_head_of_far_other_weights_is_refused_with_what_was_measured(shared, tmp_path):
    with pytest.raises(ExitHeadError, match=r"does not read this model well: at layers 2 to 3 .* by its own record"):
        import_head(shared, make_lm(seed=7))
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_a_record_that_names_these_weights_is_not_believed(shared):
    generator = torch.Generator().manual_seed(0)
    codes = load_file(shared / "exit_head.safetensors")["codes"]
    noise = torch.randint(-127, 128, codes.shape, generator=generator, dtype=torch.int8)
    with pytest.raises(ExitHeadError, match="does not read"):
        import_head(changed(shared, {"codes": noise}), make_lm())


NAN = float("nan")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"tensors": {"codes": torch.zeros(3, 4, 4, dtype=torch.int8)}}, "codes is"),
        ({"tensors": {"codes": torch.zeros(3, 64, 64)}}, "in int8 and float32"),
        ({"tensors": {"biases": None}}, "it must hold codes"),
        ({"tensors": {"more": torch.zeros(1)}}, "it must hold codes"),
        ({"metadata": {"more": "x"}}, "more than the head's record"),
        ({"record": {"weights_hash": "../../x"}}, "no fingerprint of the weights"),
        ({"record": {"num_tokens": "many"}}, "num_tokens"),
        ({"record": {"more": 1}}, "more"),
        ({"record": {"strengths": [1.0]}}, "another number of layers"),
        ({"record": {"strengths": [NAN, 1.0, 1.0]}}, "a number that cannot be"),
        ({"record": {"model": "other", "weights_hash": "e" * 32}}, "was fitted for other"),
    ],
)
def test_a_file_that_is_not_as_it_must_be_is_refused_and_nothing_is_written(shared, tmp_path, change, expected):
    file = changed(shared, **change)
    with pytest.raises(ExitHeadError, match=expected) as raised:
        import_head(file, make_lm())
    assert "\n" not in str(raised.value) and not list((tmp_path / "cache").rglob("*.safetensors"))


@pytest.mark.parametrize(("name", "value"), [("biases", NAN), ("input_scales", 0.0)])
def test_numbers_that_no_fit_makes_are_refused(shared, name, value):
    tensor = load_file(shared / "exit_head.safetensors")[name]
    tensor[0, 0] = value
    with pytest.raises(ExitHeadError, match=f"{name} has a number|a scale is not above 0"):
        import_head(changed(shared, {name: tensor}), make_lm())


def test_size_and_kind_of_file_are_checked_before_it_is_read(shared):
    large = shared / "large.safetensors"
    with large.open("wb") as opened:
        opened.truncate(2_000_000)
    with pytest.raises(ExitHeadError, match="larger than"):
        import_head(large, make_lm())
    pickled = shared / "head.pt"
    pickled.write_bytes(b"\x80\x04N.")
    with pytest.raises(ExitHeadError, match="which holds numbers alone"):
        import_head(pickled, make_lm())


def test_a_head_that_is_there_is_replaced_only_if_asked(shared, tmp_path):
    kept, _ = import_head(shared, make_lm())
    before = kept.read_bytes()
    other = changed(shared, record={"seed": 5})
    with pytest.raises(ExitHeadError, match="give --replace"):
        import_head(other, make_lm())
    assert kept.read_bytes() == before
    assert import_head(other, make_lm(), replace=True)[0] == kept and kept.read_bytes() == other.read_bytes()


def test_the_commands_export_and_import(command, tiny, tmp_path):  # noqa: F811
    assert command("fit-head", "--tokens", "1000", "--model", tiny)[0] == 0
    (file,) = (tmp_path / "cache").rglob("exit_heads/*.safetensors")
    content = file.read_bytes()
    code, out, err = command("export-head", "tiny-llama", "--out", tmp_path / "given")
    assert (code, err) == (0, "") and f"Exported to {tmp_path / 'given'}" in out
    shutil.rmtree(file.parent)
    code, out, err = command("import-head", tmp_path / "given", "--model", tiny)
    assert code == 0, err
    assert "by its own record" in out and f"Saved as {file}" in out
    assert file.read_bytes() == content
    assert_one_line_error(command("import-head", tmp_path / "none", "--model", tiny), "there is no exit head")
    assert_one_line_error(command("export-head", " ", "--out", tmp_path / "x"), "got an empty name")
