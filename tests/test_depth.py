"""What is said of each layer in turn: by the player, and in the animated picture. Small enough to count by hand."""

import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from test_intervals import table_of
from test_runs import SETTINGS, make_manifest
from test_views import HOSTILE, answer

from app import library
from app.depth import layer_steps, news_of
from app.depth_file import depth_route
from app.language import Translator
from app.outcomes import ScoredOutcomes
from app.question_view import QuestionAnswers, QuestionView
from app.views.depth import depth_player, steps_in_words
from app.views.depth_svg import animated_svg
from hcl_core.records import DEFAULT_SCALING, Question, StoredQuestion, Weights
from hcl_core.runs.answers import LayerAnswers
from hcl_core.runs.meanings import follow_meanings

WORDS = Translator("en")
SHIPPED = "0be6b1cadd189061"
DRAWN = {
    "circle", "defs", "desc", "g", "path", "pattern", "polygon", "polyline", "rect", "style", "svg", "text", "title",
}  # fmt: skip
RIGHT, WRONG, NONE, IDEA = "correct", "incorrect", "not_attempted", "unjudged"


def view_of(*layers, text="Name a planet.", is_open=False):
    """A question whose layers have the answers ``(text, outcome, count)``, the most frequent first."""
    counted, outcomes = [], []
    for number, answers in enumerate(layers, 1):
        ideas = {name: at for at, (name, outcome, _) in enumerate(answers) if outcome in (RIGHT, IDEA)}
        counted.append(
            LayerAnswers(
                number, tuple(answer(name, outcome, count, ideas.get(name)) for name, outcome, count in answers)
            )
        )
        codes = {WRONG: -1, NONE: -2}
        outcomes.append([codes.get(outcome, ideas.get(name)) for name, outcome, count in answers for _ in range(count)])
    most = max(map(len, outcomes))
    table = table_of([[row + [-3] * (most - len(row)) for row in outcomes]])
    table = replace(table, is_open=is_open, plausibilities=np.full(table.outcomes.shape, np.log(0.4), np.float32))
    question = Question("planet", text, () if is_open else ("Mars",))
    settings = replace(SETTINGS, num_samples=most, exit_layers=tuple(range(1, len(layers) + 1)))
    manifest = make_manifest(settings, [question])
    stored = StoredQuestion(question, text)
    answers = QuestionAnswers(ScoredOutcomes.of(table), tuple(counted), (), {}, {}, True)
    return QuestionView(manifest, stored, lambda: answers)


def scored(view):
    return view.outcomes.scored(Weights(), DEFAULT_SCALING)


def steps_of(view):
    return layer_steps(view.layers, follow_meanings(view.layers), scored(view))


def changes(view):
    return [news.change for news in news_of(steps_of(view))]


def said(view, words=WORDS):
    """As it is said, but with usual spaces between a sign and its answer."""
    steps = steps_in_words(view, scored(view), follow_meanings(view.layers), words)
    return json.loads(json.dumps(steps, ensure_ascii=False).replace("\u00a0", " "))


def news(view):
    return [step["news"] for step in said(view)]


def test_the_most_common_answer_of_each_layer_stands_with_its_share():
    first, second = said(view_of([("Earth", WRONG, 3), ("Mars", RIGHT, 1)], [("Mars", RIGHT, 4)]))
    assert [(each["text"], each["sign"], each["outcome"]) for each in first["leaders"]] == [("Earth", "✕", WRONG)]
    assert (first["share"], first["portion"], first["name"]) == ("3 of 4 answers", 0.75, "Layer 1 of 4")
    assert second["leaders"][0]["sign"] == "✓" and second["share"] == "4 of 4 answers"


def test_the_share_of_right_answers_and_its_interval_are_those_of_the_curves():
    view = view_of([("Earth", WRONG, 3), ("Mars", RIGHT, 1)], [("Mars", RIGHT, 4)])
    for step, score, layer in zip(steps_of(view), scored(view).scores, scored(view).uncertainty.layers, strict=True):
        assert step.score == 1 - score.hallucination_rate
        assert step.interval == (1 - layer.hallucination_ci[1], 1 - layer.hallucination_ci[0])
    low, high = (WORDS.percent(end) for end in steps_of(view)[0].interval)
    assert said(view)[0]["sure"] == f"25% of this layer’s answers are right (95% interval: {low} to {high})"


def test_a_new_answer_names_the_one_before_it():
    view = view_of([("Earth", WRONG, 4)], [("Mars", RIGHT, 3), ("Earth", WRONG, 1)])
    assert news(view) == [
        ["The first of these layers"],
        ["A right answer leads for the first time", "First right answers: 3 of 4", "Was: ✕ Earth"],
    ]


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ((2, 3), "Same answer, more often: 50% → 75%"),
        ((3, 2), "Same answer, less often: 75% → 50%"),
        ((3, 3), "Same answer, as often: 75%"),
    ],
)
def test_the_same_answer_is_compared_with_the_layer_before(counts, sentence):
    layers = [[("Earth", WRONG, count), *((f"x{n}", WRONG, 1) for n in range(4 - count))] for count in counts]
    assert news(view_of(*layers))[1] == [sentence]


def test_a_difference_that_the_percentages_do_not_show_is_not_claimed():
    layers = [[("Earth", WRONG, count), ("x", WRONG, 1000 - count)] for count in (901, 902)]
    assert news(view_of(*layers))[1] == ["Same answer, as often: 90%"]


def test_one_idea_in_other_words_is_counted_as_the_same_and_its_wordings_are():
    view = view_of([("Earth", WRONG, 1)], [("Earth", WRONG, 1)])
    cluster = [
        LayerAnswers(1, (answer("The planet Mars", RIGHT, 3, 0), answer("Mars", RIGHT, 1, 0))),
        LayerAnswers(2, (answer("Mars", RIGHT, 4, 0),)),
    ]
    first, second = said(view.changed(layers=tuple(cluster)))
    assert second["news"] == ["Counted as the same answer, as often: 100%"]
    assert (first["more"], second["more"]) == ("in 2 wordings, counted as one answer", "")


def test_the_first_right_answers_are_said_where_they_come_and_once():
    view = view_of(
        [("Earth", WRONG, 4)],
        [("Earth", WRONG, 3), ("Mars", RIGHT, 1)],
        [("Mars", RIGHT, 3), ("Earth", WRONG, 1)],
        [("Earth", WRONG, 4)],
        [("Mars", RIGHT, 4)],
    )
    assert [(each.is_first_right, each.is_first_right_lead) for each in news_of(steps_of(view))] == [
        (False, False), (True, False), (False, True), (False, False), (False, False),
    ]  # fmt: skip
    assert news(view)[1] == ["First right answer: 1 of 4", "Same answer, less often: 100% → 75%"]


def test_a_question_that_is_right_from_its_first_layer_on_has_no_first_time():
    assert news(view_of([("Mars", RIGHT, 4)], [("Mars", RIGHT, 4)])) == [
        ["The first of these layers"], ["Same answer, as often: 100%"],
    ]  # fmt: skip


def test_nothing_right_is_said_as_such():
    for step in said(view_of([("Earth", WRONG, 4)], [("Venus", WRONG, 4)])):
        assert step["sure"].startswith("0% of this layer’s answers are right")
        assert not any("right" in sentence for sentence in step["news"])


def test_answers_that_are_equally_common_all_stand_there_and_are_no_verdict_where_theirs_differ():
    view = view_of([("Mars", RIGHT, 2), ("Earth", WRONG, 2), ("x", WRONG, 1)], [("Mars", RIGHT, 4), ("x", WRONG, 1)])
    tied, alone = said(view)
    assert [(each["text"], each["outcome"]) for each in tied["leaders"]] == [("Mars", RIGHT), ("Earth", WRONG)]
    assert tied["share"] == "2 of 5 answers each" and tied["outcome"] == "mixed"
    assert alone["news"] == ["A right answer leads for the first time", "No longer as often: ✕ Earth"]


def test_a_tie_begins_with_the_answer_that_is_more_common_over_all_layers():
    view = view_of([("Ares", WRONG, 2), ("Zeus", WRONG, 2)], [("Zeus", WRONG, 3), ("Ares", WRONG, 1)])
    assert [each["text"] for each in said(view)[0]["leaders"]] == ["Zeus", "Ares"]


def test_an_answer_that_draws_level_is_named():
    assert changes(view_of([("a", WRONG, 4)], [("a", WRONG, 2), ("b", WRONG, 2)])) == ["first", "joined"]
    assert news(view_of([("a", WRONG, 4)], [("a", WRONG, 2), ("b", WRONG, 2)]))[1] == ["Now as often: ✕ b"]


def test_of_a_large_tie_three_are_named_and_the_others_counted():
    names = "abcde"
    (step,) = said(view_of([(name, WRONG, 2) for name in names]))
    assert len(step["leaders"]) == 3 and step["more"] == "and 2 more as often"
    after = said(view_of([(name, WRONG, 2) for name in names], [("f", WRONG, 10)]))[1]
    assert after["news"] == ["Was: ✕ a, ✕ b, ✕ c and 2 more"]


def test_where_no_answer_came_twice_none_is_called_the_most_common():
    apart = [("a", WRONG, 1), ("b", WRONG, 1), ("Mars", RIGHT, 1)]
    view = view_of([("a", WRONG, 3)], apart, apart, [("a", WRONG, 3)])
    assert changes(view) == ["first", "now_apart", "still_apart", "was_apart"]
    step = said(view)[1]
    assert [each["text"] for each in step["leaders"]] == ["No answer came twice"] and step["outcome"] == "mixed"
    assert step["share"] == "3 answers, all different" and step["more"] == "one of them: ✕ a"
    assert step["news"] == ["First right answer: 1 of 3", "Was: ✕ a"]


def test_a_layer_with_one_answer_has_a_most_common_one():
    (step,) = said(view_of([("Mars", RIGHT, 1)]))
    assert step["leaders"][0]["text"] == "Mars" and step["share"] == "1 of 1 answer" and step["outcome"] == RIGHT


def test_no_answer_has_a_sign_of_its_own():
    (step,) = said(view_of([("", NONE, 3), ("Mars", RIGHT, 1)]))
    assert step["leaders"] == [{"text": "(empty)", "sign": "–", "outcome": NONE, "judged": "no answer"}]


def test_an_open_question_is_neither_right_nor_wrong():
    view = view_of([("a wave", IDEA, 3), ("a mirror", IDEA, 1)], [("a mirror", IDEA, 4)], is_open=True)
    first, second = said(view)
    low, high = scored(view).uncertainty.layers[0].plausibility_ci
    assert first["leaders"][0]["sign"] == "•" and first["outcome"] == IDEA
    assert first["sure"] == (
        f"Plausibility of this layer’s answers: 0.40 (95% interval: {WORDS.number(low)} to {WORDS.number(high)})"
    )
    assert second["news"] == ["Was: • a wave"]
    assert not re.search(r"\b(right|wrong)\b", json.dumps([first, second]).replace("not judged", ""))


def test_a_plausibility_that_is_not_known_yet_is_left_out():
    view = view_of([("a wave", IDEA, 3)], is_open=True)
    table = replace(view.outcomes.table, plausibilities=np.full(view.outcomes.table.outcomes.shape, np.nan, np.float32))
    (step,) = said(view.changed(outcomes=ScoredOutcomes.of(table)))
    assert step["sure"] == "" and step["score"] is None
    assert ElementTree.fromstring(animated_svg(view.changed(outcomes=ScoredOutcomes.of(table)), scored(view), WORDS))


def test_a_run_under_way_counts_the_answers_that_have_come():
    steps = said(view_of([("Mars", RIGHT, 2)], [("Mars", RIGHT, 1)]))
    assert [step["share"] for step in steps] == ["2 of 2 answers", "1 of 1 answer"]
    assert said(view_of([("Mars", RIGHT, 2)]).changed(layers=())) == []


def test_what_is_read_out_has_verdicts_in_words():
    view = view_of([("Earth", WRONG, 4)], [("Mars", RIGHT, 4)])
    assert said(view)[1]["said"] == (
        "Layer 2 of 4: Mars (right). 4 of 4 answers. A right answer leads for the first time. "
        "First right answers: 4 of 4. Was: Earth (wrong)"
    )


def test_what_the_player_gets_has_an_address_only_where_the_run_is_stored():
    view = view_of([("Mars", RIGHT, 4)])
    player = depth_player(view, scored(view), follow_meanings(view.layers), WORDS, "r1", {"run": "r1", "layer": None})
    assert player["query"] == "run=r1" and player["file"] == "depth.svg?run=r1&question=planet"
    live = depth_player(view, scored(view), follow_meanings(view.layers), WORDS, "r1", None)
    assert live["query"] == live["file"] == "" and "NaN" not in json.dumps([player, live])


@pytest.mark.parametrize("text", [*HOSTILE, "a\ufffe\uffffb", "&lt;b&gt;]]>"], ids=range(len(HOSTILE) + 2))
def test_hostile_texts_stay_texts(text):
    view = view_of([(text, WRONG, 3), (f"{text}!", WRONG, 3)], [(text, WRONG, 5)], text=text)
    for step in said(view):
        assert all(len(each["text"]) < 100 for each in step["leaders"])
        assert not re.search(r"[\x00-\x1f\u202a-\u202e]", json.dumps(step, ensure_ascii=False))
    check_picture(animated_svg(view, scored(view), WORDS))


def check_picture(picture):
    """Well-formed, of harmless elements alone, with nothing from elsewhere, and small."""
    root = ElementTree.fromstring(picture)
    elements = {element.tag.removeprefix("{http://www.w3.org/2000/svg}") for element in root.iter()}
    assert elements <= DRAWN
    attributes = {name for element in root.iter() for name in element.attrib}
    assert not any(name.startswith("on") or "href" in name for name in attributes)
    assert "url(" not in re.sub(r"url\(#wrong\)", "", picture) and "@import" not in picture
    assert len(picture.encode()) < 100_000
    return root


@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_a_picture_of_thirty_layers_says_what_the_player_says(language):
    words = Translator(language)
    view = QuestionView.load(library.find_run(SHIPPED), "great-red-spot-planet")
    root = check_picture(animated_svg(view, scored(view), words))
    frames = [each for each in root.iter("{http://www.w3.org/2000/svg}g") if each.get("class") == "step"]
    steps = said(view, words)
    assert len(frames) == len(steps) == 30
    for frame, step in zip(frames, steps, strict=True):
        texts = " ".join("".join(text.itertext()) for text in frame).replace("\u00a0", " ")
        assert step["name"] in texts and step["share"] in texts
        assert all(sentence in texts for sentence in step["news"] if len(sentence) < 40)
    whole = " ".join(root.itertext())
    assert "HCL Explorer" in whole and "SmolLM2-135M" in whole and "Which planet is known" in whole


def test_a_picture_stands_still_for_those_who_want_no_motion():
    picture = animated_svg(
        view_of([("a", WRONG, 2)], [("b", WRONG, 2)]), scored(view_of([("a", WRONG, 2)], [("b", WRONG, 2)])), WORDS
    )
    still, _, moving = picture.partition("@media (prefers-reduced-motion:no-preference)")
    assert "keyframes" not in still and "animation-duration" in moving
    alone = view_of([("a", WRONG, 2)])
    assert "keyframes" not in animated_svg(alone, scored(alone), WORDS)


@pytest.fixture(scope="module")
def client():
    return TestClient(Starlette(routes=[depth_route()]))


def test_the_file_of_a_stored_question_is_a_picture_in_the_visitors_language(client):
    address = f"/depth.svg?run={SHIPPED}&question=great-red-spot-planet"
    answered = client.get(address, headers={"accept-language": "de"})
    assert answered.status_code == 200 and answered.headers["content-type"] == "image/svg+xml"
    assert answered.headers["content-disposition"] == f'attachment; filename="hcl-explorer-{SHIPPED}.svg"'
    assert "default-src 'none'" in answered.headers["content-security-policy"]
    assert "Schicht 30 von 30" in answered.text
    check_picture(answered.text)


@pytest.mark.parametrize("query", ["", f"run={SHIPPED}", f"run={SHIPPED}&question=x", "run=../x&question=x", "run=0"])
def test_what_is_not_there_has_no_file(client, query):
    answered = client.get(f"/depth.svg?{query}", headers={"accept-language": "de"})
    assert (
        answered.status_code == 404
        and " Lauf" in answered.text
        and answered.headers["content-type"].startswith("text/plain")
    )
