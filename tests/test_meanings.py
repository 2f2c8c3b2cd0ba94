"""One answer followed through the layers; small enough to link by hand."""

from hypothesis import given
from hypothesis import strategies as st

from hcl_core.runs.answers import CountedAnswer, LayerAnswers
from hcl_core.runs.meanings import follow_meanings


def answer(text, count=1, cluster_id=None, outcome=None, confidence=0.5):
    outcome = outcome or ("incorrect" if cluster_id is None else "correct")
    return CountedAnswer(text, outcome, "a rule", count, cluster_id, confidence)


def layer(exit_layer, *answers):
    return LayerAnswers(exit_layer, answers)


def lives(layers):
    return {
        meaning.text: {at: group.count for at, group in meaning.groups.items()} for meaning in follow_meanings(layers)
    }


def test_a_text_is_one_meaning_in_every_layer_whatever_its_cluster_is_called():
    layers = [
        layer(1, answer("Mars", 2, 1), answer("Venus", 1, 0)),
        layer(2, answer("Venus", 3, 1), answer("Mars", 1, 0)),
    ]
    assert lives(layers) == {"Venus": {1: 1, 2: 3}, "Mars": {1: 2, 2: 1}}


def test_spellings_of_one_cluster_are_one_meaning_and_link_through_either():
    layers = [
        layer(1, answer("The planet Mars", 2, 0)),
        layer(2, answer("Mars", 5, 0), answer("The planet Mars", 1, 0)),
        layer(3, answer("Mars", 4, 0)),
    ]
    assert lives(layers) == {"Mars": {1: 2, 2: 6, 3: 4}}


def test_wrong_answers_are_followed_by_their_words_whatever_the_case():
    assert lives([layer(1, answer("PLUTO", 2)), layer(2, answer("Pluto"), answer("pluto"))]) == {"Pluto": {1: 2, 2: 2}}


def test_the_same_words_judged_otherwise_are_another_meaning():
    layers = [layer(1, answer("Mars", 1, outcome="incorrect")), layer(2, answer("Mars", 1, 0))]
    assert len(follow_meanings(layers)) == 2


def test_two_clusters_of_one_layer_are_never_one_meaning():
    # Layer 2 holds "a" and "b" for one; layer 1 tells them apart: the one that shares more goes on.
    layers = [layer(1, answer("a", 1, 0), answer("b", 3, 1)), layer(2, answer("a", 4, 0), answer("b", 4, 0))]
    together, alone = follow_meanings(layers)
    assert {at: group.text for at, group in together.groups.items()} == {1: "b", 2: "a"}
    assert {at: group.text for at, group in alone.groups.items()} == {1: "a"}


def test_a_group_has_the_mean_confidence_of_its_samples():
    (meaning,) = follow_meanings(
        [layer(1, answer("Mars", 3, 0, confidence=0.4), answer("Mars!", 1, 0, confidence=0.8))]
    )
    assert meaning.groups[1].confidence == 0.5


counted = st.builds(answer, st.sampled_from("abcdef"), st.integers(1, 5), st.one_of(st.none(), st.integers(0, 3)))


@given(st.lists(st.lists(counted, max_size=6, unique_by=lambda each: each.text), min_size=1, max_size=5))
def test_every_sample_is_in_one_meaning_and_each_has_one_group_a_layer(layers):
    numbered = [layer(number, *answers) for number, answers in enumerate(layers, 1)]
    meanings = follow_meanings(numbered)
    for each in numbered:
        groups = [meaning.groups[each.exit_layer] for meaning in meanings if each.exit_layer in meaning.groups]
        assert sorted(a.text for group in groups for a in group.answers) == sorted(a.text for a in each.answers)
        # Of one cluster, or of one text: what the layer holds for one stays one.
        clusters = [{a.cluster_id for a in group.answers} for group in groups]
        assert all(len(cluster) == 1 for cluster in clusters)
    assert [meaning.count for meaning in meanings] == sorted((meaning.count for meaning in meanings), reverse=True)
