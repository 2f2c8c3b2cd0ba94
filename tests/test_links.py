"""Addresses of views: what is written is read back, and what is not here is named, with what stands in its place."""

import json
import re
from dataclasses import replace
from html import unescape
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_handlers import controls

from app import library
from app.figures.compared import MEASURES, MOST_RUNS
from app.figures.lens import SHADES
from app.handlers import lens, opening
from app.handlers.asked import asked_settings
from app.handlers.explore_start import StoredStart
from app.handlers.form import CONTROLS, JUDGES, Form
from app.handlers.learn import NUM_STEPS
from app.handlers.lens import HEADS, MOST_TOKENS, ShownLens
from app.handlers.links import FORM_FIELDS, SMALL_STEPS, STEPS, TABS, LensLink, Link, read_link
from app.handlers.measures import MEASURES as CURVES
from app.handlers.shown_question import ShownQuestion
from app.language import Translator
from app.messages import Message
from app.render.opening import first_parts, page_parts
from app.service import Service
from app.views.runs import link_box
from app.views.stale import stale_notes
from app.visit import Balance, Visit
from hcl_core import registry
from hcl_core.models.head_records import EXIT_HEAD_NAMES
from hcl_core.questions.own import make_question, read_idea
from hcl_core.records import SCALINGS
from hcl_core.settings.prompts import TEMPLATE_NAMES
from hcl_core.settings.strategies import STRATEGY_NAMES

WORDS = Translator("en")
SHIPPED, WARMER = "0be6b1cadd189061", "a9a4b3a8654fe9da"

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
names = st.none() | texts
wholes = st.integers(0, 2**53 - 1)
line = texts.map(lambda text: " ".join(text.split())).filter(bool)
lenses = st.builds(
    LensLink, st.none() | texts, st.sampled_from(HEADS), st.sampled_from(SHADES),
    st.none() | st.tuples(st.integers(0, 99), st.integers(0, 999)),
) | st.builds(
    LensLink, st.none(), st.sampled_from(HEADS), st.sampled_from(SHADES), st.none(), texts, texts,
    st.integers(1, MOST_TOKENS), st.booleans(),
)  # fmt: skip
settings = st.fixed_dictionaries(
    {},
    optional={
        "model": texts, "first_layer": wholes, "last_layer": wholes, "every": wholes, "num_samples": wholes,
        "temperature": st.floats(0, 10), "top_p": st.floats(0, 1), "top_k": wholes, "max_new_tokens": wholes,
        "seed": wholes, "template": st.sampled_from(TEMPLATE_NAMES), "exit_head": st.sampled_from(EXIT_HEAD_NAMES),
        "judge": st.sampled_from(JUDGES), "strategy": st.sampled_from(STRATEGY_NAMES),
    },
)  # fmt: skip
questions: st.SearchStrategy[dict[str, str]] = st.just({}) | st.fixed_dictionaries(
    {"question": texts, "accepted": st.lists(line, max_size=4).map("\n".join)}
)
curves = st.lists(st.sampled_from(CURVES), unique=True).map(tuple)
links = st.builds(
    Link,
    tab=st.sampled_from(TABS),
    run_id=names,
    question_id=names,
    layer=st.none() | wholes,
    balance=st.builds(Balance, st.integers(0, 20).map(lambda step: 5.0 * step), st.sampled_from(SCALINGS), curves),
    compared=st.lists(texts.filter(lambda text: "," not in text), max_size=MOST_RUNS).map(tuple),
    measure=st.sampled_from(tuple(MEASURES)),
    by_share=st.booleans(),
    lens=lenses,
    step=st.integers(1, NUM_STEPS),
    form=st.builds(lambda one, other: one | other, settings, questions),
)


def address_of(link):
    """The query that the page's box with the address has."""
    return unescape(re.search('data-query="([^"]*)"', link_box(link.query(), WORDS)).group(1))


def read(address):
    """As the page reads an address."""
    query = parse_qs(address.removeprefix("?"))
    return read_link({name: values[-1] for name, values in query.items()}, query.get("a", []))


@given(links)
def test_a_link_is_read_back_as_it_was_written(link):
    assert read(address_of(link)) == link


@given(st.dictionaries(st.sampled_from((*SMALL_STEPS, *STEPS)), texts), st.lists(texts, max_size=3))
def test_whatever_an_address_says_is_a_link_whose_own_address_opens_it(query, answers):
    link = read_link(query, answers)
    assert read(address_of(link)) == replace(link, ignored=())
    assert all(name in query and query[name].startswith(text) for name, text in link.ignored)


def test_a_view_as_usual_has_no_parameters():
    assert address_of(Link()) == "?"


def test_every_parameter_is_a_step_or_a_small_one():
    one = Link(
        "lens", "r", "q", 1, Balance(0, "min_max", ("confidence",)), ("r",), "creativity_raw", True, LensLink("l"), 2
    )
    form = dict.fromkeys(FORM_FIELDS, 1) | {"accepted": "Sun"}
    other = Link(lens=LensLink(None, "shared", "entropy", (1, 0), "Why", "other", 3, True, "mlp_out"), form=form)
    assert {**one.query(), **other.query()}.keys() == {*SMALL_STEPS, *STEPS} and not {*SMALL_STEPS} & {*STEPS}


def test_all_controls_of_the_form_have_a_parameter():
    assert {*FORM_FIELDS, "accepted"} == set(CONTROLS)


# What opens.


@pytest.fixture
def visit(monkeypatch, tmp_path):
    """A visit whose model must not be asked for."""
    monkeypatch.setenv("HCL_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(registry, "load_replicas", lambda *_: pytest.fail("loaded a model"))
    return Visit(WORDS, Service(), "visitor")


def open_link(visit, **query):
    return opening.open_page(
        visit, read(address_of(Link()) + "&".join(f"{k}={v}" for k, v in query.items())), controls()
    )


def keys(page):
    return [notice.key if isinstance(notice, Message) else notice.text for notice in page.notices]


PLANET = "Name a planet in our solar system."


@pytest.mark.parametrize("run", ["deadbeefdeadbeef", "../../etc/passwd", "<script>"])
def test_a_run_that_is_not_here_is_named_and_the_first_one_shown(visit, run):
    page = open_link(visit, run=run, question="x", layer=3)
    assert isinstance(page.explore, StoredStart) and keys(page) == ["link_no_run", "link_instead"]
    html = page_parts(page, WORDS)["headline"]
    assert html.index("is not on this machine") < html.index("Shown instead") < html.index("<h2>")
    assert PLANET in html and "<script>" not in html


def test_a_question_that_the_run_lacks_is_named_and_its_first_one_shown(visit):
    page = open_link(visit, run=WARMER, question="nowhere")
    assert page.explore.opened.result.shown == ShownQuestion(WARMER, "name-a-planet")
    assert keys(page) == ["link_no_question", "link_instead"]


def test_a_layer_that_the_run_lacks_is_named_with_those_that_it_has(visit):
    page = open_link(visit, run=WARMER, question="baltic-sea-country", layer=99)
    assert page.explore.opened.result.shown == ShownQuestion(WARMER, "baltic-sea-country")
    assert "no exit layer 99: it has 1 to 30." in page_parts(page, WORDS)["headline"]


def test_values_that_make_no_sense_are_named(visit):
    page = open_link(visit, temperature="abc", layer="1e9", scaling="x")
    assert {notice.values["value"] for notice in page.notices} == {"x", "1e9", "abc"}
    assert "“temperature=abc” is not a value" in page_parts(page, WORDS)["headline"]


def test_a_form_that_a_link_fills_in_out_of_range_says_so_in_the_results(visit):
    page = open_link(visit, q="Why?", samples=0)
    assert "Answers a layer must be a number from 1 to 1000" in page_parts(page, WORDS)["headline"]


@pytest.mark.parametrize(
    ("language", "samples", "layer"),
    [
        (
            "en",
            "Answers a layer must be a number from 1 to 1000; got 0",
            "Last layer must be a number from 1 to 30; got 31",
        ),
        (
            "de",
            "Antworten je Schicht muss eine Zahl von 1 bis 1000 sein, war aber 0",
            "Bis Schicht muss eine Zahl von 1 bis 30 sein, war aber 31",
        ),
        ("zh", "每层回答数必须是从 1 到 1000 的数；实为 0", "最后一层必须是从 1 到 30 的数；实为 31"),
    ],
)
def test_what_is_wrong_with_a_links_form_is_said_in_the_visitors_language(visit, language, samples, layer):
    words = Translator(language)
    for query, said in (({"samples": 0}, samples), ({"model": "smollm2-135m", "last": 31}, layer)):
        assert said in page_parts(open_link(visit, q="Why?", **query), words)["headline"]


def test_a_link_that_fills_in_the_form_says_in_the_results_that_nothing_ran(visit):
    parts = page_parts(open_link(visit, q="Name%20a%20%3Cb%3Estar", a="Sun"), WORDS)
    assert "“Name a &lt;b&gt;star” is in the form" in parts["headline"] and parts["shown"] is None
    assert parts["chart"] is None and parts["answers"] == parts["link"] == ""


def test_results_and_another_form_open_together(visit):
    page = open_link(visit, run=WARMER, question="baltic-sea-country", q="Mine?", a="Yes", temperature=1.5)
    parts = page_parts(page, WORDS)
    assert page.explore.opened.result.shown.run_id == WARMER and "Baltic" in parts["headline"]
    assert (parts["question"], parts["accepted"], parts["temperature"]) == ("Mine?", "Yes", 1.5)


def test_a_model_of_a_link_brings_its_layers_unless_the_link_names_them(visit):
    other = next(each.name for each in visit.service.offered_models() if each.name != "smollm2-135m")
    parts = page_parts(open_link(visit, q="x", model=other), WORDS)
    deepest = parts["last_layer"]["value"]
    assert parts["first_layer"]["value"] == deepest // 2 + 1 and parts["last_layer"]["maximum"] == deepest
    parts = page_parts(open_link(visit, q="x", model=other, first=3), WORDS)
    assert (parts["first_layer"]["value"], parts["last_layer"]["value"]) == (3, deepest)


@pytest.mark.parametrize("tab", ["dataset", "runs"])
def test_a_tab_of_runs_shows_the_first_one_in_the_place_of_one_that_is_not_here(visit, tab):
    page = open_link(visit, tab=tab, run="gone")
    assert keys(page) == ["link_no_run", "link_instead"]
    parts = page_parts(page, WORDS)
    assert "“gone” is not on this machine" in parts["set_headline" if tab == "dataset" else "runs_manifest"]
    assert SHIPPED in (parts["set_link"] if tab == "dataset" else parts["runs_link"])
    assert "Not all" not in parts["headline"]


def test_a_comparison_leaves_out_what_is_not_here_and_says_so(visit):
    page = open_link(visit, tab="compare", runs=f"{SHIPPED},gone,published-0", share=1)
    assert page.compare.ids == [SHIPPED, "published-0"] and keys(page) == ["link_no_curve", "link_instead"]
    parts = page_parts(page, WORDS)
    assert "“gone” cannot be compared" in parts["compare_notice"] and "share=1" in parts["compare_link"]


def test_a_stored_lens_opens_with_its_head_shade_and_cell(visit):
    other = list(lens.shipped_lenses("shared"))[1]
    link = LensLink(other, "shared", "entropy", (27, 0))
    parts = page_parts(open_link(visit, **{n: v for n, v in Link("lens", lens=link).query().items() if v}), WORDS)
    assert parts["lens_shown"] == ShownLens(other, "shared") and parts["lens_shade"] == "entropy"
    assert (parts["lens_chart"]["layer"], parts["lens_chart"]["position"]) == (27, 0)
    assert "layer 27" in parts["lens_cell"].lower() and read(unescape(parts["lens_link"]).split('"')[5]).lens == link


def test_a_lens_that_is_not_here_and_a_cell_that_it_lacks_are_named(visit):
    assert keys(open_link(visit, tab="lens", lens="nowhere")) == ["link_no_lens"]
    page = open_link(visit, tab="lens", cell="31.0")
    assert keys(page) == ["link_no_cell"] and page.lens.cell is None
    assert "no cell at layer 31" in page_parts(page, WORDS)["lens_headline"]


def test_further_curves_of_a_link_are_chosen_and_not_waited_for(visit):
    page = open_link(visit, more="creativity_raw,confidence")
    parts = page_parts(page, WORDS)
    assert parts["more"] == ["creativity_raw", "confidence"] and not page.explore.opened.result.further
    assert "“more=nothing”" in page_parts(open_link(visit, more="nothing"), WORDS)["headline"]


def test_a_prompt_of_a_link_is_filled_in_and_nothing_is_read(visit):
    parts = page_parts(open_link(visit, tab="lens", prompt="Two+plus", lens_tokens=3, whole=1), WORDS)
    assert (parts["lens_prompt"], parts["lens_num_tokens"], parts["lens_whole"]) == ("Two plus", 3, True)
    assert "“Two plus” is in the form" in parts["lens_headline"] and parts["lens_chart"] is None
    assert "prompt=Two+plus&amp;lens_tokens=3&amp;whole=1" in parts["lens_link"]


def test_a_step_of_the_walkthrough_opens(visit):
    parts = page_parts(open_link(visit, tab="learn", step=4), WORDS)
    assert parts["learn_walk"].selected == 4 and "step=4" in parts["learn_link"]
    assert 'data-query="?tab=learn"' in first_parts(open_link(visit), WORDS)["learn_link"]
    assert "step=4" in first_parts(open_link(visit, tab="learn", step=4), WORDS)["learn_link"]
    assert "“step=99”" in page_parts(open_link(visit, tab="learn", step=99), WORDS)["learn_notice"]


def test_back_to_another_tab_leaves_explore_as_it_is(visit):
    page = opening.open_page(visit, Link("compare"), controls(), in_front_alone=True)
    parts = page_parts(page, WORDS, controls())
    assert {name.partition("_")[0] for name in parts} == {"tabs", "compare"}


def test_back_to_a_question_empties_what_its_address_does_not_name(visit):
    usual = controls()
    page = opening.open_page(visit, read("?q=Mine%3F"), usual, in_front_alone=True)
    parts = page_parts(page, WORDS, usual)
    assert parts["temperature"] == usual["temperature"] and (parts["question"], parts["accepted"]) == ("Mine?", "")


# Whose results are shown.


def asked_in(headline):
    return json.loads(unescape(re.search('data-results="([^"]*)"', headline).group(1)))


def test_results_say_which_values_of_the_form_they_are_of(visit):
    page = open_link(visit, run=WARMER, question="baltic-sea-country")
    results = asked_in(page_parts(page, WORDS)["headline"])
    assert results["identity"] == f"{WARMER} baltic-sea-country" and results["is_stored"]
    asked = results["asked"]
    assert set(asked) == set(CONTROLS)
    question = page.explore.opened.result.view.stored.question
    ideas = map(read_idea, asked["accepted"].splitlines())
    assert make_question(asked["question"], ideas).ideas == question.ideas
    request = Form.from_controls(asked).request()
    assert request.layers.resolve(30) == library.find_run(WARMER).manifest.settings.exit_layers


def test_results_of_a_set_say_whose_they_are_while_another_run_begins(visit):
    results = asked_in(page_parts(open_link(visit, tab="dataset", run=WARMER), WORDS)["set_headline"])
    assert results == {"identity": WARMER, "asked": None, "is_stored": True}


def test_layers_that_the_form_cannot_name_are_left_out():
    manifest = library.find_run(SHIPPED).manifest
    some = replace(manifest, settings=replace(manifest.settings, exit_layers=(3, 5, 30)))
    assert not {"first_layer", "last_layer", "every"} & set(asked_settings(some))
    one = replace(manifest, settings=replace(manifest.settings, exit_layers=(7,)))
    assert asked_settings(one)["first_layer"] == asked_settings(one)["last_layer"] == 7


def test_the_notes_quote_the_question_as_text(visit):
    html = stale_notes(["run", "q"], "<b>Why</b> \u202e?", WORDS, {"question": "<b>\u202e"})
    assert "&lt;b&gt;Why&lt;/b&gt; ·?" in html and "\u202e" not in html and html.count("<p ") == 3
    assert stale_notes(["run"], "a set", WORDS).count("<p ") == 1
