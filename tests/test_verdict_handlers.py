"""A visitor judges on the page: the numbers change for that visitor alone, and everything can be undone."""

import re

import pytest
from test_handlers import EQUAL, PLANET, SHIPPED, VISITOR, WORDS
from test_views import HOSTILE, check_harmless, view_of

from app.handlers import compare, dataset, runs, shown_question, verdicts
from app.handlers.dataset import ShownSet
from app.handlers.verdicts import Press
from app.own_verdicts import NEW_IDEA, id_of
from app.render import dataset as render_dataset
from app.render.compare import comparison_parts
from app.render.explore import question_parts
from app.render.runs import run_parts
from app.service import Service
from app.settings import PageSettings
from app.views.verdicts import verdict_bar
from app.visit import Visit
from hcl_core.errors import HclError, SettingsError
from hcl_core.judges.person import PersonVerdict, read_person_verdicts


def visit_of(service, visitor=VISITOR):
    return Visit(WORDS, service, visitor)


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HCL_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def visit(folder):
    return visit_of(Service())


def press(do, **places):
    return Press(do, **{"layer": "24", "answer": id_of("Planet")} | places)


def judge(visit, do, **places):
    return verdicts.judge(visit, PLANET, press(do, **places), EQUAL)


def outcomes(result):
    return result.view.outcomes.table.outcomes.tolist()


def test_right_too_changes_scores_cards_and_sentence_and_is_marked(visit):
    before = shown_question.show(visit, PLANET, EQUAL)
    after = judge(visit, "right")
    agreement = after.view.own.agreement
    assert agreement.num_overruled == sum(s.answer == "Planet" for s in before.view.samples) > 0
    rights = [sum(score.num_correct for score in each.scored.scores) for each in (before, after)]
    assert rights[1] - rights[0] == agreement.num_overruled
    parts = question_parts(after, WORDS)
    assert "your verdict, not the judge’s" in parts["answers"] and "With your verdict" in parts["headline"]
    assert f"in {agreement.num_overruled} of 1,500 answers (1 different answer)" in parts["verdicts"]


def test_what_was_pressed_is_taken_back_by_the_same_button_or_the_list_or_all_at_once(visit):
    before = outcomes(shown_question.show(visit, PLANET, EQUAL))
    assert outcomes(judge(visit, "right")) != before and outcomes(judge(visit, "right")) == before
    group = judge(visit, "right").view.own.groups[0].id
    assert outcomes(judge(visit, "undo", group=group)) == before
    judge(visit, "right"), judge(visit, "wrong", answer=id_of("Earth"))
    undone = judge(visit, "undo_all")
    assert outcomes(undone) == before and undone.view.own.given == ()


def test_a_card_is_judged_with_every_wording_of_its_idea(visit):
    after = judge(visit, "wrong", answer=id_of("Earth"))
    texts = {each.answer for each in after.view.own.given}
    assert len(texts) > 1 and {each.given_on for each in after.view.own.given} == {"Earth"}
    assert not any(answer.idea == "Earth" for layer in after.view.layers for answer in layer.answers)


def test_a_text_of_a_layer_is_judged_alone(visit):
    sample = next(s for s in shown_question.show(visit, PLANET, EQUAL).view.samples if s.answer == "Planet")
    text = {"layer": str(sample.exit_layer), "text": id_of(sample.completion_text)}
    after = judge(visit, "right", **text)
    changed = [key for key, each in after.view.verdicts.items() if each.judge_outcome is not None]
    assert {key.exit_layer for key in changed} == {sample.exit_layer}
    assert after.view.own.given[0].completion == sample.completion_text
    assert judge(visit, "right", **text).view.own.given == ()


def test_the_idea_of_a_right_answer_can_be_chosen(visit):
    group = judge(visit, "right").view.own.groups[0]
    assert group.idea == 8  # after the eight planets
    as_mars = judge(visit, "idea", group=group.id, idea="3").view.own
    assert as_mars.groups[0].idea == 3 and len(as_mars.listed) == 8
    again = judge(visit, "idea", group=group.id, idea=NEW_IDEA).view.own
    assert again.groups[0].idea == 8 and again.listed[8] == "Planet"


def test_the_judges_verdicts_can_be_looked_at_meanwhile(visit):
    before = outcomes(shown_question.show(visit, PLANET, EQUAL))
    mine = outcomes(judge(visit, "right"))
    as_judged = judge(visit, "judge")
    assert outcomes(as_judged) == before and "without your verdict" in verdict_bar(as_judged.view, WORDS)
    assert outcomes(judge(visit, "mine")) == mine


def test_on_ones_own_page_verdicts_are_in_a_file_beside_the_runs(visit, folder):
    mine = outcomes(judge(visit, "right"))
    kept = read_person_verdicts(folder / ".verdicts" / f"{SHIPPED}.json", SHIPPED)
    assert [each.answer for each in kept.verdicts] == ["Planet"]
    assert outcomes(shown_question.show(visit_of(Service(), "another day"), PLANET, EQUAL)) == mine


def test_on_a_public_page_verdicts_are_the_visitors_alone_and_go_with_them(folder):
    service = Service(PageSettings(public=True))
    visit, other = visit_of(service), visit_of(service, "other")
    before = outcomes(shown_question.show(other, PLANET, EQUAL))
    assert outcomes(judge(visit, "right")) != before
    assert outcomes(shown_question.show(other, PLANET, EQUAL)) == before
    assert not (folder / ".verdicts").exists()
    service.forget(VISITOR)
    assert outcomes(shown_question.show(visit, PLANET, EQUAL)) == before


def test_a_damaged_file_is_not_written_over(visit, folder):
    judge(visit, "right")
    file = folder / ".verdicts" / f"{SHIPPED}.json"
    file.write_text("{")
    assert shown_question.show(visit, PLANET, EQUAL).view.own.given == ()
    with pytest.raises(HclError, match="no verdicts of run"):
        judge(visit, "right")
    assert file.read_text() == "{"


@pytest.mark.parametrize(
    "wrong",
    [
        Press("right", "24", "0" * 16),
        Press("right", "99", id_of("Planet")),
        Press("right", "24", id_of("Planet"), text="x"),
        Press("undo", group="x"),
        Press("idea", group="x", idea="0"),
        Press("delete"),
        Press(""),
    ],
    ids=str,
)
def test_presses_of_nothing_are_refused(visit, wrong):
    with pytest.raises(SettingsError):
        verdicts.judge(visit, PLANET, wrong, EQUAL)
    assert shown_question.show(visit, PLANET, EQUAL).view.own.given == ()


@pytest.mark.parametrize("idea", ["8", "-1", "x", "٣", "9" * 30, "9" * 5_000])
def test_an_idea_that_is_not_there_is_refused(visit, idea):
    group = judge(visit, "right").view.own.groups[0].id
    judge(visit, "idea", group=group, idea="3")
    with pytest.raises(SettingsError):
        judge(visit, "idea", group=group, idea=idea)


def test_what_a_browser_sends_may_be_anything():
    class Event:
        do, layer, answer = ["right"], 24, None

    assert Press.from_event(Event()) == Press("")


def test_exports_follow_what_the_visitor_sees(visit):
    judge(visit, "right")
    assert "overruled" in runs.export_run(visit, SHIPPED, "scores").read_text("utf-8-sig").splitlines()[0]
    page = runs.export_run(visit, SHIPPED, "html").read_text("utf-8")
    assert "1 verdict of the person who exported" in page and "a person’s verdict, not the judge’s" in page
    judge(visit, "judge")
    assert "overruled" not in runs.export_run(visit, SHIPPED, "scores").read_text("utf-8-sig").splitlines()[0]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_the_list_of_verdicts_shows_text_as_text(text):
    view = view_of(text)
    own = view.overruled([PersonVerdict("planet", text, False, text)], lambda _: pytest.fail("embedder"))
    html = verdict_bar(own, WORDS)
    assert own.own.agreement.num_overruled == 9 and "<ul>" in html
    check_harmless(html.replace("<ul>", "").replace("<li", "<p"), 4_000)


def test_other_tabs_say_that_the_judge_alone_counts_there(visit):
    said = "Here the judge alone counts; your verdict on this run is in Explore."

    def texts():
        compared = comparison_parts(compare.compare(visit, [SHIPPED], "hcb_score"), False, WORDS)
        of_set = render_dataset.weighed_parts(dataset.show(visit, ShownSet(SHIPPED), EQUAL), WORDS)
        return compared["text"], of_set["headline"], run_parts(runs.show(visit, SHIPPED), WORDS)["manifest"]

    assert not any(said in text for text in texts())
    judge(visit, "right")
    assert all(said in text for text in texts())


def test_a_card_says_before_the_press_what_a_verdict_on_it_holds_for(visit):
    before = shown_question.show(visit, PLANET, EQUAL)
    answers = question_parts(before, WORDS)["answers"]
    card = re.search(
        rf'data-answer="{id_of("Earth")}" data-reach="for (\d+) wordings in all layers, ([\d,]+) ', answers
    )
    after = judge(visit, "wrong", answer=id_of("Earth"))
    assert int(card[1]) == len(after.view.own.given)
    assert card[2] == WORDS.count(after.view.own.groups[0].num_samples)
