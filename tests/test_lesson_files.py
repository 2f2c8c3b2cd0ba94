"""Lesson files: the sample ones, every mistake named at once, and whatever else may stand in a file."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.lessons.reading import MOST_BYTES, LessonError, parse_lesson, read_lesson
from app.lessons.records import LAYER_KINDS
from app.lessons.sources import view_of
from app.lessons.truth import truth_of

REPO = Path(__file__).parent.parent
SAMPLES = sorted((REPO / "assets" / "lessons").glob("*.yaml"))
RUN, QUESTION = "0be6b1cadd189061", "capital-of-portugal"
STEP: dict[str, Any] = {"title": "t", "run": RUN, "question": QUESTION, "predict": [{"kind": "first_right"}]}
LESSON: dict[str, Any] = {"version": 1, "title": "t", "steps": [STEP]}


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    def ignore_aliases(self, data):
        return True


def parsed(lesson):
    return parse_lesson(yaml.dump(lesson, Dumper=_Dumper).encode())


def mistakes(lesson):
    with pytest.raises(LessonError) as raised:
        parsed(lesson)
    return str(raised.value).splitlines()


def step(**values):
    return LESSON | {"steps": [STEP | values]}


def prediction(**values):
    return step(predict=[values])


def test_two_lessons_ship_in_two_languages_with_the_same_questions():
    lessons = {file.name: read_lesson(file) for file in SAMPLES}
    assert set(lessons) == {"balance.de.yaml", "balance.en.yaml", "depth.de.yaml", "depth.en.yaml"}
    for name in ("balance", "depth"):
        english, german = lessons[f"{name}.en.yaml"], lessons[f"{name}.de.yaml"]
        assert (english.language, german.language) == ("en", "de")
        asked = [[(each.run, each.question, [p.kind for p in each.predict]) for each in steps.steps]
                 for steps in (english, german)]  # fmt: skip
        assert asked[0] == asked[1] and len(asked[0]) == 3


@pytest.mark.parametrize(
    ("question", "layer", "answer", "count"),
    [("capital-of-portugal", 22, "Paris", 44), ("capital-of-portugal", 24, "Portugal", 50),
     ("capital-of-portugal", 25, "Lisbon", 48), ("capital-of-portugal", 26, "Lisbon", 38),
     ("largest-moon-of-saturn", 24, "Saturn", 50), ("largest-moon-of-saturn", 28, "Titan", 27),
     ("name-a-planet", 22, "Earth", 50), ("name-a-continent", 16, "Earth", 13)],
)  # fmt: skip
def test_what_the_sample_lessons_tell_is_what_the_run_says(question, layer, answer, count):
    top = view_of(RUN, question).layers[layer - 1].answers[0]
    assert (top.text, top.count) == (answer, count)


def test_what_the_sample_lessons_tell_of_several_layers_is_what_the_runs_say():
    moon, cool, warm = (
        view_of(*each).layers
        for each in (
            (RUN, "largest-moon-of-saturn"), (RUN, "name-a-planet"), ("a9a4b3a8654fe9da", "name-a-planet")
        )
    )  # fmt: skip
    assert [layer.num_correct > 0 for layer in moon[21:24]] == [True, True, False]
    mostly = [layer for layer in cool if 2 * layer.num_correct >= layer.num_samples]
    assert {layer.exit_layer for layer in mostly if layer.num_clusters > 1} == set(range(25, 31))
    assert all(warmer.num_clusters > cooler.num_clusters for warmer, cooler in zip(warm[24:], cool[24:], strict=True))
    assert [layer.num_correct for layer in warm[28:]] == [50, 50] and cool[-1].num_correct == 50
    assert any(answer.text == "Pluto" and answer.outcome == "incorrect" for answer in warm[25].answers)
    uranus = view_of(RUN, "discoverer-of-uranus").layers
    assert max(uranus, key=lambda layer: layer.num_correct).exit_layer == 28


def test_every_layer_that_the_answers_leave_possible_counts():
    lesson = read_lesson(REPO / "assets" / "lessons" / "depth.en.yaml")
    moon = lesson.steps[1]
    first, mostly = (truth_of(each, view_of(RUN, moon.question), lesson.presets) for each in moon.predict)
    assert first.layers == (22,) and first.options == (2,)
    assert mostly.layers == (28, 29)
    assert mostly.is_right(moon.predict[1], 29) and not mostly.is_right(moon.predict[1], 30)


def test_every_mistake_is_named_at_once_with_its_place():
    wrong = {
        "version": 2,
        "titel": "t",
        "steps": [
            STEP | {"run": "ffffffffffffffff"},
            STEP | {"question": "no-such"},
            STEP | {"predict": [{"kind": "best"}, {"kind": "answer_at", "layer": 31, "options": ["a", "b"]}]},
            {"title": "", "predict": []},
        ],
    }
    found = mistakes(wrong)
    for place in (
        "version:", "title:", "titel:", "steps 1, run:", "steps 2:", "steps 3, predict 1, kind:", "steps 3, predict 2:",
        "steps 4, title:", "steps 4, predict:",
    ):  # fmt: skip
        assert any(line.startswith(f"- {place}") for line in found), (place, found)


@pytest.mark.parametrize(
    ("lesson", "said"),
    [
        (prediction(kind="answer_at", layer=22, options=["Rome", "Oslo"]), "none of the options"),
        (prediction(kind="answer_at", options=["Rome", "Oslo"]), "answer_at needs layer"),
        (prediction(kind="first_right", layer=3), "takes no layer"),
        (prediction(kind="first_right", spans=[[1, 10], [10, 20]]), "must ascend and not overlap"),
        (prediction(kind="first_right", spans=[[1, 10], [11, 20]]), "none of the spans"),
        (prediction(kind="opinion", options=["yes", "Yes "], text="?"), "two options are the same"),
        (step(ask={"question": "q", "accept": ["a"]}), "either run and question, or ask"),
        (step(run="../../etc/passwd"), "run"),
        (step(presets={"balance": float("nan")}), "balance"),
        (step(run=None, question=None, ask={"question": "q", "accept": ["a", "a|b"]}), "more than once"),
        ([], "mapping"),
    ],
)
def test_a_mistake_is_said(lesson, said):
    assert any(said in line for line in mistakes(lesson))


def test_a_question_that_is_asked_live_is_a_run():
    lesson = parsed(step(run=None, question=None, ask={"question": "Name a star.", "accept": ["Sun", "Vega | α Lyr"]}))
    request = lesson.steps[0].ask.request()
    assert request.questions[0].ideas == (("Sun",), ("Vega", "α Lyr")) and request.num_samples == 10


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: &a [1]\nb: *a\n", "aliases"),
        (b"title: a\ntitle: b\n", "twice"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"a: !!python/object/apply:os.system [ls]\n", "constructor"),
        (b"a: [\n", "line 2"),
        (b"[" * 5_000, "read"),
        (b"a: 2001-99-99\n", "read"),
        (b"#" * (MOST_BYTES + 1), "bytes"),
    ],
)
def test_a_file_that_is_no_lesson_is_refused_in_a_sentence(content, said):
    with pytest.raises(LessonError, match=said):
        parse_lesson(content)


NAMES = st.sampled_from(["version", "title", "steps", "predict", "kind", "run", "question", "ask", "spans", "options"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(LAYER_KINDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)


@given(VALUES, st.sampled_from(["lesson", "step", "prediction"]))
def test_whatever_stands_in_a_lesson_is_taken_or_named(values, place):
    inside = values if isinstance(values, dict) else {"title": values}
    lesson = {
        "lesson": LESSON | inside,
        "step": LESSON | {"steps": [STEP | inside]},
        "prediction": LESSON | {"steps": [STEP | {"predict": [inside]}]},
    }[place]
    try:
        assert parsed(lesson).title
    except LessonError as error:
        assert str(error).startswith("- ")


@given(st.binary(max_size=200) | st.text(alphabet="[]{}:-&*!|>'\"?,# \n\tab1", max_size=60).map(str.encode))
def test_whatever_bytes_stand_in_a_file_are_no_crash(content):
    with pytest.raises(LessonError):
        parse_lesson(content)


def test_a_pipe_or_a_device_is_no_lesson(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for file in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(LessonError, match=f"cannot read the lesson {file}: it is no regular file"):
            read_lesson(file)


def test_the_program_ends_with_2_and_all_mistakes(tmp_path):
    file = tmp_path / "lesson.yaml"
    file.write_text("version: 1\ntitel: x\nsteps: []\n", encoding="utf-8")
    done = subprocess.run([sys.executable, "app.py", "--class", str(file)], cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error: the lesson ")
    assert "- titel: unknown key" in done.stderr and "- steps:" in done.stderr and "Traceback" not in done.stderr
