"""The token lens against ``transformers``' own hidden states, and its storage."""

import json

import numpy as np
import pytest
from conftest import FAMILIES, NUM_LAYERS, make_lm

from hcl_core.errors import ContextTooLongError, RunFolderError, SettingsError
from hcl_core.models.lens_records import LensManifest, LensTable, read_lens, write_lens

torch = pytest.importorskip("torch")

from hcl_core.decode.heads.exit_heads import SharedHead, read_head  # noqa: E402
from hcl_core.decode.heads.fitting import fit_head  # noqa: E402
from hcl_core.decode.heads.hidden_states import TextBatch, read_text, write_texts  # noqa: E402
from hcl_core.decode.token_lens import read_layers, read_layers_along_answer  # noqa: E402
from hcl_core.models.head_records import FitSettings  # noqa: E402
from hcl_core.records import SamplingSettings  # noqa: E402
from hcl_core.settings.prompts import load_template  # noqa: E402

TEXT = [20, 35, 7, 99, 140, 3, 77, 61]


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """A tiny model with both heads."""
    lm, out = make_lm(), tmp_path_factory.mktemp("heads") / "head.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HCL_CACHE", str(out.parent / "cache"))
        list(fit_head(lm, "r1", FitSettings(num_tokens=2_000), out))
    return lm, {"shared": SharedHead(), "linear": read_head(out, lm)}


def reference(lm, layer, translate=lambda hidden: hidden):
    """``transformers``' own readout of every position: ``[t, vocab]`` log-probabilities."""
    model = lm.peer
    with torch.inference_mode():
        out = model.model(input_ids=torch.tensor([TEXT]), output_hidden_states=True)
        if layer == NUM_LAYERS:
            normed = out.last_hidden_state[0]  # the last state comes normed already
        else:
            normed = model.model.norm(translate(out.hidden_states[layer][0]))
        return model.lm_head(normed).float().log_softmax(-1)


# Hidden states.


@pytest.mark.parametrize("family", FAMILIES)
def test_states_of_a_text_equal_those_of_transformers(family):
    lm = make_lm(family)
    with torch.inference_mode():
        wanted = lm.peer.model(input_ids=torch.tensor([TEXT]), output_hidden_states=True).hidden_states
        states = read_text(lm, TEXT)
    for layer in range(1, NUM_LAYERS):
        torch.testing.assert_close(states[layer - 1], wanted[layer][0], rtol=1e-4, atol=1e-4)
    with torch.inference_mode():
        torch.testing.assert_close(lm.final_norm(states[-1]), wanted[-1][0], rtol=1e-4, atol=1e-4)


def test_texts_in_a_batch_do_not_see_each_other():
    lm, texts = make_lm(), torch.tensor([TEXT, TEXT[::-1], [5] * len(TEXT)])
    with torch.inference_mode():
        together = TextBatch(lm, 3, len(TEXT)).read(texts)
        for place, text in enumerate(texts.tolist()):
            torch.testing.assert_close(together[:, place], read_text(lm, text), rtol=1e-4, atol=1e-4)


def test_written_texts_come_with_the_states_they_were_drawn_from():
    lm = make_lm()
    prompt = TEXT[:3]
    with torch.inference_mode():
        tokens, states = write_texts(lm, prompt, 3, 6, SamplingSettings(1.0, 1.0, seed=4))
        again, _ = write_texts(lm, prompt, 3, 6, SamplingSettings(1.0, 1.0, seed=4))
        other, _ = write_texts(lm, prompt, 3, 6, SamplingSettings(1.0, 1.0, seed=5))
        for place in range(3):
            whole = read_text(lm, [*prompt, *tokens[place].tolist()])
            torch.testing.assert_close(states[:, place], whole[:, len(prompt) - 1 : -1], rtol=1e-3, atol=1e-3)
    assert torch.equal(tokens, again) and not torch.equal(tokens, other)
    assert len({tuple(text) for text in tokens.tolist()}) == 3


# The lens.


@pytest.mark.parametrize("name", ["shared", "linear"])
def test_every_layers_readout_is_the_references(heads, name):
    lm, by_name = heads
    head = by_name[name]
    table = read_layers(lm, head, "q", "prompt", TEXT, first=1, num_top=5)
    own = reference(lm, NUM_LAYERS)[:-1]
    for layer in range(1, NUM_LAYERS + 1):
        wanted = reference(lm, layer, lambda hidden, at=layer: head.translate(hidden, np.full(len(hidden), at)))[:-1]
        place = layer - 1
        top = wanted.topk(5)
        assert table.top_token_ids[place].tolist() == top.indices.tolist()
        np.testing.assert_allclose(table.top_probabilities[place], top.values.exp(), rtol=1e-3)
        np.testing.assert_allclose(table.entropy[place], -(wanted.exp() * wanted).sum(-1), rtol=1e-3)
        np.testing.assert_allclose(
            table.kl_to_last[place], (own.exp() * (own - wanted)).sum(-1).clamp_min(0), rtol=1e-3, atol=1e-4
        )
        order = wanted.argsort(-1, descending=True)
        for position in range(len(TEXT) - 1):
            ranks = order[position].tolist()
            assert table.final_rank[place, position] == 1 + ranks.index(int(own[position].argmax()))
            assert table.text_rank[place, position] == 1 + ranks.index(TEXT[position + 1])


@pytest.mark.parametrize("name", ["shared", "linear"])
def test_the_last_row_is_the_models_own_distribution(heads, name):
    lm, by_name = heads
    table = read_layers(lm, by_name[name], "q", "prompt", TEXT, first=1, num_top=100)
    own = reference(lm, NUM_LAYERS)[:-1].exp()
    np.testing.assert_allclose(
        table.top_probabilities[-1], own.gather(1, torch.from_numpy(table.top_token_ids[-1])), rtol=1e-4
    )
    assert (table.kl_to_last[-1] == 0).all() and (table.final_rank[-1] == 1).all()


def test_a_long_text_is_read_in_pieces_alike(heads):
    lm, by_name = heads
    text = (TEXT * 40)[:300]
    whole = read_layers(lm, by_name["linear"], "q", "prompt", text, first=1)
    tail = read_layers(lm, by_name["linear"], "q", "prompt", text, first=290)
    np.testing.assert_allclose(whole.entropy[:, -10:], tail.entropy, rtol=1e-4)
    assert whole.positions[-10:] == tail.positions


def lens_table(final_rank):
    """A table whose ranks are given and whose other cells are fillers."""
    ranks = np.array(final_rank)
    num_layers, num_positions = ranks.shape
    cells = np.zeros((num_layers, num_positions), np.float32)
    return LensTable(
        question_id="q",
        prompt="p",
        token_ids=tuple(range(num_positions)),
        token_texts=("x",) * num_positions,
        positions=tuple(range(1, num_positions + 1)),
        top_token_ids=np.zeros((num_layers, num_positions, 1), np.int64),
        top_token_texts=[[["x"]] * num_positions] * num_layers,
        top_probabilities=np.ones((num_layers, num_positions, 1), np.float32),
        entropy=cells,
        final_rank=ranks,
        text_rank=ranks,
        kl_to_last=cells,
    )


def test_a_token_settles_where_it_comes_on_top_for_good():
    ranks = [[1, 5, 1, 1], [3, 5, 1, 2], [1, 2, 1, 9], [1, 1, 1, 1]]
    assert lens_table(ranks).settles().tolist() == [3, 4, 1, 4]


def test_the_greedy_answer_is_the_whole_models_own(heads):
    lm, by_name = heads
    prompt = "Which colour?"
    ids = lm.tokenize(prompt)
    model = lm.peer
    written = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=6, pad_token_id=1)[0].tolist()
    for head in by_name.values():
        table = read_layers_along_answer(lm, head, "q", prompt, max_new_tokens=6)
        wanted = written[len(ids) :][: len(table.token_ids)]
        assert list(table.token_ids) == wanted and table.positions[0] == len(ids)
        assert (table.text_rank[-1] == 1).all(), "a greedy answer is the last layer's choice at each token"


def test_a_given_answer_begins_where_the_prompt_ends(heads):
    lm, by_name = heads
    table = read_layers_along_answer(lm, by_name["shared"], "q", "Q: sky?\nA:", answer=" blue ")
    assert "".join(table.token_texts) == " blue"
    whole = read_layers_along_answer(lm, by_name["shared"], "q", "Q: sky?\nA:", answer="blue", whole_text=True)
    assert "".join(whole.token_texts) == ": sky?\nA: blue" and whole.positions[0] == 1


@pytest.mark.parametrize(
    ("prompt", "options", "error"),
    [
        ("", {}, SettingsError),
        ("Why?", {"answer": "  "}, SettingsError),
        ("Why?", {"num_top": 0}, SettingsError),
        ("Why?", {"num_top": 101}, SettingsError),
        ("x" * 510, {}, ContextTooLongError),
        ("x" * 500, {"answer": "y" * 30}, ContextTooLongError),
    ],
)
def test_bad_input_is_one_clear_error(heads, prompt, options, error):
    lm, by_name = heads
    with pytest.raises(error):
        read_layers_along_answer(lm, by_name["shared"], "q", prompt, **options)


# Storage.


def manifest(prompts):
    return LensManifest("m", "r", "float32", "linear", "abc", "few_shot", prompts, {"torch": "2"}, "2026-01-01")


def test_a_stored_lens_comes_back_as_it_was(heads, tmp_path):
    lm, by_name = heads
    tables = [
        read_layers_along_answer(lm, by_name["linear"], name, f"{name}?", answer="yes") for name in ("one", "two")
    ]
    saved = manifest({table.question_id: table.prompt for table in tables})
    write_lens(tmp_path / "lens", saved, tables)
    write_lens(tmp_path / "lens", saved, tables)  # replaced, not refused
    loaded_manifest, loaded = read_lens(tmp_path / "lens")
    assert loaded_manifest == saved
    for before, after in zip(tables, loaded, strict=True):
        assert before.as_json() == after.as_json()
        assert before.settles().tolist() == after.settles().tolist()


@pytest.mark.parametrize("damage", ["manifest.json", "lens.parquet", "kind", "version", "json"])
def test_a_damaged_lens_is_one_clear_error(heads, tmp_path, damage):
    lm, by_name = heads
    table = read_layers_along_answer(lm, by_name["shared"], "one", "one?", answer="yes")
    folder = tmp_path / "lens"
    write_lens(folder, manifest({"one": "one?"}), [table])
    entries = json.loads((folder / "manifest.json").read_text())
    if damage.endswith((".json", ".parquet")):
        (folder / damage).unlink()
    elif damage == "json":
        (folder / "manifest.json").write_text("[1]")
    else:
        entries |= {"kind": {"kind": "run"}, "version": {"schema_version": 99}}[damage]
        (folder / "manifest.json").write_text(json.dumps(entries))
    with pytest.raises(RunFolderError):
        read_lens(folder)


def test_a_folder_of_something_else_is_not_overwritten(heads, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunFolderError):
        write_lens(tmp_path, manifest({}), [])
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.model
def test_the_embedded_model_settles_on_paris_late(smollm2):
    prompt = load_template().render("What is the capital of France?")
    shared = read_layers_along_answer(smollm2, SharedHead(), "q", prompt)
    assert shared.token_texts[0] == " Paris"
    assert shared.settles()[0] > 25
