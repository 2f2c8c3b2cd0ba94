"""Plausibility: the whole model's own log-probabilities, whatever the batch; how they are stored and averaged."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import FAMILIES, NUM_LAYERS, make_decoder, make_lm, stored_question
from fake_runs import Sitting, sample_keys, write_derived
from test_engine import ALL_LAYERS, QUESTION, decode, wave

from hcl_core.decode import likelihood, plausibility
from hcl_core.decode.engine import EngineParts, TrieDecoder
from hcl_core.decode.heads.exit_heads import load_exit_head
from hcl_core.decode.plausibility import WholeModel
from hcl_core.decode.trie import blocks
from hcl_core.decode.trie.tree import PromptTree
from hcl_core.errors import ContextTooLongError, SettingsError
from hcl_core.models import footprint
from hcl_core.pipeline.plausibility import measure_plausibility, plausibility_stamp, read_plausibility
from hcl_core.records import Question, SamplingSettings
from hcl_core.runs.compact import write_compact_copy
from hcl_core.settings.prompts import load_template

SETTINGS = SamplingSettings(temperature=1, top_p=1, max_new_tokens=12)


@torch.inference_mode()
def logprobs_of_transformers(lm, prompt_ids, completion):
    """Of each token of ``completion``, by one full forward pass of transformers' own model."""
    logprobs = lm.peer(torch.tensor([[*prompt_ids, *completion]])).logits[0].log_softmax(-1)
    following = range(len(prompt_ids) - 1, len(prompt_ids) + len(completion) - 1)
    return logprobs[list(following), list(completion)].numpy()


def sampled(decoder, layers=ALL_LAYERS, num_samples=6, question=QUESTION, settings=SETTINGS):
    return list(decode(decoder, settings, [wave(layers, range(num_samples))], question).values())


def read(decoder, samples, memory_budget=None, question=QUESTION):
    """The whole model's log-probabilities of the tokens of ``samples``."""
    model = WholeModel(replace(decoder.parts, memory_budget=memory_budget))
    return model.token_logprobs(stored_question(decoder, question), [sample.completion_token_ids for sample in samples])


def assert_close(ours, theirs, tolerance=1e-5):
    np.testing.assert_allclose(np.concatenate(ours), np.concatenate(theirs), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("family", FAMILIES)
def test_logprobs_are_those_of_transformers(family):
    lm = make_lm(family)
    decoder = make_decoder(lm)
    samples = sampled(decoder)
    prompt_ids = lm.tokenize(decoder.prompt_for(QUESTION))
    theirs = [logprobs_of_transformers(lm, prompt_ids, sample.completion_token_ids) for sample in samples]
    assert_close(read(decoder, samples), theirs)


@pytest.mark.parametrize("family", FAMILIES)
def test_logprobs_of_the_last_layers_samples_are_the_stored_ones(family):
    decoder = make_decoder(make_lm(family))
    samples = sampled(decoder, layers=[NUM_LAYERS], num_samples=20)
    assert_close(read(decoder, samples), [sample.token_logprobs for sample in samples])


@pytest.mark.parametrize("memory_budget", [1, 30_000, None])
@pytest.mark.parametrize("scratch_bytes", [1, 100_000, footprint.scratch_bytes("cpu")])
def test_logprobs_do_not_depend_on_batches(monkeypatch, memory_budget, scratch_bytes):
    decoder = make_decoder(make_lm())
    samples = sampled(decoder, num_samples=10)
    whole = read(decoder, samples)
    monkeypatch.setattr(blocks, "scratch_bytes", lambda device_type: scratch_bytes)
    assert_close(read(decoder, samples, memory_budget), whole)


def test_an_answer_is_as_probable_alone_as_among_others():
    decoder = make_decoder(make_lm())
    samples = sampled(decoder)
    alone = [read(decoder, [sample])[0] for sample in samples]
    assert_close(alone, read(decoder, samples))


def test_each_prefix_is_run_once(monkeypatch):
    tries = []

    class Counted(PromptTree):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            tries.append(self)

    monkeypatch.setattr(likelihood, "PromptTree", Counted)
    decoder = make_decoder(make_lm())
    samples = sampled(decoder)
    read(decoder, samples)
    completions = [sample.completion_token_ids for sample in samples]
    prefixes = {completion[:length] for completion in completions for length in range(1, len(completion))}
    assert [tree.blocks_run for tree in tries] == [NUM_LAYERS * len(prefixes)]


def test_groups_count_the_nodes_that_they_need():
    completions = [(1, 2, 3), (1, 2, 4), (5, 6), (7,)]
    # The nodes are (1,), (1, 2) and (5,); last tokens need none.
    assert list(plausibility.in_groups(completions, 3)) == [(completions, 3)]
    split = [(completions[:2], 2), (completions[2:], 1)]
    assert list(plausibility.in_groups(completions, 2)) == list(plausibility.in_groups(completions, 1)) == split


def test_mean_is_over_the_tokens_of_each_answer():
    decoder = make_decoder(make_lm())
    stored, completions = stored_question(decoder, QUESTION), [(5, 6, 7), (8,), (5, 6, 7)]
    model = WholeModel(decoder.parts)
    by_token = model.token_logprobs(stored, completions)
    assert [len(each) for each in by_token] == [3, 1, 3]
    np.testing.assert_allclose(model.mean_logprobs(stored, completions), [each.mean() for each in by_token])


@pytest.mark.parametrize("completion", [(), (5, 10_000), (-1,)])
def test_tokens_that_the_model_lacks_are_an_error(completion):
    decoder = make_decoder(make_lm())
    with pytest.raises(SettingsError, match="token ids from 0 to 259"):
        WholeModel(decoder.parts).token_logprobs(stored_question(decoder, QUESTION), [completion])


def test_an_answer_that_is_too_long_is_an_error():
    decoder = make_decoder(make_lm())
    with pytest.raises(ContextTooLongError, match="an answer of 600"):
        WholeModel(decoder.parts).token_logprobs(stored_question(decoder, QUESTION), [(5,) * 600])


# A run's plausibility.


class FakeLikelihood:
    """A fake sample has the tokens 7 and its number: of number 3, the mean is -3."""

    def mean_logprobs(self, stored, completions):
        return np.array([-float(completion[1]) for completion in completions])


@pytest.fixture
def measured(finished_copy):
    measure_plausibility(finished_copy, FakeLikelihood())
    return finished_copy


def test_plausibility_is_stored_by_sample(measured):
    values = read_plausibility(measured)
    assert values.shape == (2, 4, 6)
    np.testing.assert_array_equal(values, np.broadcast_to(-np.arange(6.0), (2, 4, 6)))


def test_plausibility_that_was_measured_is_what_is_read_back(finished_copy):
    values = measure_plausibility(finished_copy, FakeLikelihood())
    np.testing.assert_array_equal(read_plausibility(finished_copy), values)


def test_plausibility_of_one_question_is_its_row(measured):
    np.testing.assert_array_equal(read_plausibility(measured, "colour"), read_plausibility(measured)[1:])


def test_plausibility_reports_each_question(finished_copy):
    done: list[int] = []
    measure_plausibility(finished_copy, FakeLikelihood(), done.append)
    assert done == [1, 2]


def test_plausibility_of_other_weights_is_not_read(measured):
    manifest = measured.manifest()
    settings = replace(manifest.settings, model_revision="2")
    measured.write_manifest(replace(manifest, settings=settings))
    assert read_plausibility(measured) is None


def test_plausibility_of_a_run_that_went_on_is_not_read(tmp_path):
    sitting = Sitting(tmp_path / "run")
    sitting.stop_after(5)
    values = measure_plausibility(sitting.folder, FakeLikelihood())
    assert np.isnan(values).any()
    np.testing.assert_array_equal(read_plausibility(sitting.folder), values)
    Sitting(tmp_path / "run").finish()
    assert read_plausibility(sitting.folder) is None


@pytest.mark.parametrize("value", [0.5, np.nan, -np.inf])
def test_what_is_no_log_probability_is_not_read(measured, value):
    keys = sorted(sample_keys(measured))
    stamp = plausibility_stamp(measured.manifest())
    write_derived(measured, "plausibility", keys, stamp, mean_logprob=[value] * len(keys))
    assert read_plausibility(measured) is None


def test_a_compact_copy_keeps_plausibility(measured, tmp_path):
    copy = write_compact_copy(measured, tmp_path / "compact")
    np.testing.assert_array_equal(read_plausibility(copy), read_plausibility(measured))


@pytest.mark.model
@pytest.mark.slow
def test_logprobs_on_smollm2(smollm2):
    question = Question("p", "Name a planet in the solar system.", ("Mars",))
    decoder = TrieDecoder(EngineParts(smollm2, load_exit_head("linear", smollm2), load_template()))
    samples = sampled(decoder, (18, 24, 30), 4, question)
    ours = read(decoder, samples, question=question)
    prompt_ids = smollm2.tokenize(decoder.prompt_for(question))
    theirs = [logprobs_of_transformers(smollm2, prompt_ids, sample.completion_token_ids) for sample in samples]
    assert_close(ours, theirs, 1e-4)
    last = [index for index, sample in enumerate(samples) if sample.exit_layer == 30]
    assert_close([ours[index] for index in last], [samples[index].token_logprobs for index in last], 1e-4)
