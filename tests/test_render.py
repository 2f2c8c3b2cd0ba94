"""Records in, parts of the page out: which parts change, and a few of the sentences in them."""

import json
import re
from dataclasses import replace

import pytest

from app import library
from app.handlers import compare, dataset, learn, lens, opening, questions, run_list, runs, shown_question
from app.handlers.asked import asked_question
from app.handlers.dataset import SetUpdate, ShownSet
from app.handlers.explore import Estimate, RunUpdate
from app.handlers.lens import ShownLens
from app.handlers.links import read_link
from app.handlers.shown_question import OpenedQuestion, ShownQuestion
from app.language import Translator
from app.messages import Message, Problem, Progress
from app.own_verdicts import OwnVerdicts
from app.render import compare as render_compare
from app.render import dataset as render_set
from app.render import explore as render
from app.render import lens as render_lens
from app.render import questions as render_questions
from app.render import runs as render_runs
from app.render.learn import step_parts
from app.render.opening import page_parts
from app.service import Service
from app.views.answers import answer_columns
from app.views.ask import setting_chips
from app.views.runs import COLUMNS
from app.visit import Balance, Visit
from hcl_core.judges.person import PersonVerdict
from hcl_core.pipeline.estimate import Foretold

WORDS = Translator("en")
EQUAL = Balance()
SHIPPED, WARMER = "0be6b1cadd189061", "a9a4b3a8654fe9da"
PLANET = ShownQuestion(SHIPPED, "name-a-planet")


@pytest.fixture
def visit(monkeypatch, tmp_path):
    monkeypatch.setenv("HCL_RUNS", str(tmp_path / "runs"))
    return Visit(WORDS, Service(), "visitor")


@pytest.fixture
def planet(visit):
    return shown_question.show(visit, PLANET, EQUAL)


# Explore.

EVERY_PART = set(render.QUESTION_PARTS)


def test_a_question_that_the_whole_tab_turns_to_has_the_parts_that_events_name(planet):
    opened = render.opened_parts(OpenedQuestion(planet, []), WORDS)
    assert set(opened) == set(render.OPENED_PARTS)


def test_a_question_fills_every_part(planet):
    parts = render.question_parts(planet, WORDS)
    assert set(parts) == EVERY_PART
    assert "Name a planet" in parts["headline"] and "The best balance is at one of layers" in parts["headline"]
    assert parts["numbers"].count("<tr") == 31 and parts["detail"] == ""
    assert f"?run={SHIPPED}&amp;question=name-a-planet" in parts["link"]


def test_a_stored_question_is_drawn_once_for_all_who_look_at_it(visit, monkeypatch):
    drawn = []
    monkeypatch.setattr(render, "answer_columns", lambda *given: drawn.append(given) or answer_columns(*given))
    shown, balance = ShownQuestion(SHIPPED, "name-a-planet", 7), Balance(33)  # as no other test
    first = render.question_parts(shown_question.show(visit, shown, balance), WORDS)
    first["answers"] = ""
    again = render.question_parts(shown_question.show(visit, shown, balance), WORDS)
    assert len(drawn) == 1 and "Earth" in again["answers"]
    render.question_parts(shown_question.show(visit, shown, balance), Translator("de"))
    live = shown_question.show(visit, shown, balance)
    render.question_parts(replace(live, view=replace(live.view, version=None)), WORDS)
    own = replace(live.view, own=OwnVerdicts((PersonVerdict("name-a-planet", "Earth", True, "Earth"),), are_on=False))
    render.question_parts(replace(live, view=own), WORDS)
    render.question_parts(shown_question.show(visit, shown, Balance(34)), WORDS)
    assert len(drawn) == 5


def test_a_balance_changes_no_answers(visit):
    parts = render.weighed_parts(shown_question.show(visit, PLANET, Balance(0)), WORDS)
    assert set(parts) == {"headline", "depth", "chart", "numbers", "link", "share"} and "balance=0" in parts["link"]


def test_a_chosen_layer_shows_every_sample_and_is_in_the_link(visit):
    parts = render.layer_parts(shown_question.choose_layer(visit, PLANET, 26, EQUAL), WORDS)
    assert set(parts) == {"detail", "shown", "link"}
    assert "layer=26" in parts["link"] and parts["shown"].layer == 26
    assert sum(int(count) for count in re.findall(r"<b>×(\d+)</b>", parts["detail"])) == 50
    assert "Question: Name a planet in our solar system." in parts["detail"]


def test_the_first_update_of_a_run_fills_every_part(planet):
    parts = render.update_parts(RunUpdate(Progress("sampling", 8, 16), planet), WORDS)
    assert set(parts) == EVERY_PART | {"status"} and parts["chart"]["layer"] is None


@pytest.mark.parametrize(
    ("is_live", "left_out"), [(True, {"detail", "shown", "link"}), (False, {"detail"})], ids=["a wave", "the end"]
)
def test_later_updates_leave_the_chosen_layer_alone(planet, is_live, left_out):
    result = replace(planet, shown=replace(PLANET, is_live=is_live))
    parts = render.update_parts(RunUpdate(Progress("sampling", 8, 16), result, is_first=False), WORDS)
    assert EVERY_PART - set(parts) == left_out
    assert not any("layer" in parts[name] for name in ("depth", "chart", "river"))


def test_an_update_without_results_changes_the_status_alone():
    assert set(render.update_parts(RunUpdate(Message("sampling_begins")), WORDS)) == {"status"}


@pytest.mark.parametrize(
    ("strategy", "said"),
    [("self_speculative", "only drafted"), ("dynamic:probability:0.9", "could leave"), ("early_exit", None)],
)
def test_a_run_of_another_strategy_says_what_its_layers_mean(planet, strategy, said):
    manifest = planet.view.manifest
    manifest = replace(manifest, settings=replace(manifest.settings, strategy=strategy))
    headline = render.weighed_parts(replace(planet, view=replace(planet.view, manifest=manifest)), WORDS)["headline"]
    assert [each for each in ("only drafted", "could leave") if each in headline] == ([said] if said else [])


def test_a_question_with_one_accepted_idea_has_no_creativity_and_says_so(visit):
    result = shown_question.show(visit, ShownQuestion(SHIPPED, "great-red-spot-planet"), EQUAL)
    parts = render.question_parts(result, WORDS)
    assert "This question has one right idea, so creativity and HCB are not defined" in parts["headline"]
    assert "nan" not in parts["numbers"] and "NaN" not in json.dumps(parts["chart"])


def test_a_question_with_more_answers_to_come_says_so(planet):
    partial = replace(planet, view=planet.view.changed(is_complete=False))
    assert "So far" in render.weighed_parts(partial, WORDS)["headline"]
    assert "So far" not in render.weighed_parts(planet, WORDS)["headline"]


TIMED = Foretold(3.21, 12.3, is_timed=True)


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(15, 24, TIMED, True), "15 layers × 24 answers: about 3.2 to 12 s."),
        (Estimate(15, 24, replace(TIMED, is_timed=False), True), "a rough guess"),
        (Estimate(15, 24, TIMED, True), "Loading the model"),
        (Estimate(None, 1000, None, True), "? layers × 1,000 answers. How long is not known"),
        (Problem("Temperature is empty: type a number"), "Temperature is empty: type a number"),
    ],
)
def test_an_estimate_is_a_sentence(estimate, text):
    assert text in render.estimate_text(estimate, WORDS)


def test_a_loaded_model_is_not_said_to_be_loaded_first():
    assert "Loading" not in render.estimate_text(Estimate(15, 24, TIMED, False), WORDS)


def test_hits_are_options_and_counted(visit):
    found = render_questions.hit_parts(questions.search(visit, "starter", "baltic"), WORDS)["found"]
    assert 'data-id="baltic-sea-country"' in found and re.search(r"\d+ questions? found of 174", found)


@pytest.mark.parametrize(
    ("text", "said"), [("", "The first 20 of 174"), ("xyzzy", "None of the 174 questions of this set has these words")]
)
def test_a_search_without_words_or_hits_says_so(visit, text, said):
    assert said in render_questions.hit_parts(questions.search(visit, "starter", text), WORDS)["found"]


def test_a_question_taken_over_has_an_answer_a_line(visit):
    parts = asked_question(questions.find(visit, "starter", "baltic-sea-country"))
    assert "Baltic" in parts["question"] and "Sweden" in parts["accepted"].splitlines()


def test_the_names_of_an_idea_are_one_chip():
    chips = render.idea_parts("United States | USA\n|\n<b>Canada</b>", WORDS)["ideas"]
    assert chips.count("<li>") == 2 and "United States <small>| USA</small>" in chips
    assert 'aria-label="Remove &lt;b&gt;Canada&lt;/b&gt;"' in chips and "<b>Canada" not in chips


def test_a_question_without_right_answers_is_said_to_be_open():
    assert "No right answers: an open question" in render.idea_parts("", WORDS)["ideas"]


def test_the_settings_in_short_are_those_of_the_form():
    chips = setting_chips({**FORM, "every": 2, "temperature": None, "model": "<i>"}, WORDS)
    assert "1 to 4 by 2" in chips and "<b>24</b>" in chips and "<b>–</b>" in chips and "<b>&lt;i&gt;</b>" in chips


# Compare.


def test_two_runs_are_compared_in_words_and_curves(visit):
    parts = render_compare.comparison_parts(compare.compare(visit, [SHIPPED, WARMER], "hcb_score"), False, WORDS)
    assert "Both put layer 30 first." in parts["text"] and "174 questions" in parts["text"]
    assert "<td>0.6</td><td>1</td>" in parts["text"] and f"runs={SHIPPED},{WARMER}" in parts["link"]
    first, second, difference = (trace["y"] for trace in parts["chart"]["data"] if trace["mode"] == "lines+markers")
    expected = [one - other for one, other in zip(first, second, strict=True)]
    assert difference == pytest.approx(expected, abs=2e-4)
    assert "NaN" not in json.dumps(parts["chart"])


def test_a_published_curve_stands_beside_and_has_no_difference(visit):
    published = next(each for label, each in compare.choices(visit) if "Llama 2 7B, T 0.6" in label)
    compared = compare.compare(visit, [SHIPPED, published, WARMER], "hallucination_rate")
    parts = render_compare.comparison_parts(compared, True, WORDS)
    lines = [trace for trace in parts["chart"]["data"] if trace["mode"] == "lines+markers"]
    assert len(lines) == 3 + 1  # three curves, and the third's difference to the first
    assert max(lines[0]["x"]) == max(lines[1]["x"]) == 1
    assert "read off the paper’s figures" in parts["text"]


def test_no_runs_ask_for_a_choice(visit):
    parts = render_compare.comparison_parts(compare.compare(visit, [], "hcb_score"), False, WORDS)
    assert "Choose at least two runs." in parts["text"] and parts["chart"] is None


# Data set.


def test_a_set_fills_every_part_and_a_balance_no_rows(visit):
    result = dataset.show(visit, ShownSet(SHIPPED), EQUAL)
    parts = render_set.stored_parts(result, WORDS)
    assert set(parts) == {"headline", "chart", "rows", "link", "shown", "status"}
    assert "174 of 174 questions of starter" in parts["headline"]
    assert len(parts["rows"]["value"]["data"]) == 174 and parts["rows"]["value"]["headers"][0] == "Question"
    ideas = {row[-1]: row[3] for row in parts["rows"]["value"]["data"]}
    assert ideas["name-a-planet"] == 4 and ideas["great-red-spot-planet"] == ""
    assert set(render_set.weighed_parts(result, WORDS)) == {"headline", "chart", "link"}


def test_a_set_under_way_has_no_link(visit):
    result = replace(dataset.show(visit, ShownSet(SHIPPED), EQUAL), is_complete=False)
    parts = render_set.update_parts(SetUpdate(Progress("sampling", 1, 2), result), WORDS)
    assert parts["link"] == "" and "So far" in parts["headline"]


def test_a_comparison_is_in_the_visitor_s_language(visit):
    compared = compare.compare(visit, [SHIPPED, WARMER], "hcb_score")
    german = render_compare.comparison_parts(compared, False, Translator("de"))["text"]
    assert '<th scope="row">Temperatur<' in german and "<td>0,6</td><td>1</td>" in german


# Token lens.


def test_a_stored_lens_brings_its_prompt(visit):
    result = lens.show(visit, ShownLens("name-a-planet", "linear"), "entropy")
    parts = render_lens.stored_parts(result, WORDS)
    assert "Mars" in parts["headline"] and parts["prompt"].endswith("Answer:") and parts["shown"] == result.shown
    names = {"headline", "scale", "chart", "cell", "chosen", "link", "programs"}
    assert set(render_lens.lens_parts(result, WORDS)) == names and "/lens" in parts["programs"]


def test_a_cell_has_its_ten_tokens(visit):
    cell = lens.choose_cell(visit, ShownLens("name-a-planet", "linear"), 26, 0)
    html = render_lens.cell_parts(cell, WORDS)["cell"]
    assert "Layer 26" in html and html.count("<tr>") == 11


def test_other_colours_keep_the_chosen_cell_in_the_link(visit):
    shown = ShownLens("name-a-planet", "linear")
    chosen = render_lens.cell_parts(lens.choose_cell(visit, shown, 26, 0), WORDS)["chosen"]
    result = lens.show(visit, shown, "entropy")
    link = render_lens.recoloured_parts(result, chosen, WORDS)["link"]
    assert link == render_lens.cell_parts(lens.choose_cell(visit, shown, 26, 0, "entropy"), WORDS)["link"]
    assert link != render_lens.recoloured_parts(result, None, WORDS)["link"]


# Runs.


def test_a_run_is_shown_with_what_can_be_done_with_it(visit):
    parts = render_runs.run_parts(runs.show(visit, SHIPPED), WORDS)
    assert "decode seconds" in parts["manifest"] and parts["chart"]["best"] == 30
    assert parts["open"]["interactive"] and not parts["delete"]["interactive"] and "stays" in parts["status"]


def test_an_unfinished_run_says_how_to_go_on_with_it(visit):
    shown = runs.show(visit, SHIPPED)
    stopped = replace(shown.run, manifest=replace(shown.run.manifest, finished_at=None))
    result = replace(shown, run=stopped, scored=None, problem="run x has not been judged yet")
    assert "goes on with it" in render_runs.run_parts(result, WORDS)["status"]


def test_the_table_of_runs_counts_the_answers_that_are_there(visit, monkeypatch):
    listed = run_list.list_runs(visit)
    whole, other = listed.runs[:2]
    stopped = replace(other, manifest=replace(other.manifest, finished_at=None))
    monkeypatch.setattr(library, "num_present", lambda run: 120)
    value = render_runs.list_parts(replace(listed, runs=[whole, stopped]), WORDS)["rows"]["value"]
    place = COLUMNS.index("num_samples")
    all_of_it = f"{whole.manifest.num_total_samples:,}"
    assert [row[place] for row in value["data"]] == [whole.manifest.num_total_samples, 120]
    shown = [row[place] for row in value["metadata"]["display_value"]]
    assert shown == [all_of_it, f"120 of {other.manifest.num_total_samples:,}"]


def test_a_run_without_scores_says_why(visit):
    result = replace(runs.show(visit, SHIPPED), scored=None, problem="run x has not been judged yet")
    parts = render_runs.run_parts(result, WORDS)
    assert parts["chart"] is None and "has not been judged yet" in parts["status"]


def test_a_deleted_run_can_be_brought_back(visit):
    listed = run_list.list_runs(visit)
    newest = listed.runs[0].manifest.id
    left = replace(listed, runs=listed.runs[1:])
    parts = render_runs.deleted_parts(listed.runs[0], left, WORDS)
    assert parts["undo"]["visible"] and parts["deleted"] == newest and parts["chosen"] is None
    assert [row[-1] for row in parts["rows"]["value"]["data"]] == [run.manifest.id for run in left.runs]
    assert not render_runs.restored_parts(SHIPPED, listed, WORDS)["undo"]["visible"]


def test_the_table_of_runs_has_pages(visit, monkeypatch):
    every = [run.manifest.id for run in run_list.list_runs(visit).runs]
    monkeypatch.setattr(run_list, "MOST_ROWS", 3)
    monkeypatch.setattr(render_runs, "MOST_ROWS", 3)
    pages = [render_runs.list_parts(run_list.list_runs(visit, number=number), WORDS) for number in (0, 1, 9)]
    assert [[row[-1] for row in page["rows"]["value"]["data"]] for page in pages] == [every[:3], every[3:], every[3:]]
    assert [page["page"] for page in pages] == [0, 1, 1] and "4 to 4 of 4" in pages[1]["position"]
    assert [page["earlier"]["interactive"] for page in pages[:2]] == [False, True]
    assert [page["later"]["interactive"] for page in pages[:2]] == [True, False]


def test_one_page_of_runs_has_nothing_to_turn(visit):
    parts = render_runs.list_parts(run_list.list_runs(visit), WORDS)
    assert not parts["pages"]["visible"] and parts["position"] == ""


# Learn.


@pytest.mark.parametrize("step", range(1, learn.NUM_GUESSES + 1))
def test_each_step_says_whether_the_guess_was_right(visit, step):
    right = learn.RIGHT_ANSWERS[step - 1]
    revealed = learn.reveal(visit, step, right)
    assert "You guessed right." in step_parts(revealed, WORDS)["text"]
    assert "A good guess" in step_parts(replace(revealed, guess=right % 3 + 1), WORDS)["text"]
    assert "guess" not in step_parts(replace(revealed, guess=None), WORDS)["text"]


def test_a_revealed_step_has_its_options_in_place_of_the_question(visit):
    parts = step_parts(learn.reveal(visit, 3, 1), WORDS)
    assert [parts[name]["visible"] for name in ("guess", "reveal", "no_guess")] == [False] * 3
    assert "hcl-options" in parts["options"]


# The page as it opens.

FORM = {
    "model": "tiny", "question": "Name a planet", "accepted": "Mars\nVenus", "first_layer": 1, "last_layer": 4,
    "every": 1, "num_samples": 24, "temperature": 1.0, "top_p": 0.9, "top_k": 0, "max_new_tokens": 6, "seed": 0,
    "template": "few_shot", "exit_head": "auto", "judge": "alias", "strategy": "early_exit",
}  # fmt: skip


def opened(visit, query, answers=()):
    return page_parts(opening.open_page(visit, read_link(query, list(answers)), FORM), WORDS)


def test_a_first_visit_shows_the_first_shipped_run(visit):
    parts = opened(visit, {})
    assert "Name a planet" in parts["headline"] and "Stored answers" in parts["status"]
    assert parts["tabs"].selected == "explore" and parts["stored_run"]["value"] == SHIPPED
    assert "Neptune" in parts["ideas"]


def test_an_address_opens_the_same_view(visit):
    query = {"run": WARMER, "question": "baltic-sea-country", "layer": "27", "balance": "20", "scaling": "absolute"}
    parts = opened(visit, query)
    assert (parts["balance"], parts["scaling"]) == (20, "absolute") and "Layer 27" in parts["detail"]
    assert "layer=27&amp;balance=20&amp;scaling=absolute" in parts["link"] and parts["chart"]["layer"] == 27


def test_an_address_fills_in_the_form(visit):
    parts = opened(visit, {"q": "Name a <b>star</b>", "temperature": "0.3", "last": "20"}, ["Sun", "Vega"])
    assert (parts["question"], parts["accepted"]) == ("Name a <b>star</b>", "Sun\nVega")
    assert (parts["temperature"], parts["last_layer"]) == (0.3, 20)
    assert "Press Run" in parts["status"] and parts["shown"] is None
    assert "Vega" in parts["ideas"] and "1 to 20" in parts["chips"]


def test_an_address_opens_a_comparison(visit):
    parts = opened(visit, {"tab": "compare", "runs": f"{SHIPPED},{WARMER}", "measure": "creativity_raw"})
    assert parts["tabs"].selected == "compare" and parts["compare_runs"]["value"] == [SHIPPED, WARMER]
    assert "Both put layer 30 first." in parts["compare_text"]


@pytest.mark.parametrize("tab", ["dataset", "runs"])
def test_an_address_opens_a_run_in_its_tab(visit, tab):
    parts = opened(visit, {"tab": tab, "run": WARMER})
    assert parts["tabs"].selected == tab
    assert parts["set_shown"] == ShownSet(WARMER) if tab == "dataset" else parts["runs_chosen"] == WARMER
