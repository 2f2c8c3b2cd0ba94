"""The room of a class and its routes: fifty students at once, a restart, and what is refused."""

import csv
import io
import re
import sqlite3
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from test_lesson_files import LESSON, QUESTION, RUN, parsed
from test_views import HOSTILE

from app.lessons import routes
from app.lessons.address import join_address, told
from app.lessons.live import start_live
from app.lessons.reading import read_lesson
from app.lessons.room import RefusedError, Room, lesson_id
from app.lessons.routes import ClassPages
from app.lessons.store import ClassFileError, ClassStore
from app.places import Caller
from app.service import Service
from app.settings import PageSettings

DEPTH = Path(__file__).parent.parent / "assets" / "lessons" / "depth.en.yaml"


def new_room(folder, lesson=None, **options):
    lesson = lesson or read_lesson(DEPTH)
    return Room(lesson, ClassStore(folder, lesson_id(lesson)), **options)


@pytest.fixture
def room(tmp_path):
    return new_room(tmp_path)


def client_of(room, service=None):
    pages = ClassPages(room, service, "http://192.168.1.5:7860/class")
    return TestClient(Starlette(routes=pages.routes()))


@pytest.fixture
def client(room):
    return client_of(room)


def teacher(room):
    return f"/class/teacher/{room.store.teacher_token}"


def joined(client):
    return {"X-Class-Student": client.post("/class/join").json()["token"]}


def test_fifty_students_predict_at_once_and_a_restart_loses_none(tmp_path, room):
    room.go(0)
    tokens, problems = [], []

    def take_part(number):
        try:
            token = room.join()
            room.predict(token, 0, 0, 30)
            room.predict(token, 0, 0, number % 30 + 1)
            tokens.append(token)
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=take_part, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == [] and room.num_students == 50 and room.spread(0, 0).total() == 50
    assert sorted(room.number_of(token) for token in tokens) == list(range(1, 51))
    room.reveal(0)
    room.store.close()
    again = new_room(tmp_path)
    assert again.stage.at == 0 and again.stage.is_revealed and again.stage.version != room.stage.version
    assert again.spread(0, 0) == room.spread(0, 0) and again.mine(tokens[0], 0) == room.mine(tokens[0], 0)
    assert again.join(tokens[0]) == tokens[0] and again.num_students == 50
    assert again.store.teacher_token == room.store.teacher_token


def test_the_file_of_a_class_has_no_student_s_token_and_only_its_owner_reads_it(tmp_path, room):
    token = room.join()
    (file,) = tmp_path.glob("*.sqlite")
    assert file.stat().st_mode & 0o077 == 0
    assert token.encode() not in b"".join(each.read_bytes() for each in tmp_path.iterdir())


def test_predictions_close_at_the_reveal(room):
    token = room.join()
    room.go(0)
    room.predict(token, 0, 0, 25)
    room.reveal(0)
    with pytest.raises(RefusedError, match="class_closed"):
        room.predict(token, 0, 0, 26)
    assert room.mine(token, 0) == {0: 25}
    assert room.truths(0)[0].is_right(room.lesson.steps[0].predict[0], 25)


@pytest.mark.parametrize(
    ("step", "question", "value", "key"),
    [(0, 0, 0, "class_no_prediction"), (0, 0, 31, "class_no_prediction"), (0, 1, 4, "class_no_prediction"),
     (0, 2, 1, "class_no_prediction"), (1, 0, 1, "class_closed"), (-1, 0, 1, "class_closed")],
)  # fmt: skip
def test_what_is_no_prediction_is_refused(room, step, question, value, key):
    token = room.join()
    room.go(0)
    with pytest.raises(RefusedError, match=key):
        room.predict(token, step, question, value)
    assert room.rows() == []


def test_a_room_is_full_at_some_time(tmp_path):
    room = new_room(tmp_path, most_students=2)
    first = room.join()
    room.join()
    with pytest.raises(RefusedError, match="class_full"):
        room.join()
    assert room.join(first) == first


def test_a_new_class_begins_empty_and_keeps_the_teacher_s_link(tmp_path, room):
    token = room.join()
    room.go(0)
    room.predict(token, 0, 0, 25)
    room.reset()
    assert (room.num_students, room.rows(), room.stage.at) == (0, [], -1)
    with pytest.raises(RefusedError, match="class_not_in"):
        room.predict(token, 0, 0, 25)
    assert new_room(tmp_path).store.teacher_token == room.store.teacher_token


def test_a_class_goes_on_in_memory_where_the_disk_fails(room, client):
    room.store.close()  # every write fails from here on
    room.go(0)
    room.predict(room.join(), 0, 0, 25)
    assert room.spread(0, 0) == {25: 1} and room.store.is_failing
    assert "cannot be written" in client.get(f"{teacher(room)}/state").json()["html"]


def test_a_damaged_file_is_a_sentence(tmp_path):
    lesson = read_lesson(DEPTH)
    (tmp_path / f"{lesson_id(lesson)}.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(Exception, match="delete it, and the class starts anew") as raised:
        ClassStore(tmp_path, lesson_id(lesson))
    assert not isinstance(raised.value, sqlite3.Error)


@pytest.mark.parametrize("number", range(2, 8))
def test_a_file_whose_later_pages_are_damaged_is_read_or_a_sentence(tmp_path, number):
    room = new_room(tmp_path)
    room.go(0)
    room.predict(room.join(), 0, 0, 25)
    room.store.close()
    (file,) = tmp_path.glob("*.sqlite")
    content = bytearray(file.read_bytes())
    content[4096 * (number - 1) : 4096 * number] = b"\xff" * 4096
    file.write_bytes(content)
    try:
        again = new_room(tmp_path)
    except ClassFileError as error:
        assert re.fullmatch(r"cannot use .*: .*: delete it, and the class starts anew", str(error))
    else:
        assert again.spread(0, 0) == {25: 1}  # an index alone is damaged


def test_students_see_what_is_right_only_after_the_reveal(room, client):
    student, link = joined(client), teacher(room)
    assert client.post(f"{link}/do", json={"do": "go", "at": 0}).status_code == 200
    before = client.get("/class/state", headers=student).json()
    assert "<form" in before["html"] and "Lisbon" in before["html"] and "48" not in before["html"]
    assert client.get(f"/class/state?seen={before['version']}", headers=student).json() == {
        "version": before["version"]
    }
    sent = {"step": 0, "question": 0, "value": 25}
    assert client.post("/class/predict", json=sent, headers=student).status_code == 200
    assert client.get("/class/state", headers=student).json()["mine"] == {"0": 25}
    assert "Layer 25: 1" in client.get(f"{link}/state").json()["html"]
    shown = client.get("/class/show/state").json()["html"]
    assert "1 of 1 have predicted" in shown and "Layer 25" not in shown  # a room sees no spread yet
    assert client.post(f"{link}/do", json={"do": "reveal", "at": 0}).status_code == 200
    after = client.get(f"/class/state?seen={before['version']}", headers=student).json()["html"]
    assert "layer 25, with 48 right answers of 50" in after and "<form" not in after
    assert "1 of 1 predictions count as right" in after
    assert "layer 25, with 48 right" in client.get("/class/show/state").json()["html"]
    refused = client.post("/class/predict", json=sent, headers=student)
    assert refused.status_code == 409 and "closed" in refused.json()["problem"]


@pytest.mark.parametrize("view", ["student", "projector", "teacher"])
def test_a_request_can_wait_for_news(room, client, view):
    student = joined(client)
    path = {"student": "/class", "projector": "/class/show", "teacher": teacher(room)}[view]
    room.go(0)
    seen = client.get(f"{path}/state", headers=student).json()["version"]
    reveal = threading.Timer(0.3, room.reveal, [0])
    reveal.start()
    news = client.get(f"{path}/state?wait&seen={seen}", headers=student).json()
    reveal.join()
    assert news["version"] != seen and "layer 25, with 48 right" in news["html"]


def test_a_request_waits_for_news_no_longer_than_proxies_do(client, monkeypatch):
    student = joined(client)
    seen = client.get("/class/state", headers=student).json()["version"]
    monkeypatch.setattr(routes, "_MOST_SECONDS_WAITING", 0.3)
    assert client.get(f"/class/state?wait&seen={seen}", headers=student).json() == {"version": seen}


def test_who_waits_for_news_of_a_class_that_is_over_is_told(room, client):
    student = joined(client)
    seen = client.get("/class/state", headers=student).json()["version"]
    reset = threading.Timer(0.3, room.reset)
    reset.start()
    assert client.get(f"/class/state?wait&seen={seen}", headers=student).status_code == 409
    reset.join()


def test_only_the_secret_link_is_the_teacher_s(room, client):
    link = teacher(room)
    page = client.get(link)
    assert page.status_code == 200 and page.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for wrong in ("x", room.store.teacher_token[:-1], room.store.teacher_token.upper(), "ü%00"):
        for end in ("", "/state", "/predictions.csv"):
            assert client.get(f"/class/teacher/{wrong}{end}").status_code == 404
        assert client.post(f"/class/teacher/{wrong}/do", json={"do": "reset"}).status_code == 404
    student = joined(client)
    for path in ("/class", "/class/state", "/class/show", "/class/show/state"):
        assert room.store.teacher_token not in client.get(path, headers=student).text


@pytest.mark.parametrize(
    "sent",
    [b"", b"{}", b"[]", b'{"step":0,"question":0,"value":NaN}', b'{"step":0,"question":0,"value":"25"}',
     b'{"step":0,"question":0,"value":1e9}', b'{"step":0,"question":0,"value":25,"name":"x"}', b"\xff" * 900,
     b'{"step":0' + b" " * 2_000 + b"}"],
)  # fmt: skip
def test_what_a_browser_of_ours_does_not_send_is_refused_in_a_sentence(room, client, sent):
    room.go(0)
    answer = client.post("/class/predict", content=sent, headers=joined(client))
    assert answer.status_code == 400 and answer.json()["problem"]
    assert client.post(f"{teacher(room)}/do", content=sent).status_code == 400
    assert room.rows() == [] and room.stage.at == 0


def test_who_is_not_in_sees_and_predicts_nothing(room, client):
    room.go(0)
    sent = {"step": 0, "question": 0, "value": 25}
    for headers in ({}, {"X-Class-Student": "x" * 500}):
        assert client.get("/class/state", headers=headers).status_code == 409
        assert client.post("/class/predict", json=sent, headers=headers).status_code == 409


def test_the_csv_has_numbers_in_the_place_of_names_and_no_formulas(tmp_path):
    options = ["=1+1", "@x"]
    step = LESSON["steps"][0] | {"title": "+t", "predict": [{"kind": "opinion", "text": "-a", "options": options}]}
    room = new_room(tmp_path, parsed(LESSON | {"steps": [step]}))
    token = room.join()
    room.go(0)
    room.predict(token, 0, 0, 0)
    answer = client_of(room).get(f"{teacher(room)}/predictions.csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [dict(row) for row in rows] == [
        {"student": "1", "step": "1", "title": "'+t", "question": "'-a", "kind": "opinion", "prediction": "'=1+1",
         "counts_as_right": ""}
    ]  # fmt: skip
    assert token not in answer.text


def test_the_texts_of_a_lesson_are_texts(tmp_path):
    text = " ".join(HOSTILE)[:190]
    predict = [
        {"kind": "opinion", "text": text, "options": ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>"]}
    ]
    step = LESSON["steps"][0] | {"title": text, "text": text, "explain": text, "predict": predict}
    values = {"title": text, "about": text, "steps": [step]}
    room = new_room(tmp_path, parsed(LESSON | values))
    client = client_of(room)
    student = joined(client)
    seen = [client.get("/class").text]
    for do in ({"do": "go", "at": -1}, {"do": "go", "at": 0}, {"do": "reveal", "at": 0}):
        client.post(f"{teacher(room)}/do", json=do)
        seen += [client.get("/class/state", headers=student).json()["html"]]
        seen += [client.get(path).json()["html"] for path in ("/class/show/state", f"{teacher(room)}/state")]
    for html in seen:
        assert "<script>alert" not in html and "<img" not in html


def run_live(room, service):
    start_live(room, service, 0)
    for thread in threading.enumerate():
        if thread.name.endswith("(_run)"):
            thread.join()


def test_a_live_question_is_run_once_and_then_revealed(tmp_path):
    from app.live import LiveEvent
    from hcl_core import pipeline

    ask = {"question": "Which city is the capital of Portugal?", "accept": ["Lisbon"]}
    step = {"title": "t", "ask": ask, "predict": [{"kind": "first_right"}]}
    room = new_room(tmp_path, parsed(LESSON | {"steps": [step]}))
    manifest = SimpleNamespace(id=RUN)
    run: Any = SimpleNamespace(manifest=manifest, questions=[SimpleNamespace(question=SimpleNamespace(id=QUESTION))])
    asked = []

    def events(request, visitor, kind):
        asked.append(request.questions[0].text)
        finished = pipeline.Finished.__new__(pipeline.Finished)
        yield LiveEvent(finished, run)

    room.go(0)
    with pytest.raises(RefusedError, match="class_not_run"):
        room.reveal(0)
    service: Any = SimpleNamespace(run=events)
    run_live(room, service)
    assert asked == [ask["question"]] and room.stage.run == (RUN, QUESTION)
    with pytest.raises(RefusedError, match="class_is_run"):
        room.start_run(0)
    room.reveal(0)
    assert room.truths(0)[0].layers == (25,)
    assert new_room(tmp_path, room.lesson).stage.run == (RUN, QUESTION)


def test_a_live_question_that_gets_no_thread_can_be_run_again(tmp_path, monkeypatch):
    step = {"title": "t", "ask": {"question": "q", "accept": ["a"]}, "predict": [{"kind": "first_right"}]}
    room = new_room(tmp_path, parsed(LESSON | {"steps": [step]}))
    room.go(0)
    monkeypatch.setattr(threading.Thread, "start", Mock(side_effect=RuntimeError("can't start new thread")))
    nobody: Any = None
    with pytest.raises(RuntimeError, match="can't start"):
        start_live(room, nobody, 0)
    assert room.stage.progress is None and room.stage.problem.startswith("the run failed")
    assert room.start_run(0).ask


def test_a_live_question_that_fails_says_why_to_the_teacher(tmp_path):
    from hcl_core.errors import ModelNotFoundError

    step = {"title": "t", "ask": {"question": "q", "accept": ["a"]}, "predict": [{"kind": "first_right"}]}
    room = new_room(tmp_path, parsed(LESSON | {"steps": [step]}))

    def fails(request, visitor, kind):
        raise ModelNotFoundError("no such model")
        yield

    room.go(0)
    service: Any = SimpleNamespace(run=fails)
    run_live(room, service)
    assert "no such model" in client_of(room).get(f"{teacher(room)}/state").json()["html"]
    room.start_run(0)  # and it can be tried again


def test_a_class_on_a_public_page_has_the_limits_of_one_visitor(tmp_path, monkeypatch):
    monkeypatch.setenv("HCL_RUNS", str(tmp_path / "runs"))
    step = {"title": "t", "ask": {"question": "q", "accept": ["a"]}, "predict": [{"kind": "first_right"}]}
    room = new_room(tmp_path, parsed(LESSON | {"steps": [step]}))
    service = Service(PageSettings(public=True, most_places_a_visitor=1))
    room.go(0)
    with service.places.take(Caller("class")):
        run_live(room, service)
    assert "this public page allows 1 at once" in client_of(room).get(f"{teacher(room)}/state").json()["html"]


def test_the_address_is_one_that_a_class_can_open():
    assert join_address("192.168.1.5", 7860) == "http://192.168.1.5:7860/class"
    assert join_address("::1", 7860) == "http://[::1]:7860/class"
    assert join_address("0.0.0.0", 80, "https://proxy.example/") == "https://proxy.example/class"
    local = told("127.0.0.1", join_address("127.0.0.1", 7860), "secret")
    assert "--host 0.0.0.0" in local and "/class/teacher/secret" in local
    assert "--host 0.0.0.0" in told("localhost", join_address("localhost", 7860), "secret")
    assert "--host" not in told("127.0.0.1", "https://proxy.example/class", "secret")
    assert "--host" not in told("0.0.0.0", "http://192.168.1.5:7860/class", "secret")
