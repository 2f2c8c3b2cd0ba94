"""A person's verdicts laid over the judge's: what changes, what stays, and that all of it can be taken back."""

import csv
import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from conftest import FakeEmbedder, contents, run_command
from fake_runs import PLANET, make_manifest, make_settings
from hypothesis import given
from hypothesis import strategies as st

from hcl_core.errors import RunFolderError, SettingsError
from hcl_core.judges.person import (
    MOST_LETTERS,
    MOST_VERDICTS,
    PersonVerdict,
    PersonVerdicts,
    idea_of,
    read_person_verdicts,
    write_person_verdicts,
)
from hcl_core.pipeline.overrule import Agreement, JudgedQuestion, overrule, overruled_outcomes, overruled_questions
from hcl_core.pipeline.stored import read_outcomes
from hcl_core.records import Outcome, Question, Sample, SamplingSettings, StoredQuestion, Verdict
from hcl_core.runs.verify import verify_run
from hcl_core.scores.metrics import INCORRECT, NOT_ATTEMPTED, creativity_raw, hallucination_rate
from hcl_core.transfer.export import export_csv, export_scores_csv
from hcl_core.transfer.packing import pack_run
from hcl_core.transfer.unpacking import unpack_run

ANSWERS = ["Mars", "Earth", "earth", "Moon", ""]
LAYERS = (1, 2)


def judged_question(layers, question=PLANET):
    """A question with the answers of two layers; the judge knows the accepted ones alone."""
    samples, verdicts, ideas = [], {}, {}
    for exit_layer, answers in zip(LAYERS, layers, strict=True):
        for number, answer in enumerate(answers):
            sample = Sample(question.id, exit_layer, number, answer, f" {answer}\n", (7,), (-0.5,), "stop")
            samples.append(sample)
            is_right = answer in question.accepted_answers
            outcome: Outcome = "correct" if is_right else "incorrect" if answer else "not_attempted"
            verdicts[sample.key] = Verdict(sample.key, outcome, "a rule", answer if is_right else None)
            if is_right:
                ideas[sample.key] = question.accepted_answers.index(answer)
    return JudgedQuestion(question, samples, verdicts, ideas)


JUDGED = judged_question((["Mars", "Earth", "earth", ""], ["Earth", "Mars", "Moon", "Venus"]))
MANIFEST = make_manifest(
    make_settings(exit_layers=LAYERS, num_samples=4, sampling=SamplingSettings()), [StoredQuestion(PLANET, "Q")]
)


def verdict(answer, is_right, idea=None, **text):
    return PersonVerdict(PLANET.id, answer, is_right, answer, idea, **text)


def laid_over(*verdicts, judged=JUDGED, ideas="accepted", embed=None):
    return overrule(judged, verdicts, ideas, embed or (lambda _: pytest.fail("asked for the embedder")))


def outcomes(judged):
    return judged.outcomes(MANIFEST).outcomes[0].tolist()


def test_a_right_answer_is_an_idea_of_its_own_at_every_layer():
    assert outcomes(JUDGED) == [[0, INCORRECT, INCORRECT, NOT_ATTEMPTED], [INCORRECT, 0, INCORRECT, 1]]
    over = laid_over(verdict("Earth", True, "Earth"))
    assert outcomes(over) == [[0, 3, INCORRECT, NOT_ATTEMPTED], [3, 0, INCORRECT, 1]]
    assert over.question.ideas[3] == ("Earth",)
    table, before = over.outcomes(MANIFEST), JUDGED.outcomes(MANIFEST)
    assert table.num_accepted_ideas.tolist() == [4]
    assert creativity_raw(table.outcomes).tolist() == [2, 3] and creativity_raw(before.outcomes).tolist() == [1, 2]
    assert hallucination_rate(table.outcomes).tolist() == [0.5, 0.25]


def test_a_right_answer_can_be_an_idea_that_is_there():
    over = laid_over(verdict("Moon", True, "Venus"), verdict("Earth", True, "Earth"), verdict("earth", True, "Earth"))
    assert outcomes(over) == [[0, 3, 3, NOT_ATTEMPTED], [3, 0, 1, 1]]


def test_a_wrong_answer_has_no_idea_and_silence_stays_silence():
    over = laid_over(verdict("Mars", False))
    assert outcomes(over) == [[INCORRECT, INCORRECT, INCORRECT, NOT_ATTEMPTED], [INCORRECT, INCORRECT, INCORRECT, 1]]
    assert len(over.question.ideas) == 3
    said = judged_question((["I do not know"], []))
    key = said.samples[0].key
    said = replace(said, verdicts={key: Verdict(key, "not_attempted", "a refusal")})
    over = laid_over(verdict("I do not know", False), judged=said)
    assert over.verdicts[key].outcome == "not_attempted" and not over.verdicts[key].is_overruled


def test_a_verdict_on_a_text_holds_at_its_layer_alone_and_above_one_on_the_answer():
    on_text = verdict("Earth", False, exit_layer=2, completion=" Earth\n")
    assert outcomes(laid_over(verdict("Earth", True, "Earth"), on_text)) == [
        [0, 3, INCORRECT, NOT_ATTEMPTED],
        [INCORRECT, 0, INCORRECT, 1],
    ]


def test_agreement_is_counted_where_the_person_looked():
    over = laid_over(verdict("Earth", True, "Earth"), verdict("Mars", True), verdict("Moon", False))
    assert Agreement.on(over) == Agreement(8, num_overruled=2, num_texts_looked_at=3, num_texts_overruled=1)
    assert Agreement.on(JUDGED) == Agreement(8, 0, 0, 0)


def test_a_verdict_that_agrees_changes_no_outcome():
    assert outcomes(laid_over(verdict("Mars", True), verdict("Moon", False))) == outcomes(JUDGED)


def test_ideas_without_names_are_found_by_the_runs_own_way():
    over = laid_over(verdict("Earth", True, "Earth"), ideas="embedding", embed=FakeEmbedder().embed)
    assert [over.ideas[sample.key] for sample in over.samples if sample.key in over.ideas] == [0, 1, 0, 1, 2]


def test_open_questions_are_not_judged():
    with pytest.raises(SettingsError, match="open question"):
        laid_over(verdict("Mars", True), judged=replace(JUDGED, question=Question(PLANET.id, "Use a brick.", ())))


def test_the_idea_of_a_right_answer_goes_by_its_words():
    assert idea_of(PLANET, (), "Earth") == "Earth"
    assert idea_of(PLANET, (), "the mars.") == "Mars"
    assert idea_of(PLANET, (verdict("Earth", True, "Earth"),), "earth.") == "Earth"
    assert idea_of(Question("one", "Who?", (("Shakespeare", "Bard"),)), (), "Shakspere") == "Shakespeare"


@pytest.mark.parametrize(
    "wrong",
    [
        {"answer": " "},
        {"is_right": False, "idea": "Mars"},
        {"idea": " "},
        {"exit_layer": 2},
        {"completion": "Earth"},
    ],
    ids=str,
)
def test_verdicts_that_say_nothing_are_refused(wrong):
    with pytest.raises(SettingsError):
        replace(verdict("Earth", True), **wrong)


def test_verdicts_of_a_run_are_bounded():
    with pytest.raises(SettingsError, match="2,000 verdicts"):
        PersonVerdicts(tuple(verdict(str(number), True) for number in range(MOST_VERDICTS + 1)))
    with pytest.raises(SettingsError, match="300,000 letters"):
        PersonVerdicts((verdict("a" * MOST_LETTERS, True),))


persons = st.builds(
    lambda answer, is_right, has_idea: verdict(answer, is_right, answer if is_right and has_idea else None),
    st.sampled_from(ANSWERS[:-1]),
    st.booleans(),
    st.booleans(),
)
all_answers = st.lists(st.sampled_from(ANSWERS), max_size=4)


@given(st.tuples(all_answers, all_answers), st.lists(persons, max_size=4))
def test_verdicts_taken_back_leave_what_the_judge_said(layers, verdicts):
    judged = judged_question(layers)
    given_ones = PersonVerdicts().given(verdicts)
    over = laid_over(*given_ones.verdicts, judged=judged, embed=FakeEmbedder().embed)
    assert {key: each.judge_outcome or each.outcome for key, each in over.verdicts.items()} == {
        key: each.outcome for key, each in judged.verdicts.items()
    }
    assert laid_over(*given_ones.without(verdicts).verdicts, judged=judged) == judged


@given(st.tuples(all_answers, all_answers), st.lists(persons, max_size=4))
def test_counts_add_up(layers, verdicts):
    over = laid_over(
        *PersonVerdicts(tuple(verdicts)).verdicts, judged=judged_question(layers), embed=FakeEmbedder().embed
    )
    right = {key for key, each in over.verdicts.items() if each.outcome == "correct"}
    assert right == set(over.ideas)
    assert (over.outcomes(MANIFEST).outcomes >= 0).sum() == len(right)
    counts = Agreement.on(over)
    assert counts.num_overruled == sum(each.is_overruled for each in over.verdicts.values())
    assert counts.num_texts_overruled <= min(counts.num_overruled, counts.num_texts_looked_at)


@given(st.tuples(all_answers, all_answers), st.booleans())
def test_all_right_and_all_wrong(layers, is_right):
    judged = judged_question(layers)
    verdicts = [verdict(answer, is_right, answer if is_right else None) for answer in ANSWERS[:-1]]
    over = laid_over(*verdicts, judged=judged)
    expected = {sample.key for sample in judged.samples if sample.answer} if is_right else set()
    assert set(over.ideas) == expected


def test_the_latest_verdict_on_an_answer_holds():
    kept = PersonVerdicts().given([verdict("Earth", True, "Earth")]).given([verdict("Earth", False)])
    assert [each.is_right for each in kept.verdicts] == [False]


# Files and exports.


@pytest.fixture
def kept(finished):
    """Verdicts on a stored run: one wrong answer is right, one right one wrong."""
    return PersonVerdicts((verdict("wrong", True, "wrong"), verdict("Mars", False)))


def test_a_file_of_verdicts_is_read_as_it_was_written(tmp_path, kept):
    path = tmp_path / "new" / "a.json"
    write_person_verdicts(path, "0" * 16, kept)
    assert read_person_verdicts(path, "0" * 16) == kept
    with pytest.raises(RunFolderError, match="they are of run"):
        read_person_verdicts(path, "1" * 16)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"run_id": "x", "verdicts": [{"answer": "Mars"}]}',
        '{"run_id": 1, "verdicts": []}',
        '{"more": 1}',
    ],
)
def test_a_damaged_file_of_verdicts_is_one_line(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(RunFolderError, match=r"^a\.json: no verdicts of run x: [^\n]+$"):
        read_person_verdicts(tmp_path / "a.json", "x")


def rows_of(path):
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline="")))


def test_csv_marks_what_a_person_said(finished, kept, tmp_path):
    before = contents(finished.path)
    overruled = overruled_questions(finished, kept, FakeEmbedder().embed)
    export_csv(finished, tmp_path / "with.csv", overruled=overruled)
    export_csv(finished, tmp_path / "without.csv")
    rows, judged = rows_of(tmp_path / "with.csv"), rows_of(tmp_path / "without.csv")
    assert "judged_by" not in judged[0]
    for row, as_judged in zip(rows, judged, strict=True):
        is_own = row["question_id"] == PLANET.id and row["answer"] in ("wrong", "Mars")
        assert (row["judged_by"], row["overruled"]) == (("person", "true") if is_own else ("judge", "false"))
        assert row["judge_outcome"] == as_judged["outcome"]
        assert (row["outcome"] != as_judged["outcome"]) is is_own
        assert (row["cluster_id"] != "") is (row["outcome"] == "correct")
    assert contents(finished.path) == before and verify_run(finished) == []


def test_scores_are_those_with_the_verdicts(finished, kept, tmp_path):
    overruled = overruled_questions(finished, kept, FakeEmbedder().embed)
    export_scores_csv(finished, tmp_path / "scores.csv", overruled=overruled)
    rows = rows_of(tmp_path / "scores.csv")
    table = overruled_outcomes(read_outcomes(finished), overruled, finished.manifest())
    assert [float(row["hallucination_rate"]) for row in rows] == pytest.approx(
        hallucination_rate(table.outcomes).tolist()
    )
    judged = read_outcomes(finished).outcomes
    changed = ((table.outcomes >= 0) != (judged >= 0)).sum(axis=(0, 2))
    assert [int(row["num_overruled"]) for row in rows] == changed.tolist() and changed.sum() > 0
    assert np.array_equal(table.outcomes[1], judged[1])


def test_a_zip_has_the_verdicts_beside_the_run_and_import_shows_the_judges(finished, kept, tmp_path):
    pack_run(finished, tmp_path / "run.zip", kept)
    imported = unpack_run(tmp_path / "run.zip", tmp_path / "runs").folder
    run_id = finished.manifest().run_id
    assert read_person_verdicts(imported.path / "person_verdicts.json", run_id) == kept
    assert np.array_equal(read_outcomes(imported).outcomes, read_outcomes(finished).outcomes)
    pack_run(imported, tmp_path / "again.zip")
    with zipfile.ZipFile(tmp_path / "again.zip") as archive:  # another person's are not handed on
        assert not any(name.endswith("person_verdicts.json") for name in archive.namelist())


def test_verdicts_of_another_run_in_a_zip_are_left_out(finished, tmp_path):
    pack_run(finished, tmp_path / "run.zip", PersonVerdicts((verdict("Mars", False),)))
    forged = tmp_path / "forged.zip"
    with zipfile.ZipFile(tmp_path / "run.zip") as source, zipfile.ZipFile(forged, "w") as target:
        for name in source.namelist():
            text = source.read(name)
            target.writestr(name, json.dumps({"run_id": "x", "verdicts": []}) if "person" in name else text)
    assert not (unpack_run(forged, tmp_path / "runs").folder.path / "person_verdicts.json").exists()


def test_the_terminal_exports_with_a_file_of_verdicts(finished, kept, tmp_path, capsys):
    file, target = tmp_path / "mine.json", tmp_path / "a.csv"
    write_person_verdicts(file, finished.manifest().run_id, PersonVerdicts((kept.verdicts[1],)))
    code, *_ = run_command(
        capsys, "export", finished.path, "--format", "csv", "--verdicts", file, "--out", target, "--no-bom"
    )
    assert code == 0 and {row["answer"] for row in rows_of(target) if row["overruled"] == "true"} == {"Mars"}
    code, _, err = run_command(capsys, "export", finished.path, "--format", "notebook", "--verdicts", file)
    assert code == 2 and "--verdicts goes with" in err
