"""Fitted exit heads: the regression itself, its file, who may load it, and what it changes in the engine."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import NUM_LAYERS, make_decoder, make_lm, stored_question

from hcl_core.errors import ExitHeadError, SettingsError
from hcl_core.models.head_records import ASKED_FOR, FITTED, FitProgress, FitSettings, HeadConfig
from hcl_core.ports import DecodeRequest
from hcl_core.records import Question, SamplingSettings

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from hcl_core.decode.engine import TrieDecoder  # noqa: E402
from hcl_core.decode.forest import Forest  # noqa: E402
from hcl_core.decode.heads.exit_heads import (  # noqa: E402
    LinearHead,
    QuantizedMaps,
    SharedHead,
    load_exit_head,
    read_head,
)
from hcl_core.decode.heads.fidelity import measure  # noqa: E402
from hcl_core.decode.heads.fitting import fit_head  # noqa: E402
from hcl_core.decode.heads.head_files import FORMAT, find_head, read_config  # noqa: E402
from hcl_core.decode.heads.ridge import Moments  # noqa: E402
from hcl_core.decode.heads.texts import SelfWritten, TextFile  # noqa: E402

SETTINGS = FitSettings(num_tokens=2_000)
HIDDEN = 64


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HCL_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A tiny model, the file of a head fitted for it, and the head's config."""
    lm, out = make_lm(), tmp_path_factory.mktemp("heads") / "head.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HCL_CACHE", str(out.parent / "cache"))
        *progress, config = fit_head(lm, "r1", SETTINGS, out)
    assert all(isinstance(each, FitProgress) for each in progress) and isinstance(config, HeadConfig)
    return lm, out, config


# The regression.


def affine_data(num_rows=4000, noise=0.0):
    """States of a three-layer model whose last layer is a known affine map of each earlier one."""
    generator = torch.Generator().manual_seed(1)
    maps = torch.randn(2, 8, 8, generator=generator, dtype=torch.float64)
    biases = torch.randn(2, 8, generator=generator, dtype=torch.float64)
    last = torch.randn(num_rows, 8, generator=generator, dtype=torch.float64)
    states = [(last - biases[place]) @ torch.linalg.inv(maps[place]) for place in range(2)]
    last = last + noise * torch.randn(num_rows, 8, generator=generator, dtype=torch.float64)
    return torch.stack([*states, last]), maps, biases


def moments_of(states, weights=None, batch=None):
    moments = Moments(len(states), states.shape[2])
    weights = torch.ones(states.shape[1]) if weights is None else weights
    for start in range(0, states.shape[1], batch or states.shape[1]):
        piece = slice(start, start + (batch or states.shape[1]))
        moments.add(states[:, piece], weights[piece])
    return moments


@pytest.mark.parametrize("place", [0, 1])
def test_the_fit_recovers_a_known_affine_map(place):
    states, maps, biases = affine_data()
    solved, solved_biases, deviations = moments_of(states).solve(place, (1e-12,))
    torch.testing.assert_close(solved[0], maps[place], atol=1e-6, rtol=0)
    torch.testing.assert_close(solved_biases[0], biases[place], atol=1e-6, rtol=0)
    torch.testing.assert_close(deviations, states[place].std(0, correction=0))


def test_a_noisy_map_is_recovered_within_its_standard_error():
    states, maps, _ = affine_data(noise=0.5)
    solved, _, _ = moments_of(states).solve(0, (1e-9,))
    covariance = torch.linalg.inv((states[0] - states[0].mean(0)).T @ (states[0] - states[0].mean(0)))
    standard_errors = 0.5 * covariance.diagonal().sqrt()[:, None]
    assert ((solved[0] - maps[0]).abs() < 5 * standard_errors).all()
    # Errors of the size that the noise explains: the root mean square of 64 standard normal numbers is about 1.
    assert 0.75 < float(((solved[0] - maps[0]) / standard_errors).square().mean().sqrt()) < 1.25


@pytest.mark.parametrize("batch", [1, 37, 1000])
def test_streaming_is_the_same_as_one_go(batch):
    states, _, _ = affine_data(num_rows=1000, noise=0.3)
    weights = torch.rand(1000, generator=torch.Generator().manual_seed(2))
    at_once, streamed = moments_of(states, weights), moments_of(states, weights, batch)
    torch.testing.assert_close(streamed.inputs, at_once.inputs, rtol=1e-12, atol=1e-9)
    torch.testing.assert_close(streamed.solve(0)[0], at_once.solve(0)[0], rtol=1e-8, atol=1e-9)


def test_ridge_maps_equal_scikit_learns_definition():
    states, _, _ = affine_data(num_rows=200, noise=1.0)
    strength = 0.1
    solved, bias, _ = moments_of(states).solve(1, (strength,))
    inputs, target = states[1] - states[1].mean(0), states[2] - states[2].mean(0)
    penalty = strength * inputs.square().mean() * len(inputs)  # ridge adds it to the sum of squares
    stacked = torch.cat((inputs, penalty.sqrt() * torch.eye(8, dtype=torch.float64)))
    wanted = torch.linalg.lstsq(stacked, torch.cat((target, torch.zeros(8, 8, dtype=torch.float64)))).solution
    torch.testing.assert_close(solved[0], wanted)
    torch.testing.assert_close(bias[0], states[2].mean(0) - states[1].mean(0) @ wanted)


def test_a_weight_counts_like_repeated_rows():
    states, _, _ = affine_data(num_rows=50, noise=1.0)
    weights = torch.ones(50)
    weights[:10] = 3
    repeated = torch.cat((states, states[:, :10], states[:, :10]), dim=1)
    torch.testing.assert_close(moments_of(states, weights).solve(0)[0], moments_of(repeated).solve(0)[0])


# Storage.


def test_eight_bits_keep_a_map_whose_inputs_differ_a_hundredfold():
    generator = torch.Generator().manual_seed(0)
    scales = torch.ones(1, 32)
    scales[0, :3] = 300.0  # as a few units of a residual stream are
    inputs = torch.randn(500, 32, generator=generator) * scales
    exact = torch.randn(1, 32, 32, generator=generator) / scales[:, :, None]
    stored = QuantizedMaps.of(exact, torch.zeros(1, 32), scales)
    error = (inputs @ stored.map_of(1) - inputs @ exact[0]).std() / (inputs @ exact[0]).std()
    assert stored.codes.dtype == torch.int8 and error < 0.01
    naive = QuantizedMaps.of(exact, torch.zeros(1, 32), torch.ones(1, 32))
    assert (inputs @ naive.map_of(1) - inputs @ exact[0]).std() / (inputs @ exact[0]).std() > 2 * error


def test_a_map_of_zeros_is_stored():
    stored = QuantizedMaps.of(torch.zeros(1, 4, 4), torch.zeros(1, 4), torch.ones(1, 4))
    assert torch.equal(stored.map_of(1), torch.zeros(4, 4))


# The whole fit.


def test_the_head_reads_every_early_layer_better_on_held_out_text(fitted):
    _, _, config = fitted
    for before, after in zip(config.before[:-1], config.after[:-1], strict=True):
        assert after.cross_entropy < before.cross_entropy - 0.1
    assert np.mean([each.agreement for each in config.after]) > np.mean([each.agreement for each in config.before])
    assert config.before[-1] == config.after[-1] and config.after[-1].agreement == 1.0


def test_the_config_says_what_was_fitted_and_is_what_the_file_holds(fitted):
    lm, out, config = fitted
    assert read_config(out) == config
    assert (config.model, config.revision, config.weights_hash) == ("this model", "r1", lm.weights_hash)
    assert config.texts == "self-generated" and config.num_tokens >= SETTINGS.num_tokens
    assert len(config.strengths) == NUM_LAYERS - 1 and len(config.before) == len(config.after) == NUM_LAYERS


def test_the_same_fit_gives_the_same_file(fitted, tmp_path):
    lm, out, _ = fitted
    *_, _ = fit_head(lm, "r1", SETTINGS, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == out.read_bytes()


def test_a_stopped_fit_goes_on_to_the_same_head_without_reading_twice(fitted, tmp_path, monkeypatch):
    lm, out, _ = fitted
    monkeypatch.setattr(SelfWritten, "_BATCH_SIZE", 10)  # five batches
    read = []
    original = SelfWritten.batch
    monkeypatch.setattr(SelfWritten, "batch", lambda self, number: (read.append(number), original(self, number))[1])
    ticks = iter(range(0, 10**6, 100))  # every batch is due to be saved
    whole = fit_head(lm, "r1", SETTINGS, tmp_path / "whole.safetensors", lambda: next(ticks))
    *_, wanted = whole
    stopped: Any = fit_head(lm, "r1", SETTINGS, tmp_path / "stopped.safetensors", lambda: next(ticks))
    for progress in stopped:
        if progress.num_done >= 960:
            break
    stopped.close()
    assert not (tmp_path / "stopped.safetensors").exists()
    read.clear()
    *_, config = fit_head(lm, "r1", SETTINGS, tmp_path / "stopped.safetensors", lambda: next(ticks))
    assert read == [2, 3, 4], "the batches read before the stop were kept"
    assert config == wanted
    assert (tmp_path / "stopped.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    assert not list((tmp_path / "cache" / "fits").glob("*.safetensors")), "what was kept is gone once the fit is done"


def test_what_is_kept_of_the_text_does_not_grow_with_it(tmp_path):
    """Of three times the text, the same sums and no more held-out positions."""
    file = tmp_path / "essay.txt"
    file.write_text("A quick brown fox jumps over the lazy dog; and so on. " * 900, encoding="utf-8")
    lm, ticks, kept = make_lm(), iter(range(0, 10**6, 100)), []
    for num_tokens in (16_000, 48_000):
        settings = replace(SETTINGS, num_tokens=num_tokens, texts=file)
        fit: Any = fit_head(lm, "r1", settings, tmp_path / "head.safetensors", lambda: next(ticks))
        next(progress for progress in fit if progress.phase == "solving")  # all is read, and the state is saved
        fit.close()
        (state,) = (tmp_path / "cache" / "fits").glob("*.safetensors")
        kept.append({name: tensor.shape for name, tensor in load_file(state).items()})
        state.unlink()
    few, many = kept
    assert few["inputs"] == many["inputs"] and few["cross"] == many["cross"]
    for name in ("choosing", "reporting"):
        assert many[name][1] < 1.3 * few[name][1] < 2_000


def test_gradient_steps_come_nearer_to_the_last_layers_distribution(fitted, tmp_path):
    lm, _, ridge = fitted
    refined: Any
    *_, refined = fit_head(lm, "r1", replace(SETTINGS, refine_steps=40), tmp_path / "refined.safetensors")
    assert sum(each.cross_entropy for each in refined.after) < sum(each.cross_entropy for each in ridge.after)
    assert refined.refine_steps == 40


def test_a_text_file_is_read_in_windows_and_named(tmp_path):
    lm = make_lm()
    file = tmp_path / "essay.txt"
    file.write_text("A quick brown fox jumps over the lazy dog; and so on. " * 60, encoding="utf-8")
    config: Any
    *_, config = fit_head(lm, "r1", replace(SETTINGS, num_tokens=3_000, texts=file), tmp_path / "head.safetensors")
    assert config.texts == "essay.txt" and len(config.texts_hash) == 16
    assert config.num_tokens == 3_000 // 256 * 256


def test_the_first_position_of_a_window_is_left_out(tmp_path):
    file = tmp_path / "essay.txt"
    file.write_text("abc " * 1000, encoding="utf-8")
    source = TextFile(make_lm(), replace(SETTINGS, num_tokens=4000, texts=file))
    states, weights = source.batch(0)
    assert (weights[:, 0] == 0).all() and (weights[:, 1:] == 1).all()
    assert states.shape[:3] == (NUM_LAYERS, *weights.shape)


def test_positions_inside_self_written_answers_weigh_more():
    lm = make_lm()
    source = SelfWritten(lm, SETTINGS)
    ids = lm.tokenize("Why?\nAnswer: No\nSo")
    within = source._in_answer(ids)
    assert "".join("*" if inside else "." for inside in within) == "............" + "****" + ".."


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_tokens": 10}, "tokens must be between"),
        ({"answer_weight": 0}, "answer weight"),
        ({"refine_steps": -1}, "refine steps"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_fit_settings_are_refused(change, message):
    with pytest.raises(SettingsError, match=message):
        replace(SETTINGS, **change)


@pytest.mark.parametrize("content", [None, b"too short", b"\xff\xfe\xff" * 500])
def test_a_text_file_that_cannot_serve_is_refused_and_nothing_is_written(tmp_path, content):
    file = tmp_path / "essay.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match="essay.txt"):
        list(fit_head(make_lm(), "r1", replace(SETTINGS, texts=file), tmp_path / "head.safetensors"))
    assert not (tmp_path / "head.safetensors").exists()


def test_a_file_that_is_no_head_is_not_overwritten(tmp_path):
    precious = tmp_path / "model.safetensors"
    precious.write_bytes(b"precious")
    with pytest.raises(ExitHeadError):
        list(fit_head(make_lm(), "r1", SETTINGS, precious))
    assert precious.read_bytes() == b"precious"


# Who may load it.


def test_a_head_of_another_model_is_refused_by_the_hash(fitted):
    _, out, _ = fitted
    other = make_lm(seed=1)
    with pytest.raises(ExitHeadError, match="was fitted for this model .* not for"):
        read_head(out, other)
    with pytest.raises(ExitHeadError):
        load_exit_head(str(out), other)


def test_auto_takes_a_fitted_head_where_there_is_one(fitted, tmp_path):
    lm, out, _ = fitted
    assert isinstance(load_exit_head("auto", lm), SharedHead) and find_head(lm) is None
    with pytest.raises(ExitHeadError, match="fit-head --model"):
        load_exit_head("linear", lm)
    own = tmp_path / "cache" / "exit_heads"
    own.mkdir(parents=True)
    (own / "a-damaged-one.safetensors").write_bytes(b"no head")
    (own / "mine.safetensors").write_bytes(out.read_bytes())
    for name in ("auto", "linear", str(out)):
        assert isinstance(load_exit_head(name, lm), LinearHead)
    assert isinstance(load_exit_head("shared", lm), SharedHead)
    assert isinstance(load_exit_head("auto", make_lm(seed=1)), SharedHead)


def test_a_layerskip_checkpoint_takes_the_shared_head(fitted, tmp_path, monkeypatch):
    lm, out, _ = fitted
    own = tmp_path / "cache" / "exit_heads"
    own.mkdir(parents=True)
    (own / "mine.safetensors").write_bytes(out.read_bytes())
    monkeypatch.setattr(lm, "name", "layerskip-llama3.2-1B")
    assert isinstance(load_exit_head("auto", lm), SharedHead)


def test_the_fingerprint_tells_heads_apart(fitted, tmp_path):
    lm, out, _ = fitted
    *_, _ = fit_head(lm, "r1", replace(SETTINGS, seed=1), tmp_path / "other.safetensors")
    assert read_head(out, lm).fingerprint != read_head(tmp_path / "other.safetensors", lm).fingerprint
    assert read_head(out, lm).fingerprint == read_head(out, lm).fingerprint


def test_runs_with_one_head_share_its_maps_and_the_product_with_the_vocabulary(fitted, monkeypatch):
    lm, out, _ = fitted
    parts = make_decoder(lm).parts
    # Two visitors: each run reads the head for a reason of its own.
    heads = [read_head(out, lm, reason) for reason in (FITTED, ASKED_FOR)]
    assert [head.reason for head in heads] == [FITTED, ASKED_FOR] and heads[0]._maps is heads[1]._maps
    forest, rows = Forest(lm, parts.budget_now), []
    for number, head in enumerate(heads):
        decoder = TrieDecoder(replace(parts, exit_head=head))
        stored = stored_question(decoder, Question(f"q{number}", "Name a planet.", ("x",)))
        forest.open(decoder, DecodeRequest(stored, SamplingSettings(max_new_tokens=4), [[(2, 0), (NUM_LAYERS, 0)]]))
    unembed = type(lm).unembed
    monkeypatch.setattr(
        type(lm), "unembed", lambda lm, normed, out: rows.append(len(normed)) or unembed(lm, normed, out)
    )
    while not forest.is_idle:
        forest.step()
    assert rows[0] == 4  # both layers of both questions


def damaged(out, tmp_path, damage):
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(out, "pt") as opened:
        tensors, metadata = {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata()  # noqa: SIM118
    damage(tensors, metadata)
    save_file(tensors, tmp_path / "bad.safetensors", metadata)
    return tmp_path / "bad.safetensors"


@pytest.mark.parametrize(
    "damage",
    [
        lambda tensors, metadata: tensors.pop("codes"),
        lambda tensors, metadata: tensors.update(codes=tensors["codes"][:1].clone()),
        lambda tensors, metadata: tensors.update(biases=tensors["biases"][:, :3].clone()),
        lambda tensors, metadata: metadata.update({FORMAT: "{"}),
        lambda tensors, metadata: metadata.update({FORMAT: "[]"}),
        lambda tensors, metadata: metadata.update({FORMAT: "3"}),
        lambda tensors, metadata: metadata.update({FORMAT: "[" * 100_000}),
        lambda tensors, metadata: metadata.update({FORMAT: metadata[FORMAT].replace('"weights_hash": "', '"x": "')}),
        lambda tensors, metadata: metadata.update({FORMAT: json.dumps({"before": [], "after": []})}),
        lambda tensors, metadata: metadata.pop(FORMAT),
    ],
)
def test_a_damaged_head_is_one_clear_error(fitted, tmp_path, damage):
    lm, out, _ = fitted
    with pytest.raises(ExitHeadError):
        read_head(damaged(out, tmp_path, damage), lm)


def test_no_head_at_all_is_one_clear_error(tmp_path):
    with pytest.raises(SettingsError, match="auto, linear, shared or a .safetensors file"):
        load_exit_head("tuned", make_lm())
    with pytest.raises(SettingsError, match="there is no exit head file"):
        load_exit_head(str(tmp_path / "none.safetensors"), make_lm())


# In the engine.


def answers_of(lm, head, layers=range(1, NUM_LAYERS + 1), waves=((0, 12),), **settings):
    decoder = TrieDecoder(replace(make_decoder(lm).parts, exit_head=head))
    wanted = [[(layer, number) for layer in layers for number in range(*bounds)] for bounds in waves]
    question = Question("q", "Which colour?", ("red",))
    chosen = SamplingSettings(**{"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 10} | settings)
    steps = list(decoder.decode(stored_question(decoder, question), chosen, wanted))
    return {sample.key: sample for step in steps for sample in step.finished}


def test_the_last_layer_answers_the_same_with_either_head(fitted):
    lm, out, _ = fitted
    linear, shared = answers_of(lm, read_head(out, lm)), answers_of(lm, SharedHead())
    by_layer = {layer: [linear[key] == shared[key] for key in shared if key.exit_layer == layer] for layer in (2, 4)}
    assert all(by_layer[4]), "text and log-probabilities alike"
    assert not all(by_layer[2]), "an earlier layer reads otherwise"


def test_answers_with_a_linear_head_depend_on_nothing_but_the_sample(fitted):
    lm, out, _ = fitted
    head = read_head(out, lm)
    whole = answers_of(lm, head)
    waves = answers_of(lm, head, waves=((0, 1), (1, 5), (5, 12)))
    alone = answers_of(lm, head, layers=[2])
    assert waves == whole
    assert alone == {key: sample for key, sample in whole.items() if key.exit_layer == 2}


def test_greedy_answers_are_those_of_the_map_applied_by_hand(fitted):
    lm, out, _ = fitted
    head = read_head(out, lm)
    maps = QuantizedMaps(**load_file(out))
    samples = answers_of(lm, head, waves=((0, 1),), temperature=0.0)
    prompt = lm.tokenize("Q: Which colour?\nA:")
    for layer in range(1, NUM_LAYERS):
        sample = next(each for key, each in samples.items() if key.exit_layer == layer)
        ids = [*prompt, *sample.completion_token_ids]
        with torch.inference_mode():
            states = lm.peer.model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[layer][0]
            mapped = states @ maps.map_of(layer) + maps.biases[layer - 1]
            wanted = lm.peer.lm_head(lm.peer.model.norm(mapped)).argmax(-1)
        assert wanted[len(prompt) - 1 : -1].tolist() == list(sample.completion_token_ids)


def test_each_row_meets_the_map_of_its_own_layer(fitted):
    lm, out, _ = fitted
    head = read_head(out, lm)
    hidden = torch.randn(40, HIDDEN, generator=torch.Generator().manual_seed(3))
    layers = np.sort(np.random.default_rng(0).integers(1, NUM_LAYERS + 1, 40))
    together = head.translate(hidden, layers)
    for row, layer in enumerate(layers):
        alone = head.translate(hidden[row : row + 1], layers[row : row + 1])[0]
        assert torch.equal(together[row], alone)
        if layer == NUM_LAYERS:
            assert torch.equal(alone, hidden[row])


@pytest.mark.model
def test_the_shipped_head_belongs_to_the_embedded_model_and_reads_it_better(smollm2):
    head = load_exit_head("auto", smollm2)
    assert isinstance(head, LinearHead)
    prompt = "Question: What do bees make?\nAnswer: Honey\n\nQuestion: What is the capital of Spain?\nAnswer: Madrid"
    from hcl_core.decode.heads.hidden_states import read_text

    with torch.inference_mode():
        states = read_text(smollm2, smollm2.tokenize(prompt))[:, 1:]
        *_, (_, by_head) = measure(smollm2, [SharedHead(), head], states, (11, 17, 23, 29))
    for shared, linear in zip(*by_head, strict=True):
        assert linear.cross_entropy < shared.cross_entropy
        assert linear.agreement >= shared.agreement
