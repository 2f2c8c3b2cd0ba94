"""Figures for print, what is saved of a question, and the texts that go with it."""

import math
import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest
from fake_runs import make_manifest, make_settings
from test_views import HOSTILE

from app import library
from app.figures.compared import RunCurve, compared_curves
from app.figures.curves import layer_curves
from app.figures.printed import KINDS, inline_svg, printed
from app.figures.river import answer_river
from app.handlers.share import FILES, file_name, make_file
from app.language import Translator
from app.question_view import QuestionView
from app.service import Service
from app.views.citations import bibtex
from app.views.figure_code import figure_code
from app.views.methods import methods_text
from app.views.share import share_box
from app.visit import Balance, Visit
from hcl_core.errors import HclError
from hcl_core.records import SamplingSettings, Weights
from hcl_core.runs.meanings import follow_meanings
from hcl_core.scores.intervals import Difference
from hcl_core.settings.prompts import load_template

RUN = "0be6b1cadd189061"
WORDS = {language: Translator(language) for language in ("en", "de", "zh")}
ENGLISH = WORDS["en"]


@pytest.fixture(scope="module")
def view():
    run = library.find_run(RUN)
    return QuestionView.load(run, library.questions_of(run)[0].question.id)


@pytest.fixture(scope="module")
def scored(view):
    return view.outcomes.scored(Weights(), "possible")


@pytest.fixture(scope="module")
def visit():
    return Visit(ENGLISH, Service(), "")


def svg_of(figure, title="A title", caption="A caption"):
    """The SVG as a tree, and the texts in it."""
    root = ElementTree.fromstring(printed(figure, "svg", title, caption))
    return root, [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]


def figures(view, scored):
    few = replace(
        scored,
        scores=scored.scores[26:27],
        uncertainty=replace(scored.uncertainty, layers=scored.uncertainty.layers[26:27]),
    )
    values = tuple(score.hcb_score for score in scored.scores)
    layers = tuple(score.exit_layer for score in scored.scores)
    intervals = tuple(layer.hcb_ci for layer in scored.uncertainty.layers)
    runs = [RunCurve("one", 30, layers, values, intervals), RunCurve("published", 30, layers, values)]
    differences = [(1, layers, [Difference(0.1, (-0.1, 0.3))] * len(layers))]
    more = {"confidence": [0.5] * 29 + [math.nan], "creativity_raw": [float(layer) for layer in layers]}
    return {
        "curves": layer_curves(scored, ENGLISH),
        "more": layer_curves(scored, ENGLISH, more),
        "one layer": layer_curves(few, ENGLISH),
        "river": answer_river(follow_meanings(view.layers), view.layers, ENGLISH),
        "river of one layer": answer_river(follow_meanings(view.layers[26:27]), view.layers[26:27], ENGLISH),
        "compared": compared_curves(runs, differences, ENGLISH),
        "by share": compared_curves(runs, [], ENGLISH, by_share=True),
    }


@pytest.mark.parametrize("name", ["curves", "more", "one layer", "river", "river of one layer", "compared", "by share"])
def test_every_chart_is_printed_with_its_legend(view, scored, name):
    figure = figures(view, scored)[name]
    pdf = printed(figure, "pdf", "A title", "A caption")
    assert pdf.startswith(b"%PDF-") and b"FontFile2" in pdf and len(pdf) < 100_000
    _, texts = svg_of(figure)
    names = [trace["name"] for trace in figure["data"] if trace.get("name") and trace.get("showlegend", True)]
    assert {"A title", "A caption", *names} <= set(texts)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_figure_is_the_same_file(scored, kind):
    figure = layer_curves(scored, ENGLISH)
    assert printed(figure, kind, "a", "b") == printed(figure, kind, "a", "b")


def test_a_printed_curve_goes_through_the_scores(scored):
    root, _ = svg_of(layer_curves(scored, ENGLISH))
    found = [
        path.get("d") for path in root.iter("{http://www.w3.org/2000/svg}path") if "#c24e00" in path.get("style", "")
    ]
    line = next(path for path in found if path.count("L") == len(scored.scores) - 1)
    heights = [float(y) for _, y in re.findall(r"[ML] (\S+) (\S+)", line)]
    values = [score.hallucination_rate for score in scored.scores]
    top, bottom = heights[values.index(max(values))], heights[values.index(min(values))]
    shares = [(bottom - height) / (bottom - top) for height in heights]
    lowest, highest = min(values), max(values)
    assert shares == pytest.approx([(value - lowest) / (highest - lowest) for value in values], abs=1e-3)


@pytest.mark.parametrize("text", [*HOSTILE, "$x_1$ \\frac{", "]]>", "a & b < c"])
def test_texts_of_others_are_texts_in_every_file(scored, text):
    figure = layer_curves(scored, ENGLISH)
    root, texts = svg_of(figure, title=text, caption=text)
    assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
    assert printed(figure, "pdf", text, text).startswith(b"%PDF-")
    page = ElementTree.fromstring(
        f"<p>{inline_svg(printed(figure, 'svg', text, text), text)}</p>".replace("&#x27;", "'")
    )
    assert [element.tag.rpartition("}")[2] for element in page] == ["svg"] and texts


def test_svgs_of_one_page_share_no_id_that_differs(view, scored):
    shown = [inline_svg(printed(each, "svg", "a", "b"), "a") for each in figures(view, scored).values()]
    assert not any(re.search(r'id="(figure|axes|patch)_', each) for each in shown)


# Files.


@pytest.mark.parametrize("file", FILES)
def test_files_of_a_question_are_small_and_what_they_say(visit, view, file):
    made = make_file(visit, file, RUN, view.stored.question.id, Balance())
    starts = {"svg": b"<?xml", "pdf": b"%PDF", "html": b"<!doctype html>", "csv": b"\xef\xbb\xbf"}
    assert made.content.startswith(starts[file.split(".")[1]]) and len(made.content) < 500_000
    assert re.fullmatch(r"[a-z0-9.-]+", made.name) and made.name.endswith(file)


def test_the_page_of_a_question_is_under_a_megabyte_and_needs_nothing_else(visit, view):
    page = make_file(visit, "page.html", RUN, view.stored.question.id, Balance()).content.decode()
    assert len(page) < 400_000 and page.count("<svg role=") == 2
    assert not re.search(r"<script|<link|src=|url\(http|@import", page)


@pytest.mark.parametrize(
    ("file", "run"), [("../etc", RUN), ("curves.png", RUN), ("curves.svg", "../x"), ("page.html", "")]
)
def test_what_does_not_exist_is_refused(visit, view, file, run):
    with pytest.raises(HclError):
        make_file(visit, file, run, view.stored.question.id, Balance())


@pytest.mark.parametrize("question_id", ['a"; rm', "../..", "\r\nX: y", "东京", ""])
def test_a_file_name_has_nothing_of_a_questions_own_making(question_id):
    assert re.fullmatch(r"[a-z0-9.-]+", file_name(RUN, question_id, "page.html"))


def test_the_code_draws_the_scores_that_are_saved(visit, view, scored, tmp_path, monkeypatch):
    made = make_file(visit, "scores.csv", RUN, view.stored.question.id, Balance())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    (tmp_path / made.name).write_bytes(made.content)
    assert pd.read_csv(made.name).hcb_score.tolist() == pytest.approx([score.hcb_score for score in scored.scores])
    namespace: dict[str, Any] = {}
    exec(figure_code(scored, made.name), namespace)
    axes = namespace["axes"]
    assert [line.get_label() for line in axes.lines] == ["hallucination_rate", "creativity", "hcb_score"]
    assert axes.lines[2].get_ydata().tolist() == pytest.approx([score.hcb_score for score in scored.scores])
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")


def test_the_saved_scores_are_weighed_as_on_the_page(visit, view):
    made = make_file(visit, "scores.csv", RUN, view.stored.question.id, Balance(creativity=80, scaling="min_max"))
    scored = view.outcomes.scored(Weights(0.8, 0.2), "min_max")
    lines = made.content.decode("utf-8-sig").splitlines()
    place = [name.strip('"') for name in lines[0].split(",")].index("hcb_score")
    got = [float(line.split(",")[place] or "nan") for line in lines[1:]]
    assert got == pytest.approx([score.hcb_score for score in scored.scores], nan_ok=True)


# Texts.


def manifest_of(template="file", finished=True, **changes):
    others = {name: changes.pop(name) for name in ("judge", "ideas") if name in changes}
    if template != "file":
        changes["template"] = load_template(template)
    settings = make_settings(**{"exit_layers": (1, 2), "num_samples": 6, "sampling": SamplingSettings()} | changes)
    manifest = make_manifest(settings, [], **others)
    return replace(manifest, finished_at=manifest.created_at if finished else None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "true early exit"),
        ({"strategy": "self_speculative:4"}, "drafted up to 4 tokens at a time"),
        ({"strategy": "self_speculative:adaptive"}, "at most 16, and the whole model verified"),
        ({"strategy": "dynamic:probability:0.9"}, "a probability above 0.9"),
        ({"strategy": "dynamic:entropy:0.25"}, "an entropy below 0.25 nats"),
        ({"strategy": "dynamic:agreement:3"}, "the last of 3 in a row"),
        ({"sampling": SamplingSettings(temperature=0)}, "greedy (temperature 0)"),
        (
            {"sampling": SamplingSettings(top_p=1, top_k=40, seed=7)},
            "no top-p, top-k 40, at most 50 new tokens and seed 7",
        ),
        ({"exit_head": "linear", "exit_head_hash": "abc"}, "linear exit head, hash abc"),
        ({"exit_head": "shared"}, "shared exit head"),
        ({"exit_head": "fake"}, "the exit head “fake”"),
        ({"template": "few_shot"}, "two worked examples"),
        ({"template": "instruction"}, "the answer alone, in a few words."),
        ({"template": "chat"}, "chat format"),
        ({}, "the template “Q: {question}·A:”"),
        ({"judge": "alias"}, "judge alias, version “alias"),
        ({"judge": "semantic"}, "classifier on sentence embeddings (fake)"),
        ({"judge": "paper"}, "a substring"),
        ({"judge": "llm:big-model"}, "by the language model big-model"),
        ({"judge": "none"}, "no answer was judged"),
        ({"judge": "my own"}, "judged by “my own”"),
        ({"ideas": "accepted"}, "at least 0.4"),
        ({"ideas": "meaning"}, "at least 0.8"),
        ({"ideas": "embedding"}, "the whole answers"),
        ({"exit_layers": (3,)}, "6 answers were sampled at exit layer 3"),
        ({"finished": False}, "The run is not finished"),
        ({"model": "smollm2-135m"}, "SmolLM2-135M-Instruct"),
    ],
)
def test_the_methods_say_each_setting(scored, changes, said):
    assert said in methods_text(manifest_of(**changes), scored, Weights(), "possible", ENGLISH, "Why?")


@pytest.mark.parametrize(
    ("scaling", "said"),
    [("possible", "whichever is smaller"), ("min_max", "min-max"), ("absolute", "over the number of answers")],
)
def test_the_methods_say_how_scores_are_weighed(scored, scaling, said):
    text = methods_text(manifest_of(), scored, Weights(0.25, 0.75), scaling, ENGLISH, "Why?")
    assert said in text and "0.25 × creativity + 0.75" in text


def test_the_methods_of_a_set_name_the_set(scored):
    text = methods_text(manifest_of(), replace(scored, num_questions=3), Weights(), "possible", ENGLISH, None)
    assert "of the set “own”" in text and "bootstrap over questions" in text


@pytest.mark.parametrize("language", WORDS)
@pytest.mark.parametrize("is_open", [False, True])
def test_the_methods_have_no_gap_in_any_language(scored, language, is_open):
    shown = replace(scored, is_open=is_open)
    text = methods_text(manifest_of(), shown, Weights(), "possible", WORDS[language], "Why?")
    assert "{}" not in text and "  " not in text and "None" not in text
    assert (WORDS[language]("hallucination_rate").lower() not in text.lower()) == is_open


@pytest.mark.parametrize("model", ["smollm2-135m", "layerskip-llama2-7b", "some/model_1", "a}b{c\\d%"])
def test_bibtex_has_whole_entries(model):
    text = bibtex(manifest_of(model=model))
    assert text.count("@misc{") == 4
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")


def test_bibtex_names_the_run_and_a_hub_models_page():
    manifest = manifest_of(model="some/model_1")
    text = bibtex(manifest)
    assert manifest.run_id in text and "huggingface.co/some/model_1" in text and r"{some/model\_1}" in text


def test_what_is_shared_of_a_question_is_text_and_its_links_are_its_own(view, scored):
    hostile = '"><script>alert(1)</script>'
    question = replace(view.stored.question, id=hostile, text=hostile)
    shown = replace(view, stored=replace(view.stored, question=question))
    box = share_box(shown, scored, Balance(creativity=80, more=("confidence",)), "scores.csv", ENGLISH)
    assert "<script" not in box and "balance=80" in box and "more=confidence" in box
    assert {each for each in re.findall(r'href="([^?]+)\?', box)} == {f"share/{file}" for file in FILES}


def test_nothing_is_shared_of_a_question_that_is_under_way(view, scored):
    assert share_box(view.changed(is_complete=False), scored, Balance(), "scores.csv", ENGLISH) == ""
