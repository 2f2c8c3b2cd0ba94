"""A verdict belongs to whoever asked: equal samples with other right answers or another judge are two runs."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from test_cli import command, run_tiny, tiny  # noqa: F401
from test_handlers import EQUAL, SHIPPED, WORDS, by, controls, form, loads, service  # noqa: F401
from test_shared_runs import decoded, events_of, next_wave, wait_until_ended, waves_of  # noqa: F401

from app import library
from app.handlers import explore, runs, shown_question
from app.handlers.links import Link
from app.handlers.opening import open_page
from app.handlers.shown_question import ShownQuestion
from app.live import LiveEvent
from app.run_names import run_names
from hcl_core.folders import precomputed_folder, runs_folder
from hcl_core.pipeline import Finished
from hcl_core.pipeline.views import stored_view_id
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.verify import verify_run
from hcl_core.transfer.packing import pack_run
from hcl_core.transfer.unpacking import unpack_run

LETTERS = "\n".join("abcdefghijklmnopqrstuvwxyz0123456789<>=+-")
NOTHING = "zzzqqq"


def finish(service, accepted, visitor="somebody", **changes):  # noqa: F811
    """The result on the page at the end of a run."""
    updates = list(explore.run(by(service, visitor), form(accepted=accepted, **changes), EQUAL))
    return updates[-1].result


def content_of(folder):
    return {
        file.relative_to(folder): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.name != ".lock"
    }


def folder_of(result):
    return RunFolder(runs_folder() / result.shown.run_id)


def hallucination(view):
    return [layer.hallucination_rate for layer in view.outcomes.scored(EQUAL.weights, EQUAL.scaling).scores]


def right_answers(stored):
    return "\n".join(stored.question.answers)


def part_inodes(folder):
    return [file.stat().st_ino for file in folder.parts.files()]


@pytest.mark.parametrize("changes", [{"accepted": LETTERS}, {"accepted": NOTHING, "judge": "paper"}])
def test_what_is_asked_otherwise_leaves_the_stored_run_and_its_link_as_they_are(
    service,  # noqa: F811
    decoded,  # noqa: F811
    changes,
):
    first = finish(service, NOTHING)
    before = content_of(folder_of(first).path)
    second = finish(service, **changes)
    assert second.shown.run_id != first.shown.run_id
    assert content_of(folder_of(first).path) == before
    link = Link(run_id=first.shown.run_id, question_id=first.shown.question_id)
    explored: Any = open_page(by(service), link, controls()).explore
    opened = explored.opened.result
    assert opened.view.stored == first.view.stored and hallucination(opened.view) == [1, 1, 1, 1]
    # The samples are the same ones, on disk too.
    assert len(decoded) == 1
    assert part_inodes(folder_of(first)) == part_inodes(folder_of(second))
    assert not verify_run(folder_of(second))


def test_each_of_two_visitors_at_once_sees_their_own_numbers_live_and_afterwards(service, decoded):  # noqa: F811
    asked = {"first": NOTHING, "second": LETTERS}
    events = {visitor: events_of(service, visitor, accepted=accepted) for visitor, accepted in asked.items()}
    begun = {visitor: next(each for each in mine if isinstance(each, LiveEvent)) for visitor, mine in events.items()}
    with ThreadPoolExecutor(2) as pool:
        seen: dict[str, Any] = dict(zip(asked, pool.map(list, events.values()), strict=True))
    assert len(decoded) == 1
    question_id = begun["first"].run.questions[0].question.id
    for visitor, accepted in asked.items():
        live = [each for each in seen[visitor] if isinstance(each, LiveEvent)]
        assert isinstance(live[-1].event, Finished)
        view = live[-1].run.view(question_id)
        assert len(view.samples) == 96 and right_answers(view.stored) == accepted
        stored = shown_question.show(by(service), ShownQuestion(view.manifest.id, question_id), EQUAL).view
        assert hallucination(stored) == hallucination(view)
        assert (hallucination(view) == [1, 1, 1, 1]) == (visitor == "first")
    own = [run for run in library.stored_runs(with_own=True) if not run.is_shipped]
    assert len({run.manifest.id for run in own}) == 2 and len({run.manifest.run_id for run in own}) == 1
    assert part_inodes(own[0].folder) == part_inodes(own[1].folder)


def test_a_follower_goes_on_when_the_visitor_whom_it_follows_leaves(service, decoded):  # noqa: F811
    first, second = events_of(service, "first"), events_of(service, "second", accepted=LETTERS)
    next_wave(first)
    assert next_wave(second).event.num_done == 32
    first.close()
    assert waves_of(second) == [96] and len(decoded) == 1
    wait_until_ended(service)
    assert not service._runs._of_samples


def test_a_follower_that_stops_keeps_its_waves_and_the_other_goes_on(service, decoded):  # noqa: F811
    first, second = events_of(service, "first"), events_of(service, "second", accepted=LETTERS)
    next_wave(first)
    wave = next_wave(second)
    second.close()
    assert waves_of(first) == [96]
    wait_until_ended(service)
    assert wave.run.folder.manifest().finished_at is None and len(wave.run.folder.samples()) in (32, 96)
    assert len(finish(service, LETTERS).view.samples) == 96


def test_a_follower_decodes_what_is_missing_when_the_other_fails(service, monkeypatch):  # noqa: F811
    from hcl_core.judges.alias import AliasJudge

    judge = AliasJudge.judge

    def fail_on_nothing(self, question, answers):
        if question.answers == (NOTHING,):
            raise RuntimeError("no verdict today")
        return judge(self, question, answers)

    monkeypatch.setattr(AliasJudge, "judge", fail_on_nothing)
    first, second = events_of(service, "first", accepted=NOTHING), events_of(service, "second", accepted=LETTERS)
    for events in (first, second):
        next(each for each in events if isinstance(each, LiveEvent))
    with pytest.raises(RuntimeError, match="no verdict today"):
        list(first)
    assert waves_of(second)[-1] == 96


def older(folder):
    """The run as an older version wrote it: without a view id, in a folder called by its run id."""
    manifest = replace(folder.manifest(), view_id=None)
    folder.write_manifest(manifest)
    target = folder.path.with_name(manifest.run_id)
    folder.path.rename(target)
    return RunFolder(target)


def test_the_folder_of_an_older_version_goes_on_for_its_own_verdicts_alone(service, decoded):  # noqa: F811
    first = finish(service, NOTHING)
    old, question_id = older(folder_of(first)), first.shown.question_id
    before = content_of(old.path)
    assert finish(service, NOTHING).shown.run_id == old.path.name
    assert finish(service, LETTERS).shown.run_id != old.path.name
    assert {name: text for name, text in content_of(old.path).items() if name.suffix != ".parquet"} == {
        name: text for name, text in before.items() if name.suffix != ".parquet"
    }
    shown = shown_question.show(by(service), ShownQuestion(old.path.name, question_id), EQUAL)
    assert len(decoded) == 1 and hallucination(shown.view) == [1] * 4


def test_an_import_says_what_it_did(service, tmp_path):  # noqa: F811
    packed = []
    for number, accepted in enumerate((NOTHING, LETTERS)):
        folder = folder_of(finish(service, accepted))
        packed.append(tmp_path / f"{number}.zip")
        pack_run(folder, packed[-1])
    into = tmp_path / "elsewhere"
    imported = [unpack_run(file, into) for file in (*packed, *packed)]
    assert [each.outcome for each in imported] == ["stored", "view", "there", "there"]
    assert imported[0].folder.path != imported[1].folder.path and imported[1].folder.path == imported[3].folder.path
    assert part_inodes(imported[0].folder) == part_inodes(imported[1].folder)
    for each, accepted in zip(imported, (NOTHING, LETTERS), strict=False):
        assert right_answers(each.folder.questions()[0]) == accepted and not verify_run(each.folder)


def test_an_older_zip_is_stored_beside_other_verdicts_on_its_samples(service, tmp_path):  # noqa: F811
    zips = []
    for number, accepted in enumerate((NOTHING, LETTERS)):
        old = older(folder_of(finish(service, accepted)))
        zips.append(tmp_path / f"{number}.zip")
        pack_run(old, zips[-1])
        shutil.rmtree(old.path)
    into = tmp_path / "elsewhere"
    first, second = (unpack_run(file, into) for file in zips)
    assert (first.outcome, second.outcome) == ("stored", "view")
    assert first.folder.path.name == first.folder.manifest().run_id  # its links are valid
    assert second.folder.path.name == second.folder.manifest().view_id == stored_view_id(second.folder)


def test_an_import_with_a_forged_view_id_gets_its_own(service, tmp_path):  # noqa: F811
    folder = folder_of(finish(service, NOTHING))
    real = folder.manifest().view_id
    folder.write_manifest(replace(folder.manifest(), view_id="0123456789abcdef"))
    assert unpack_run(folder.path, tmp_path / "elsewhere").folder.path.name == real


def test_an_import_of_other_answers_to_the_same_request_is_kept_out_and_said(service, tmp_path):  # noqa: F811
    folder = folder_of(finish(service, NOTHING))
    half = RunFolder(shutil.copytree(folder.path, tmp_path / "half"))
    half.parts.files()[-1].unlink()
    half.write_manifest(replace(half.manifest(), finished_at=None))
    assert unpack_run(half.path, runs_folder()).outcome == "other"
    assert len(folder.samples()) == 96


def test_one_of_two_views_is_deleted_and_restored_alone(service):  # noqa: F811
    first, second = finish(service, NOTHING), finish(service, LETTERS)
    runs.delete(by(service), first.shown.run_id)
    runs.delete(by(service), second.shown.run_id)
    for result in (first, second):
        runs.undo(by(service), result.shown.run_id)
        assert not verify_run(folder_of(result)) and len(folder_of(result).samples()) == 96


def test_runs_that_differ_in_right_answers_are_told_apart_by_them(service):  # noqa: F811
    finish(service, "Mars\nVenus")
    finish(service, "Pluto")
    names = run_names([run for run in library.stored_runs(with_own=True) if not run.is_shipped], WORDS)
    assert sorted("Mars" in name for name in names) == sorted("Pluto" in name for name in names) == [False, True]


def test_changed_right_answers_are_found_by_verify(service):  # noqa: F811
    folder = folder_of(finish(service, "Mars"))
    file = folder.path / "questions.jsonl"
    file.write_text(file.read_text().replace('"Mars"', '"Moon"'))
    assert [problem.file for problem in verify_run(folder)] == ["questions.jsonl"]


# In the terminal.


def test_score_with_another_judge_makes_a_view_and_says_so(command, run_tiny, tmp_path):  # noqa: F811
    run_tiny("--question", "Name a city.", "--accept", "Rome", "--out", tmp_path / "own")
    before = content_of(tmp_path / "own")
    code, _, err = command("score", tmp_path / "own", "--judge", "paper", "--json")
    (view,) = (path for path in runs_folder().iterdir() if not path.name.startswith("."))
    assert code == 0 and "a view of their own" in " ".join(err.split()) and view.name in err
    assert content_of(tmp_path / "own") == before
    assert RunFolder(view).manifest().judge == "paper" and RunFolder(view).manifest().id == view.name
    assert not verify_run(RunFolder(view))


def test_run_into_the_folder_of_other_right_answers_is_refused(command, run_tiny, tmp_path):  # noqa: F811
    run_tiny("--question", "Name a city.", "--accept", "Rome", "--out", tmp_path / "own")
    before = content_of(tmp_path / "own")
    code, _, err = run_tiny("--question", "Name a city.", "--accept", "Oslo", "--out", tmp_path / "own")
    assert code != 0 and "choose another folder" in " ".join(err.split())
    assert content_of(tmp_path / "own") == before


def test_a_shipped_run_judged_otherwise_stays_byte_for_byte(command):  # noqa: F811
    shipped = precomputed_folder() / SHIPPED
    before = content_of(shipped)
    assert command("score", shipped, "--judge", "paper", "--json")[0] == 0
    assert content_of(shipped) == before
