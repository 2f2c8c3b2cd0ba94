"""An exported page of a run whose every text is made to do harm: it has text and pictures, and nothing that runs."""

from html.parser import HTMLParser

import pytest
from test_page import write_hostile_run

from app.export import export_page, export_question_page
from app.language import Translator
from app.library import find_run, questions_of
from app.visit import Balance

WORDS = Translator("en")


class Seen(HTMLParser):
    """What a browser finds in a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes = set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs


@pytest.fixture(params=["run", "question"])
def seen(request, tmp_path, monkeypatch):
    monkeypatch.setenv("HCL_RUNS", str(tmp_path))
    run = find_run(write_hostile_run(tmp_path))
    target = tmp_path / "page.html"
    if request.param == "run":
        export_page(run, target, WORDS)
    else:
        export_question_page(run, questions_of(run)[0].question.id, Balance(), target, WORDS)
    text = target.read_text(encoding="utf-8")
    assert "alert(1)" in text  # as text
    parser = Seen()
    parser.feed(text)
    return parser


def test_it_has_no_script_no_frame_and_no_handler(seen):
    assert seen.tags & {"script", "iframe", "object", "embed", "form", "base", "link", "img"} == set()
    assert [name for name, _ in seen.attributes if name.startswith("on")] == []
    addresses = [value for name, value in seen.attributes if name in ("href", "xlink:href", "src", "action")]
    assert [each for each in addresses if not each.startswith("#")] == []


def test_it_allows_none_either(seen):
    policies = [value for name, value in seen.attributes if name == "content" and "default-src" in value]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
