"""A class in a real browser: two students join, predict and see the reveal, as the teacher and the projector do."""

import os
import re
import subprocess
import sys

import pytest
from test_page import browser, fits

from docs.screenshots import ROOT

__all__ = ["browser"]  # fixture
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def links(tmp_path_factory):
    """The students' address and the teacher's."""
    command = [sys.executable, "app.py", "--class", "assets/lessons/depth.de.yaml"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "HCL_RUNS": str(tmp_path_factory.mktemp("runs"))}
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    try:
        for line in process.stdout:
            if found := re.search(r"(http://\S+/class)(/teacher/\S+)", line):
                yield found[1], found[1] + found[2]
                return
        pytest.fail("the program ended before it had a class")
    finally:
        process.terminate()
        process.wait(10)


def serious(page):
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [(each["id"], each["nodes"][0]["html"][:200]) for each in found if each["impact"] in ("serious", "critical")]


def test_a_class_joins_predicts_and_sees_the_reveal(links, browser):
    join, link = links
    problems = []

    def opened(address, width, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        page = context.new_page()
        page.on("console", lambda message: message.type == "error" and problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: request.url.startswith((join, "data:")) or problems.append(request.url))
        page.goto(address)
        return page

    students = [opened(join, 390), opened(join, 360, "dark")]
    for number, page in enumerate(students, 1):
        page.get_by_text("Du bist dabei.").wait_for()
        page.get_by_text(f"Nummer {number}", exact=True).wait_for()
    teacher, room = opened(link, 1280), opened(f"{join}/show", 1280, "dark")
    room.get_by_text("2 Personen sind dabei").wait_for()
    assert room.get_by_role("img", name="QR-Code").is_visible()
    teacher.get_by_role("button", name="Beginnen").click()
    for page, layer, city in zip(students, (25, 12), ("Paris", "Lisbon"), strict=True):
        slider = page.get_by_role("slider", name="Schicht, von 1 bis 30")
        slider.fill(str(layer))
        page.get_by_role("button", name="Tippen").first.click()
        page.get_by_label(city).check()
        page.get_by_role("button", name="Tippen").last.click()
        page.locator(".sent:not(:empty)").nth(1).wait_for()
    teacher.get_by_text("Schicht 25: 1").wait_for()
    room.get_by_text("2 von 2 haben getippt").wait_for()
    students[0].reload()  # a telephone that comes back has its prediction still
    students[0].get_by_role("button", name="Tipp ändern").first.wait_for()
    assert students[0].get_by_role("slider").input_value() == "25"
    pages = [*students, teacher, room]
    assert [serious(page) for page in pages] == [[]] * 4
    assert all(fits(page) for page in pages)
    teacher.get_by_role("button", name="Auflösen").click()
    truth = "In diesem Lauf ist es Schicht 25"
    for page in pages:
        page.get_by_text(truth).wait_for()
    assert students[0].get_by_text("Dein Tipp gilt als richtig.").count() == 2
    assert students[1].get_by_text("Du hast anders getippt.").count() == 2
    assert room.locator(".chart").is_visible() and not room.locator("table, header").first.is_visible()
    assert [serious(page) for page in pages] == [[]] * 4
    assert all(fits(page) for page in pages)
    assert problems == []
    for page in pages:
        page.context.close()
