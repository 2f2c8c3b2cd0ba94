"""A run as events: in order, stopped anywhere and gone on with, live and from its folder, always the same."""

import itertools
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import FakeDecoder, FakeEmbedder, fake_sample, make_decoder, make_lm
from fake_runs import COLOUR, LAYERS, PLANET, QUESTIONS, Sitting, sample_keys, write_derived
from hypothesis import given
from hypothesis import strategies as st

from hcl_core.errors import ContextTooLongError, NoNetworkError, RunFolderError, SettingsError
from hcl_core.ideas.embedding import EmbeddingIdeas
from hcl_core.judges.alias import AliasJudge
from hcl_core.pipeline import Decoding, Finished, Started, WaveDone, prepared, runner, wave_bounds
from hcl_core.pipeline.scorer import Embeddings, Scorer
from hcl_core.pipeline.stored import read_outcomes, rescore
from hcl_core.pipeline.waves import questions_at_once
from hcl_core.records import Question, SamplingSettings, Weights
from hcl_core.runs.compact import write_compact_copy
from hcl_core.runs.folder import RunFolder
from hcl_core.scores.metrics import INCORRECT, MISSING, NOT_ATTEMPTED, score_layers


@pytest.fixture
def sitting(tmp_path):
    return Sitting(tmp_path / "run")


def samples_by_key(folder):
    samples = folder.samples()
    assert len({sample.key for sample in samples}) == len(samples)
    return {sample.key: sample for sample in samples}


def assert_same_table(table, expected):
    assert table.exit_layers == expected.exit_layers
    np.testing.assert_array_equal(table.outcomes, expected.outcomes)
    np.testing.assert_array_equal(table.confidences, expected.confidences)


# Waves.


@pytest.mark.parametrize(
    ("num_samples", "first_wave", "bounds"),
    [
        (50, None, [(0, 50)]),
        (50, 8, [(0, 8), (8, 24), (24, 50)]),
        (24, 8, [(0, 8), (8, 24)]),
        (25, 8, [(0, 8), (8, 24), (24, 25)]),
        (5, 8, [(0, 5)]),
        (4, 1, [(0, 1), (1, 3), (3, 4)]),
        (1, None, [(0, 1)]),
    ],
)
def test_wave_bounds_double(num_samples, first_wave, bounds):
    assert wave_bounds(num_samples, first_wave) == bounds


def test_waves_can_grow_faster():
    assert wave_bounds(50, 2, growth=16) == [(0, 2), (2, 34), (34, 50)]


@given(st.integers(1, 500), st.one_of(st.none(), st.integers(1, 600)), st.integers(1, 20))
def test_wave_bounds_cover_every_sample_once(num_samples, first_wave, growth):
    covered = [sample for start, stop in wave_bounds(num_samples, first_wave, growth) for sample in range(start, stop)]
    assert covered == list(range(num_samples))


# Events.


def test_events_come_in_order(sitting):
    # Six samples from a first wave of 2: waves of 2 and 4, two steps each, for two questions.
    kinds = [type(event) for event in sitting.finish()]
    assert kinds == [Started, *[Decoding, WaveDone] * 4, Finished]


def test_events_name_their_question(sitting):
    asked = [event.question.id for event in sitting.finish() if isinstance(event, WaveDone)]
    assert asked == ["planet", "planet", "colour", "colour"]


def test_events_count_what_is_done(sitting):
    # A wave of 2 on 4 layers is 8 samples, half of them done after its first step; a wave of 4 is 16.
    events = sitting.finish()[1:-1]
    assert [event.num_done for event in events] == [4, 8, 16, 24, 28, 32, 40, 48]
    assert {event.num_wanted for event in events} == {48}


def test_started_counts_nothing_in_a_new_run(sitting):
    started = sitting.finish()[0]
    assert (started.num_present, started.num_wanted) == (0, 48)


def test_wave_done_brings_its_samples(sitting):
    first = next(event for event in sitting.events() if isinstance(event, WaveDone))
    assert set(first.samples) == {fake_sample(PLANET, layer, idx) for layer in LAYERS for idx in (0, 1)}


def test_wave_done_comes_after_its_samples_are_stored(sitting):
    for event in sitting.events():
        if isinstance(event, WaveDone):
            assert {sample.key for sample in event.samples} <= sample_keys(sitting.folder)


def test_wave_done_table_has_the_wave_and_no_more(sitting):
    first = next(event for event in sitting.events() if isinstance(event, WaveDone))
    came = first.table.outcomes != MISSING
    assert came[0, :, :2].all()
    assert came.sum() == 8


def test_started_comes_when_the_run_is_on_disk(sitting):
    next(sitting.events())
    assert sitting.folder.manifest().run_id == sitting.prepared().manifest.run_id


def test_one_wave_is_one_part(sitting):
    sitting.finish()
    assert len(list((sitting.folder.path / "samples").iterdir())) == 4


def test_without_a_first_wave_each_question_is_one_wave(tmp_path):
    sitting = Sitting(tmp_path / "run", first_wave=None)
    sitting.finish()
    everything = [(layer, idx) for layer in LAYERS for idx in range(6)]
    assert sitting.decoder.waves == [("planet", everything), ("colour", everything)]


def test_finished_run_is_marked_complete(sitting):
    finished = sitting.finish()[-1]
    assert finished.manifest.finished_at is not None
    assert sitting.folder.manifest() == finished.manifest


def test_stopped_run_is_not_marked_complete(sitting):
    sitting.stop_after(8)
    assert sitting.folder.manifest().finished_at is None


def test_finished_run_has_its_derived_files(sitting):
    sitting.finish()
    derived = {path.name for path in sitting.folder.path.glob("*.parquet")}
    assert derived == {"verdicts.parquet", "clusters.parquet", "layer_scores.parquet", "tokens.parquet"}


def test_a_compact_copy_keeps_the_texts_of_tokens(sitting, tmp_path):
    sitting.finish()
    assert write_compact_copy(sitting.folder, tmp_path / "copy").token_texts() == sitting.folder.token_texts()


def test_the_texts_of_a_stopped_runs_tokens_are_kept(sitting):
    sitting.stop_after(8)
    tokens = {token for sample in sitting.folder.samples() for token in sample.completion_token_ids}
    assert tokens and sitting.folder.token_texts() == {token: f"<{token}>" for token in tokens}


def test_stored_prompt_is_what_the_decoder_was_sent(sitting):
    sitting.finish()
    assert [each.prompt for each in sitting.folder.questions()] == [sitting.decoder.prompt_for(q) for q in QUESTIONS]


def test_decode_seconds_are_those_of_the_decoders_steps(sitting):
    # The clock ticks once a look, so each step of the decoder takes one second.
    events = list(sitting.events(clock=itertools.count().__next__))
    num_steps = sum(isinstance(event, Decoding | WaveDone) for event in events)
    assert sitting.folder.manifest().decode_seconds == num_steps


def test_what_the_caller_does_between_two_steps_is_no_decoding(sitting):
    now = [0.0]
    for _ in sitting.events(clock=lambda: now[0]):
        now[0] += 100  # a page draws
    assert sitting.folder.manifest().decode_seconds == 0


def test_decode_seconds_add_up_over_sittings(tmp_path):
    first, second = Sitting(tmp_path / "run"), Sitting(tmp_path / "run")
    events = first.events(clock=itertools.count().__next__)
    list(itertools.islice(events, 4))  # a wave, and half of the next
    events.close()
    list(second.events(clock=itertools.count().__next__))
    assert second.folder.manifest().decode_seconds == 8


# Stopping and going on.

NUM_EVENTS = 10  # of a whole run in one sitting


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    sitting = Sitting(tmp_path_factory.mktemp("whole") / "run")
    assert len(sitting.finish()) == NUM_EVENTS
    return sitting


@pytest.mark.parametrize("num_events", range(1, NUM_EVENTS + 1))
def test_resumed_run_has_the_same_samples(tmp_path, uninterrupted, num_events):
    Sitting(tmp_path / "run").stop_after(num_events)
    Sitting(tmp_path / "run").finish()
    assert samples_by_key(RunFolder(tmp_path / "run")) == samples_by_key(uninterrupted.folder)


@pytest.mark.parametrize("num_events", range(1, NUM_EVENTS + 1))
def test_resumed_run_has_the_same_table(tmp_path, uninterrupted, num_events):
    Sitting(tmp_path / "run").stop_after(num_events)
    table = Sitting(tmp_path / "run").finish()[-1].table
    assert_same_table(table, uninterrupted.scorer.table)


def test_run_stopped_after_every_event_ends_all_the_same(tmp_path, uninterrupted):
    # Each sitting stores one wave and is stopped in the middle of the next.
    for _ in range(4):
        Sitting(tmp_path / "run").stop_after(4)
    Sitting(tmp_path / "run").finish()
    assert samples_by_key(RunFolder(tmp_path / "run")) == samples_by_key(uninterrupted.folder)


def test_run_stopped_in_a_wave_drops_that_wave(sitting):
    seen = sitting.stop_after(4)
    assert [type(event) for event in seen] == [Started, Decoding, WaveDone, Decoding]
    assert sample_keys(sitting.folder) == {fake_sample(PLANET, layer, idx).key for layer in LAYERS for idx in (0, 1)}


class CrashingDecoder(FakeDecoder):
    """Dies at its third step, in the middle of the second wave."""

    def decode(self, stored, settings, waves):
        for number, progress in enumerate(super().decode(stored, settings, waves), 1):
            if number == 3:
                raise MemoryError
            yield progress


def test_run_that_crashed_in_a_wave_drops_that_wave(tmp_path):
    sitting = Sitting(tmp_path / "run", decoder=CrashingDecoder())
    with pytest.raises(MemoryError):
        sitting.finish()
    assert len(sample_keys(sitting.folder)) == 8


def test_run_that_crashed_goes_on(tmp_path, uninterrupted):
    with pytest.raises(MemoryError):
        Sitting(tmp_path / "run", decoder=CrashingDecoder()).finish()
    Sitting(tmp_path / "run").finish()
    assert samples_by_key(RunFolder(tmp_path / "run")) == samples_by_key(uninterrupted.folder)


def test_resumed_run_counts_what_was_there(tmp_path):
    Sitting(tmp_path / "run").stop_after(4)
    started = Sitting(tmp_path / "run").finish()[0]
    assert (started.num_present, started.num_wanted) == (8, 48)


def test_resumed_run_decodes_only_what_is_missing(tmp_path):
    Sitting(tmp_path / "run").stop_after(6)  # the first question is whole
    second = Sitting(tmp_path / "run")
    second.finish()
    assert {question_id for question_id, _ in second.decoder.waves} == {"colour"}


def test_resumed_run_may_have_other_waves(tmp_path, uninterrupted):
    Sitting(tmp_path / "run", first_wave=1).stop_after(4)
    Sitting(tmp_path / "run", first_wave=None).finish()
    assert samples_by_key(RunFolder(tmp_path / "run")) == samples_by_key(uninterrupted.folder)


def test_finished_run_decodes_nothing_again(sitting, tmp_path):
    sitting.finish()
    again = Sitting(tmp_path / "run")
    assert [type(event) for event in again.finish()] == [Started, Finished]
    assert again.decoder.waves == []


def test_finished_run_given_again_has_the_same_table(sitting, tmp_path):
    sitting.finish()
    assert_same_table(Sitting(tmp_path / "run").finish()[-1].table, sitting.scorer.table)


def test_finished_run_keeps_its_manifest(sitting, tmp_path, monkeypatch):
    manifest = sitting.finish()[-1].manifest
    for module in (prepared, runner):
        monkeypatch.setattr(module, "now", lambda: "2100-01-01T00:00:00+00:00")
    assert Sitting(tmp_path / "run").finish()[-1].manifest == manifest


def test_second_run_in_the_same_folder_is_refused(sitting, tmp_path):
    events = sitting.events()
    next(events)
    with pytest.raises(RunFolderError, match="another process is writing"):
        next(Sitting(tmp_path / "run").events())


def test_another_run_in_the_same_folder_is_refused(sitting, tmp_path):
    sitting.finish()
    with pytest.raises(RunFolderError, match="holds another run"):
        Sitting(tmp_path / "run", num_samples=7).finish()


def test_refused_run_does_not_touch_the_folder(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="not empty"):
        Sitting(tmp_path).finish()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_prompt_that_cannot_be_made_leaves_no_folder(tmp_path):
    class NoChat(FakeDecoder):
        def prompt_for(self, question):
            raise SettingsError("no chat template")

    with pytest.raises(SettingsError):
        Sitting(tmp_path / "run", decoder=NoChat()).finish()
    assert not (tmp_path / "run").exists()


def test_question_that_cannot_be_decoded_leaves_the_ones_before(tmp_path):
    class ShortWindow(FakeDecoder):
        def decode(self, stored, settings, waves):
            if stored.question is COLOUR:
                raise ContextTooLongError("too long")
            return super().decode(stored, settings, waves)

    sitting = Sitting(tmp_path / "run", decoder=ShortWindow())
    with pytest.raises(ContextTooLongError):
        sitting.finish()
    assert {key.question_id for key in sample_keys(sitting.folder)} == {"planet"}


# Questions at once.

FIVE = tuple(Question(f"q{number}", f"Name a planet, please, {number}.", ("Mars", "Venus")) for number in range(5))


def five_at_once(path, lm, at_once, first_wave=2):
    sitting = Sitting(path, FIVE, decoder=make_decoder(lm), sampling=SAMPLING, first_wave=first_wave)
    return sitting, sitting.events(at_once=at_once)


@pytest.mark.parametrize("first_wave", [None, 2])
@pytest.mark.parametrize("at_once", [2, 3, 5, 24])
def test_questions_at_once_are_stored_as_one_after_another(tmp_path, at_once, first_wave):
    lm, stored = make_lm(), []
    for number in (1, at_once):
        sitting, events = five_at_once(tmp_path / str(number), lm, number, first_wave)
        waves = [(event.question.id, event.samples) for event in events if isinstance(event, WaveDone)]
        # Samples of a wave end in the order of their steps, whoever else is there.
        stored.append((waves, sitting.folder.samples(), sitting.scorer.table.outcomes.tolist()))
    assert stored[0] == stored[1]


def test_questions_at_once_count_each_sample_as_it_ends(tmp_path):
    _, events = five_at_once(tmp_path / "run", make_lm(), 3)
    counts = [event.num_done for event in events if isinstance(event, Decoding | WaveDone)]
    assert counts == sorted(counts) and counts[-1] == 5 * 6 * len(LAYERS)


@pytest.mark.parametrize("num_events", [1, 3, 9, 20])
def test_stopped_among_questions_at_once_and_resumed_is_the_same_run(tmp_path, num_events):
    lm = make_lm()
    whole, events = five_at_once(tmp_path / "whole", lm, 1)
    list(events)
    _, events = five_at_once(tmp_path / "parts", lm, 3)
    for _ in zip(range(num_events), events, strict=False):
        pass
    events.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "decoding"]
    second, events = five_at_once(tmp_path / "parts", lm, 3)
    list(events)
    assert samples_by_key(second.folder) == samples_by_key(whole.folder)
    assert second.scorer.table.outcomes.tolist() == whole.scorer.table.outcomes.tolist()


def test_fewer_than_one_question_at_once_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="at least 1 question"):
        next(five_at_once(tmp_path / "run", make_lm(), 0)[1])
    assert not (tmp_path / "run").exists()


def test_more_questions_are_decoded_at_once_where_their_samples_are_few():
    def at_once(layers, samples):
        manifest: Any = SimpleNamespace(num_total_samples=100 * layers * samples, num_questions=100)
        return questions_at_once(manifest)

    assert at_once(30, 50) < at_once(15, 50) < at_once(6, 50) <= at_once(1, 1) == 24
    assert at_once(1_000, 1_000) == 1


# Scores, live and stored.


def test_outcomes_are_the_judges_and_the_clusters(sitting):
    table = sitting.finish()[-1].table
    # Samples 0 to 5 of layer 4 answer Mars, Venus, Mercury, Mars, Venus, Mercury; M and V are one meaning each.
    assert table.outcomes[0, 0].tolist() == [NOT_ATTEMPTED] * 6
    assert table.outcomes[0, 1].tolist() == [INCORRECT] * 6
    assert table.outcomes[0, 2].tolist() == [0, INCORRECT, 0, INCORRECT, 1, INCORRECT]
    assert table.outcomes[0, 3].tolist() == [0, 1, 0, 0, 1, 0]


def test_confidences_are_the_samples(sitting):
    table = sitting.finish()[-1].table
    # Two tokens, of log-probability -0.5 and -0.25 times the layer.
    expected = np.exp([(-0.5 - 0.25 * layer) / 2 for layer in LAYERS])
    np.testing.assert_allclose(table.confidences[1, :, 3], expected, rtol=1e-6)


def test_scores_of_the_whole_run(sitting):
    scores = score_layers(sitting.finish()[-1].table, Weights(), "min_max")
    assert [score.hallucination_rate for score in scores] == [1, 1, 0.5, 0]
    # Planets: 2 clusters on layers 3 and 4. Colours: samples 0, 2, 4 of layer 3 are all Red, layer 4 has Blue as well.
    assert [score.creativity_raw for score in scores] == [0, 0, 1.5, 2]
    assert [score.hcb_score for score in scores] == [0, 0, 0.625, 1]


def test_samples_in_any_order_give_the_same_table(sitting, tmp_path):
    # Backwards, the first colour to come is Blue; in sample order it is Red that opens the first cluster.
    sitting.finish()
    backwards = Sitting(tmp_path / "other").scorer
    for sample in reversed(sitting.folder.samples()):
        backwards.add([sample])
    assert_same_table(backwards.table, sitting.scorer.table)


def test_read_outcomes_are_the_live_ones(sitting):
    sitting.finish()
    table = read_outcomes(sitting.folder)
    np.testing.assert_array_equal(table.outcomes, sitting.scorer.table.outcomes)
    np.testing.assert_allclose(table.confidences, sitting.scorer.table.confidences, rtol=1e-6)


def test_rescored_outcomes_are_the_live_ones(sitting):
    sitting.finish()
    rescored = rescore(sitting.folder, AliasJudge(), Embeddings(FakeEmbedder))
    assert_same_table(rescored.table, sitting.scorer.table)


@pytest.mark.parametrize("name", ["verdicts", "clusters", "layer_scores"])
def test_deleted_derived_file_is_made_again_the_same(sitting, name):
    sitting.finish()
    before = score_layers(sitting.scorer.table, Weights())
    (sitting.folder.path / f"{name}.parquet").unlink()
    rescore(sitting.folder, AliasJudge(), Embeddings(FakeEmbedder))
    after = score_layers(read_outcomes(sitting.folder), Weights())
    for score, expected in zip(after, before, strict=True):
        assert replace(score, confidence=0) == replace(expected, confidence=0)
        assert score.confidence == pytest.approx(expected.confidence)


@pytest.mark.parametrize("name", ["verdicts", "clusters"])
def test_outcomes_without_a_derived_file_are_none(sitting, name):
    sitting.finish()
    (sitting.folder.path / f"{name}.parquet").unlink()
    assert read_outcomes(sitting.folder) is None


def test_outcomes_with_clusters_of_an_older_scoring_are_none(sitting):
    sitting.finish()
    write_derived(sitting.folder, "clusters", [], sitting.folder.stamps()[1], cluster_id=[])
    assert read_outcomes(sitting.folder) is None


def test_outcomes_older_than_the_samples_are_none(tmp_path):
    first = Sitting(tmp_path / "run")
    first.stop_after(4)
    verdicts = (first.folder.path / "verdicts.parquet").read_bytes()
    Sitting(tmp_path / "run").stop_after(4)
    (first.folder.path / "verdicts.parquet").write_bytes(verdicts)  # as a crash would leave them
    assert read_outcomes(first.folder) is None


def test_stop_stores_the_verdicts_on_what_came(tmp_path):
    sitting = Sitting(tmp_path / "run")
    sitting.stop_after(8)
    np.testing.assert_array_equal(read_outcomes(sitting.folder).outcomes, sitting.scorer.table.outcomes)


def test_stopped_run_can_be_scored(tmp_path):
    sitting = Sitting(tmp_path / "run")
    sitting.stop_after(8)
    rescore(sitting.folder, AliasJudge(), Embeddings(FakeEmbedder))
    np.testing.assert_array_equal(read_outcomes(sitting.folder).outcomes, sitting.scorer.table.outcomes)


def test_run_without_samples_can_be_scored(sitting):
    sitting.stop_after(1)
    rescore(sitting.folder, AliasJudge(), Embeddings(FakeEmbedder))
    assert (read_outcomes(sitting.folder).outcomes == MISSING).all()


def test_sample_of_no_question_is_refused_by_name(sitting):
    sitting.finish()
    stranger = fake_sample(Question("stranger", "Who?", ("Me",)), 3, 0)
    sitting.folder.append_samples([stranger])
    with pytest.raises(RunFolderError):
        rescore(sitting.folder, AliasJudge(), Embeddings(FakeEmbedder))


# The embedder.


def test_embedder_is_not_loaded_when_nothing_is_correct(tmp_path):
    sitting = Sitting(tmp_path / "run", layers=(1, 2))
    sitting.finish()
    assert sitting.loads == []


def test_embedder_is_loaded_once(sitting):
    sitting.finish()
    assert sitting.loads == ["embedder"]


def test_embedder_sees_each_correct_text_once(sitting):
    sitting.finish()
    assert sorted(sitting.embedder.embedded) == ["Blue", "Mars", "Mercury", "Red", "Venus"]


def test_missing_embedder_leaves_what_was_decoded(tmp_path):
    def load():
        raise NoNetworkError("the embedder is not on this machine")

    sitting = Sitting(tmp_path / "run")
    sitting.scorer = Scorer(QUESTIONS, LAYERS, 6, AliasJudge(), EmbeddingIdeas(Embeddings(load).of))
    with pytest.raises(NoNetworkError):
        sitting.finish()
    assert len(sample_keys(sitting.folder)) == 8


# The engine itself behind the same pipeline.


@pytest.fixture(scope="module")
def lm():
    return make_lm(initializer_range=0.2)


SAMPLING = SamplingSettings(temperature=1.2, top_p=0.95, max_new_tokens=6, seed=5)


def test_engine_resumed_in_a_wave_has_the_same_samples(tmp_path, lm):
    def sitting(name):
        return Sitting(tmp_path / name, decoder=make_decoder(lm), sampling=SAMPLING)

    whole, first = sitting("whole"), sitting("parts")
    whole.finish()
    events = first.events()
    next(event for event in events if isinstance(event, WaveDone))
    assert isinstance(next(events), Decoding)
    events.close()
    sitting("parts").finish()
    expected, resumed = samples_by_key(whole.folder), samples_by_key(first.folder)
    assert resumed.keys() == expected.keys()
    for key, sample in resumed.items():
        assert sample.completion_token_ids == expected[key].completion_token_ids
        np.testing.assert_allclose(sample.token_logprobs, expected[key].token_logprobs, atol=1e-5)


def test_engine_live_outcomes_are_the_stored_ones(tmp_path, lm):
    sitting = Sitting(tmp_path / "run", decoder=make_decoder(lm), sampling=SAMPLING)
    sitting.finish()
    table = read_outcomes(sitting.folder)
    np.testing.assert_array_equal(table.outcomes, sitting.scorer.table.outcomes)
    np.testing.assert_allclose(table.confidences, sitting.scorer.table.confidences, rtol=1e-5)
