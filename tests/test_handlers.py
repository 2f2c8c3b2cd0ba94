"""The page's handlers: a tiny model live, the shipped runs without one, and every mistake as an error."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from conftest import make_lm
from fake_runs import sample_keys, write_derived

from app import library, run_names
from app.handlers import compare, dataset, explore, learn, lens, opening, questions, run_list, runs, shown_question
from app.handlers.dataset import SetChoice, ShownSet
from app.handlers.explore_start import PrefilledStart, StoredStart
from app.handlers.form import CONTROLS, Form, by_name
from app.handlers.lens import ShownLens
from app.handlers.links import read_link
from app.handlers.measures import MEASURES, further_measures
from app.handlers.shown_question import ShownQuestion
from app.jobs import StoppedError
from app.language import Translator
from app.messages import Message, Progress
from app.question_view import QuestionView
from app.render.explore import stored_parts
from app.render.opening import page_parts
from app.service import Service
from app.settings import PageSettings
from app.visit import Balance, Visit
from hcl_core import registry
from hcl_core.decode.model.checkpoints import Checkpoint
from hcl_core.errors import HclError, JudgeError, LimitError, RunFolderError, SettingsError
from hcl_core.folders import runs_folder
from hcl_core.pipeline.plausibility import plausibility_stamp

ROOT = Path(__file__).parent.parent
WORDS = Translator("en")
VISITOR = "visitor"
EQUAL = Balance()
SHIPPED, WARMER = "0be6b1cadd189061", "a9a4b3a8654fe9da"
PLANET = ShownQuestion(SHIPPED, "name-a-planet")


class LetterEmbedder:
    """Texts that start alike mean the same."""

    name = "letters"

    def embed(self, texts):
        vectors = np.zeros((len(texts), 256), np.float32)
        vectors[np.arange(len(texts)), [ord((text or " ")[0].lower()) % 256 for text in texts]] = 1
        return vectors


@pytest.fixture
def loads():
    """Name and number format of each model that the service loads."""
    return []


@pytest.fixture
def service(monkeypatch, tmp_path, loads):
    """With a tiny model; shows each wave, however fast."""
    monkeypatch.setenv("HCL_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(explore, "INTERVAL", 0)
    monkeypatch.setattr(explore, "PAUSE", 0)

    def load(name, dtype="auto", device="auto"):
        loads.append((name, dtype))
        return (make_lm(),), Checkpoint(name, "tiny", tmp_path)

    monkeypatch.setattr(registry, "load_replicas", load)
    monkeypatch.setattr(registry, "load_embedder", LetterEmbedder)
    return Service(dtype="fastest")


@pytest.fixture
def reader(monkeypatch, tmp_path):
    """A visit whose model and embedder must not be asked for."""
    monkeypatch.setenv("HCL_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(registry, "load_replicas", lambda *_: pytest.fail("loaded a model"))
    monkeypatch.setattr(registry, "load_embedder", lambda *_: pytest.fail("loaded the embedder"))
    return by(Service())


def by(service, visitor=VISITOR):
    return Visit(WORDS, service, visitor)


def controls(**changes):
    """Values of the controls by name."""
    values = {
        "model": "tiny", "question": "Name a planet", "accepted": "Mars\nVenus", "first_layer": 1, "last_layer": 4,
        "every": 1, "num_samples": 24, "temperature": 1.0, "top_p": 0.9, "top_k": 0, "max_new_tokens": 6, "seed": 0,
        "template": "few_shot", "exit_head": "auto", "judge": "alias", "strategy": "early_exit",
    }  # fmt: skip
    return values | changes


def form(**changes):
    return Form.from_controls(controls(**changes))


def run(service, visitor=VISITOR, **changes):
    return explore.run(by(service, visitor), form(**changes), EQUAL)


def own_run():
    (own,) = [each for each in library.stored_runs(with_own=True) if not each.is_shipped]
    return own


def own_view():
    own = own_run()
    return QuestionView.load(own, library.questions_of(own)[0].question.id)


# A run of one question.


def test_a_run_shows_every_wave_and_ends_with_its_id(service):
    updates = list(run(service))
    assert updates[0].status == Message("loading_model", {"model": "tiny"})
    results = [update.result for update in updates if update.result]
    assert [len(result.view.samples) for result in results] == [32, 96, 96]  # waves of 8 and 16, then the end
    assert [result.view.is_complete for result in results] == [False, True, True]
    assert [result.shown.is_live for result in results] == [True, True, False]
    assert [layer.exit_layer for layer in results[-1].view.layers] == [1, 2, 3, 4]
    done = updates[-1].status
    assert (done.key, done.values["run"]) == ("run_done", results[-1].shown.run_id)


def test_only_the_first_results_of_a_run_may_change_the_chosen_layer(service):
    assert [update.is_first for update in run(service) if update.result] == [True, False, False]


def num_updates(service, monkeypatch, num_runs):
    """Of a run beside others, and how often the clock was read; it is read twice for an update, and goes on by 0.06."""
    clock = iter(np.arange(0, 1000, 0.06))
    with monkeypatch.context() as patch:
        patch.setattr(explore, "INTERVAL", 0.25)
        patch.setattr("app.handlers.explore.time.monotonic", lambda: float(next(clock)))
        patch.setattr(type(service), "num_runs_under_way", num_runs)
        updates = list(run(service, num_samples=56, max_new_tokens=12, seed=num_runs))
    return updates, int(next(clock) / 0.06)


def test_updates_come_no_faster_than_a_page_can_follow_and_no_wave_is_lost(service, monkeypatch):
    updates, readings = num_updates(service, monkeypatch, num_runs=1)
    assert len(updates) - 3 <= readings / 4  # the first answers and the end are awaited
    progress = [update.status for update in updates[:-1] if update.result]
    assert progress and all(isinstance(each, Progress) and each.num_wanted == 224 for each in progress)


def test_beside_other_runs_updates_come_more_rarely_but_the_first_answers_at_once(service, monkeypatch):
    updates, readings = num_updates(service, monkeypatch, num_runs=8)
    assert len(updates) - 3 <= readings / 4 / 8
    shown = [len(update.result.view.samples) for update in updates if update.result]
    assert shown[0] == 32 and shown[-1] == 224


def test_updates_that_take_long_come_rarely(service, monkeypatch):
    monkeypatch.setattr(explore, "PAUSE", 1_000_000)
    shown = [update.result for update in run(service, num_samples=56, max_new_tokens=12) if update.result]
    assert len(shown) == 2 and shown[-1].view.is_complete  # the first answers and the end are awaited


def test_an_update_of_thirty_layers_and_fifty_answers_is_small(reader):
    balance = Balance(more=("confidence", "creativity_raw"))
    result = shown_question.show(reader, ShownQuestion(WARMER, "name-a-planet"), balance)
    assert len(json.dumps(stored_parts(result, WORDS), default=str)) < 200_000


def test_the_same_request_again_is_found_not_computed(service, loads, tmp_path):
    list(run(service))
    parts = {part: part.stat().st_mtime_ns for part in tmp_path.rglob("part-*.parquet")}
    again = list(run(service))
    assert not any(isinstance(update.status, Progress) and update.status.stage == "sampling" for update in again)
    assert {part: part.stat().st_mtime_ns for part in tmp_path.rglob("part-*.parquet")} == parts
    assert loads == [("tiny", "fastest")]


def test_a_stopped_run_goes_on_where_it_was(service):
    running = run(service)
    next(update for update in running if update.result)
    running.close()
    resumed = [update.status for update in run(service)]
    assert any(
        isinstance(each, Progress) and (each.stage, each.num_done, each.num_wanted) == ("going_on", 32, 96)
        for each in resumed
    )
    assert resumed[-1].key == "run_done"


def test_a_visitor_stops_their_own_run_alone(service):
    def finish(stopped_by):
        for update in run(service, seed=1):
            if update.result:
                service.jobs.stop(stopped_by)
        return update

    with pytest.raises(StoppedError):
        finish(VISITOR)
    assert finish("somebody else").status.key == "run_done"


def test_stop_while_waiting_is_kept_until_the_run_would_begin(service):
    service.jobs.press(VISITOR, "explore")
    service.jobs.stop(VISITOR, "explore")
    assert list(run(service))[-1].status.key == "stopped_empty"
    assert list(run(service))[-1].status.key == "run_done"  # the next Run is another


def test_a_visitor_who_leaves_stops_their_run(service):
    updates = run(service)
    next(update for update in updates if update.result)
    service.forget(VISITOR)
    with pytest.raises(StoppedError):
        list(updates)


def test_what_can_be_seen_has_a_verdict_of_every_answer_meanwhile(service, monkeypatch):
    """Whoever looks while a wave is judged finds the waves before it."""
    from hcl_core.judges.alias import AliasJudge

    views, judge = [], AliasJudge.judge

    def judge_while_seen(self, question, answers):
        try:
            views.append(next(iter(service._live.values())).view(question.id))
        except StopIteration:
            views.append(None)
        except RunFolderError:
            views.append(None)  # nothing is there before the first wave
        return judge(self, question, answers)

    monkeypatch.setattr(AliasJudge, "judge", judge_while_seen)
    list(run(service))
    seen = [view for view in views if view]
    assert seen and all(set(view.verdicts) == {sample.key for sample in view.samples} for view in seen)


def test_another_judge_that_fails_leaves_a_run_as_it_was_judged(service, monkeypatch):
    from hcl_core.judges.paper import PaperJudge

    list(run(service))
    before = own_run()
    monkeypatch.setattr(PaperJudge, "judge", lambda *_: (_ for _ in ()).throw(JudgeError("no verdict today")))
    with pytest.raises(JudgeError, match="no verdict today"):
        list(run(service, judge="paper", accepted="Pwned"))
    after = library.find_run(before.manifest.id)
    assert after.manifest == before.manifest and after.folder.questions() == before.folder.questions()
    assert QuestionView.load(after, after.folder.questions()[0].question.id).is_complete


def test_further_measures_follow_the_verdicts(service):
    def vendi(accepted):
        view = list(run(service, accepted=accepted))[-1].result.view
        return further_measures(view, ["vendi_score"], service)["vendi_score"]

    assert vendi("zzzqqq") == [0, 0, 0, 0] != vendi("\n".join("abcdefghijklmnopqrstuvwxyz0123456789<>|=+-"))


MISTAKES = [
    ({"question": "  "}, "needs a text"),
    ({"num_samples": 0}, "Answers a layer must be a number from 1 to 1000; got 0"),
    ({"num_samples": 1001}, "Answers a layer must be a number from 1 to 1000; got 1001"),
    ({"num_samples": 2.5}, "Answers a layer must be a whole number; got 2.5"),
    ({"temperature": -1.0}, "Temperature must be a number from 0 to 10; got -1"),
    ({"temperature": 99}, "Temperature must be a number from 0 to 10; got 99"),
    ({"top_p": 0}, "Top-p must be a number from 0.01 to 1; got 0"),
    ({"top_k": -1}, "Top-k .* must be a number from 0 on; got -1"),
    ({"max_new_tokens": 513}, "Tokens at most must be a number from 1 to 512; got 513"),
    ({"seed": -1}, "Seed must be a number from 0 on; got -1"),
    ({"every": 0}, "Every must be a number from 1 on; got 0"),
    ({"first_layer": 20, "last_layer": 10}, "First layer must not be above Last layer; got 20 and 10"),
    ({"temperature": None}, "Temperature is empty"),
    ({"first_layer": None}, "First layer is empty"),
    # What no control sends.
    ({"model": ["smollm2-135m"]}, "Model must be a text"),
    ({"judge": None}, "judge"),
    ({"exit_head": None}, "exit head"),
    ({"seed": 10**400}, "Seed must be a number"),
    ({"temperature": "x"}, "Temperature must be a number"),
    ({"top_k": float("nan")}, "Top-k .* must be a number"),
]


@pytest.mark.parametrize(("changes", "message"), MISTAKES, ids=[str(changes)[:30] for changes, _ in MISTAKES])
def test_a_value_out_of_range_is_an_error_that_names_it(changes, message):
    with pytest.raises(SettingsError, match=message):
        form(**changes).request()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"last_layer": 9}, "layer 9 does not exist: this model has layers 1 to 4"),
        ({"question": "long " * 600}, "exceed this model"),
    ],
    ids=["layer", "question"],
)
def test_what_only_the_model_can_refuse_is_an_error_before_any_result(service, changes, message):
    updates = run(service, **changes)
    assert next(updates).result is None
    with pytest.raises(HclError, match=message):
        next(updates)


def test_what_came_before_stop_can_be_weighed_and_looked_into(service):
    shown = None
    with pytest.raises(StoppedError):
        for update in run(service):
            if update.result:
                shown = update.result.shown
                service.jobs.stop(VISITOR)
    weighed = shown_question.show(by(service), shown, Balance(0))
    assert not weighed.view.is_complete and weighed.balance == Balance(0)
    assert shown_question.choose_layer(by(service), shown, 4, EQUAL).shown == replace(shown, layer=4)
    # Another visitor's run under way is nobody else's.
    with pytest.raises(RunFolderError, match="no longer in memory"):
        shown_question.show(by(service, "somebody else"), shown, EQUAL)


def test_a_deleted_run_stays_in_the_trash_for_thirty_days(service):
    import os

    list(run(service))
    gone = own_run().manifest.id
    runs.delete(by(service), gone)
    service.warm_up()
    trashed = next(path for path in (runs_folder() / ".trash").iterdir() if path.name == gone)
    os.utime(trashed, (0, 0))
    service.warm_up()
    with pytest.raises(RunFolderError, match="there is no deleted run"):
        runs.undo(by(service), gone)
    assert not trashed.exists()


# A public page.


@pytest.fixture
def public(monkeypatch):
    """A page whose visitors have the embedded model alone."""
    monkeypatch.setattr(registry, "load_replicas", lambda *_: pytest.fail("loaded"))
    monkeypatch.setattr(registry, "is_available", lambda model: model.name == "smollm2-135m")
    return Service(PageSettings(public=True))


def test_a_public_page_says_beside_the_estimate_what_it_would_refuse(public):
    with pytest.raises(LimitError, match="this public page allows 120,000"):
        explore.estimate(by(public), form(model="smollm2-135m", num_samples=1_000, last_layer=30))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "/etc"}, "only the models of its list"),
        ({"model": "layerskip-llama2-70b"}, "only the models of its list"),
        ({"model": "smollm2-135m", "num_samples": 1000, "last_layer": 30}, "this public page allows 120,000"),
        ({"model": "smollm2-135m", "accepted": "long " * 30_000}, "this public page allows 100,000"),
    ],
    ids=["a folder", "a download", "too many tokens", "too many letters"],
)
def test_a_public_page_refuses_what_could_harm(public, changes, message):
    with pytest.raises(SettingsError, match=message):
        list(run(public, **changes))


def test_a_public_page_lists_the_models_that_are_there(public):
    assert [model.name for model in public.offered_models()] == ["smollm2-135m"]


def test_a_public_page_counts_the_questions_of_a_set_too(public):
    asked = form(model="smollm2-135m", num_samples=56, max_new_tokens=20)
    with pytest.raises(SettingsError, match="this public page allows"):
        list(dataset.run(by(public), SetChoice("starter", 100, None, 1), asked, EQUAL))


def test_a_public_page_lists_no_visitors_runs(service):
    list(run(service))
    public = Service(PageSettings(public=True))
    assert [each.is_shipped for each in public.stored_runs()] == [True] * 4
    assert run_list.list_runs(by(public)).num_runs == 4
    assert [each.is_shipped for each in service.stored_runs()] == [True] * 4 + [False]


def test_a_public_page_asks_no_grader_at_its_owners_cost(public, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    request = replace(form(model="smollm2-135m").request(), judge="llm:grader")
    with pytest.raises(SettingsError, match="this public page has no llm judge"):
        next(public.run(request, VISITOR))


def test_a_public_page_keeps_and_deletes_nothing(public):
    for attempt in (
        lambda: runs.delete(by(public), SHIPPED), lambda: runs.undo(by(public), SHIPPED),
        lambda: runs.open_file(by(public), "x.zip"),
        lambda: runs.open_path(by(public), str(ROOT / "precomputed" / SHIPPED)),
    ):  # fmt: skip
        with pytest.raises(SettingsError, match="this public page keeps and deletes nothing"):
            attempt()


# The form and the balance.


def test_every_control_reaches_the_request():
    plain = form().request()
    changed = {
        "model": "other", "question": "Name a star", "accepted": "Sun", "first_layer": 2, "last_layer": 3, "every": 2,
        "num_samples": 5, "temperature": 0.3, "top_p": 0.5, "top_k": 7, "max_new_tokens": 9, "seed": 3,
        "template": "chat", "exit_head": "shared", "judge": "paper", "strategy": "self_speculative",
    }  # fmt: skip
    assert tuple(changed) == CONTROLS
    requests = [form(**{name: value}).request() for name, value in changed.items()]
    assert plain not in requests
    assert len(set(requests)) == len(changed)


def test_values_of_the_controls_are_read_in_their_order():
    values = controls()
    assert Form.from_controls(by_name(list(values.values()))) == form()
    assert tuple(values) == tuple(field.name for field in fields(Form))


def test_a_set_is_asked_with_the_settings_and_without_the_question_of_the_form(service):
    request = SetChoice("starter", 2, None, 1).request(by(service), form(question="", accepted="", seed=7))
    assert len(request.questions) == 2 and request.sampling.seed == 7


@pytest.mark.parametrize(
    ("values", "balance"),
    [
        ((50, "possible", None), Balance()),
        ((20, "absolute", ["confidence"]), Balance(20, "absolute", ("confidence",))),
        ((100, "min_max", []), Balance(100, "min_max")),
        ((0, "min_max", []), Balance(0, "min_max")),
    ],
)
def test_a_balance_is_read_from_its_controls(values, balance):
    assert Balance.from_controls(*values) == balance
    assert balance.weights.creativity + balance.weights.accuracy == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("x", "min_max", []), "Balance must be a number"),
        ((None, "min_max", []), "Balance is empty"),
        ((150, "min_max", []), "Balance must be a number from 0 to 100; got 150"),
        ((-1, "min_max", []), "Balance must be a number from 0 to 100; got -1"),
        ((50, "best", []), "scaling must be one of"),
        ((50, None, []), "scaling must be one of"),
        ((50, "min_max", ["<b>"]), "measure must be one of"),
    ],
)
def test_a_balance_that_is_none_is_an_error(values, message):
    with pytest.raises(SettingsError, match=message):
        Balance.from_controls(*values)


def test_a_balance_outside_its_range_cannot_be_made():
    with pytest.raises(SettingsError, match="from 0 to 100"):
        Balance(101)


# What is stored.


def test_stored_answers_are_shown_without_a_model(reader):
    result = shown_question.show(reader, PLANET, EQUAL)
    assert "Name a planet" in result.view.stored.question.text and result.scored.best is not None
    assert len(result.view.layers) == len(result.scored.scores) == 30
    assert result.shown == PLANET and result.further == {}


def test_a_question_is_shown_by_its_text(reader):
    text = shown_question.show(reader, PLANET, EQUAL).view.stored.question.text
    assert shown_question.show_text(reader, SHIPPED, text, EQUAL).shown == PLANET
    with pytest.raises(RunFolderError, match="does not have this question"):
        shown_question.show_text(reader, SHIPPED, "Is it?", EQUAL)


@pytest.mark.parametrize("question_id", ["name-a-planet", "capital-of-burkina-faso"])
def test_one_question_is_read_as_it_stands_in_the_whole_run(reader, question_id):
    stored = library.find_run(WARMER)
    whole = library.table_of(stored)
    row = [each.question.id for each in library.questions_of(stored)].index(question_id)
    alone = QuestionView.load(stored, question_id).outcomes.table
    assert (alone.outcomes[0] == whole.outcomes[row]).all()
    assert alone.confidences[0] == pytest.approx(whole.confidences[row], rel=1e-6)


def test_a_run_that_has_not_been_judged_is_an_error(service):
    list(run(service))
    own = own_run()
    (own.folder.path / "verdicts.parquet").unlink()
    shown = ShownQuestion(own.manifest.id, library.questions_of(own)[0].question.id)
    with pytest.raises(RunFolderError, match="has not been judged yet"):
        shown_question.show(by(service), shown, EQUAL)


def test_questions_that_were_damaged_since_are_read_again(service):
    list(run(service))
    own = own_run()
    assert library.questions_of(own)
    (own.folder.path / "questions.jsonl").write_text("broken", encoding="utf-8")
    with pytest.raises(RunFolderError, match="questions.jsonl cannot be read"):
        shown_question.show(by(service), ShownQuestion(own.manifest.id, "x"), EQUAL)


@pytest.mark.parametrize("content", ["broken", ""])
def test_a_run_whose_questions_are_damaged_has_asked_none(service, content):
    list(run(service))
    own = own_run()
    question = library.questions_of(own)[0].question
    assert library.question_id_of(own, question.text) == question.id
    (own.folder.path / "questions.jsonl").write_text(content, encoding="utf-8")
    assert library.question_id_of(own, question.text) is None


@pytest.mark.parametrize("run_id", ["../../etc", "0" * 16, "", "nothing", ".lock", "0BE6B1CADD189061"])
def test_a_run_id_that_is_none_is_an_error_and_no_path(reader, run_id):
    with pytest.raises(RunFolderError, match="no longer on this machine"):
        shown_question.show(reader, ShownQuestion(run_id, "name-a-planet"), EQUAL)


def test_the_balance_moves_the_optimum_without_new_answers(reader):
    scored = {share: shown_question.show(reader, PLANET, Balance(share)).scored for share in (0, 50, 100)}
    assert len({each.best for each in scored.values()}) > 1
    for score in scored[0].scores:
        assert score.hcb_score == pytest.approx(1 - score.hallucination_rate)
    for score in scored[100].scores:
        assert score.hcb_score == pytest.approx(score.creativity)
    absolute = shown_question.show(reader, PLANET, Balance(50, "absolute")).scored
    assert max(score.creativity for score in absolute.scores) < 0.2  # few of fifty answers are an idea of their own


@pytest.mark.parametrize("layer", [0, 31, "26", None, 2.5, "<b>"])
def test_a_layer_that_is_none_is_an_error(reader, layer):
    with pytest.raises(SettingsError, match="no such exit layer"):
        shown_question.choose_layer(reader, PLANET, layer, EQUAL)


def test_a_chosen_layer_is_remembered(reader):
    result = shown_question.choose_layer(reader, PLANET, 26, EQUAL)
    assert result.shown == replace(PLANET, layer=26)
    assert sum(sample.exit_layer == 26 for sample in result.view.samples) == 50


def test_every_measure_has_a_value_a_layer(service):
    list(run(service))
    columns = further_measures(own_view(), MEASURES, service)
    assert list(columns) == list(MEASURES) and {len(values) for values in columns.values()} == {4}
    assert columns["distinct_1"] != columns["semantic_entropy"]


def test_plausibility_is_shown_where_the_run_has_it_stored(service):
    list(run(service))
    assert np.isnan(further_measures(own_view(), ["plausibility"], service)["plausibility"]).all()
    folder = library.find_run(own_view().manifest.id).folder
    keys = sorted(sample_keys(folder))
    stamp = plausibility_stamp(folder.manifest())
    write_derived(folder, "plausibility", keys, stamp, mean_logprob=[-0.5 * key.exit_layer for key in keys])
    assert further_measures(own_view(), ["plausibility"], service)["plausibility"] == [-0.5, -1.0, -1.5, -2.0]


def test_the_balances_further_curves_come_with_a_question(reader):
    result = shown_question.show(reader, PLANET, Balance(more=("creativity_raw",)))
    assert result.further == {"creativity_raw": [score.creativity_raw for score in result.scored.scores]}


def test_the_exact_prompt_is_known_and_a_chat_only_with_its_model(service):
    assert "Question: Name <b>" in explore.preview(by(service), "tiny", "Name <b>", "few_shot")
    assert explore.preview(by(service), "tiny", "Name", "chat") is None
    list(run(service))
    # This tokenizer has no chat template, which only the loaded model can say.
    assert explore.preview(by(service), "tiny", "Name", "chat") is None


def test_the_time_is_estimated_before_a_run_or_not_known(reader):
    known = explore.estimate(reader, form(model="smollm2-135m", first_layer=16, last_layer=30))
    assert (known.num_layers, known.num_samples, known.needs_loading) == (15, 24, True)
    assert 0 < known.foretold.low < known.foretold.high
    unknown = explore.estimate(reader, form(model="own"))
    assert (unknown.num_layers, unknown.foretold) == (None, None)
    other = explore.estimate(reader, form(model="smollm2-135m", first_layer=16, last_layer=30, strategy="dynamic"))
    assert other.num_layers == 15 and other.foretold.middle > 0 and not other.foretold.is_timed


# Questions.


def test_a_question_is_found_and_taken_over(reader):
    hits = questions.search(reader, "starter", "baltic")
    assert "Baltic" in hits.questions[0].text and hits.is_search and hits.num_questions == 174
    assert questions.find(reader, "starter", hits.questions[0].id) == hits.questions[0]


def test_without_words_the_first_questions_are_listed(reader):
    hits = questions.search(reader, "starter", " ")
    assert not hits.is_search and hits.questions[0].id == "name-a-planet"


def test_words_that_no_question_has_find_nothing(reader):
    assert list(questions.search(reader, "starter", "xyzzy").questions) == []


def test_a_question_that_is_none_is_not_found(reader):
    assert questions.find(reader, "starter", "nothing") is None


# Compare.


@pytest.mark.parametrize("measure", ["hcb_score", "hallucination_rate", "creativity_raw"])
def test_two_stored_runs_are_compared(reader, measure):
    compared = compare.compare(reader, [SHIPPED, WARMER], measure)
    ((index, each),) = compared.comparisons
    assert (index, each.optimal_layers, each.num_questions) == (1, (30, 30), 174)
    assert [run.settings["temperature"] for run in compared.runs] == [0.6, 1.0]
    first, second = (run.curve.values for run in compared.runs)
    expected = [one - other for one, other in zip(first, second, strict=True)]
    assert [difference.estimate for difference in each.differences[measure]] == pytest.approx(expected, abs=1e-6)
    assert compared.notes == ()


def test_all_shipped_runs_and_a_published_curve_stand_over_each_other(reader):
    ids = [run_id for _, run_id in compare.choices(reader)]
    published = next(each for label, each in compare.choices(reader) if "Llama 2 7B, T 0.6" in label)
    compared = compare.compare(reader, [*ids[:4], published], "hallucination_rate")
    assert [run.is_published for run in compared.runs] == [False] * 4 + [True]
    assert all(run.curve for run in compared.runs) and [index for index, _ in compared.comparisons] == [1, 2, 3]
    assert compared.notes == (Message("published_note"),)


def test_a_published_curve_that_lacks_the_measure_is_named(reader):
    ids = [each for label, each in compare.choices(reader) if "Llama 3.2 1B, T 0.6" in label]
    compared = compare.compare(reader, [SHIPPED, *ids], "hallucination_rate")
    lacking = [run.name for run in compared.runs if run.curve is None]
    values = {"run": lacking[0], "measure": "Hallucination"}
    assert len(lacking) == 1 and Message("published_lacks", values) in compared.notes


@pytest.mark.parametrize(
    ("ids", "measure", "message"),
    [
        ([SHIPPED, "../etc"], "hcb_score", "no longer on this machine"),
        ([SHIPPED, "published-99"], "hcb_score", "no such published curve"),
        ([SHIPPED, "published-x"], "hcb_score", "no such published curve"),
        ([SHIPPED, WARMER], "best", "measure must be one of"),
        ([SHIPPED] * 7, "hcb_score", "at most 6"),
    ],
)
def test_runs_that_cannot_be_compared_are_an_error(reader, ids, measure, message):
    with pytest.raises(HclError, match=message):
        compare.compare(reader, ids, measure)


def test_runs_of_other_questions_are_drawn_and_have_nothing_in_common(service):
    list(run(service))
    own = own_run()
    compared = compare.compare(by(service), [SHIPPED, own.manifest.id], "hallucination_rate")
    assert compared.notes == (Message("nothing_in_common", {"run": run_names.run_name(own, WORDS)}),)
    assert compared.comparisons == [] and all(each.curve for each in compared.runs)


# Data set.


def run_set(service, choice, **changes):
    return list(dataset.run(by(service), choice, form(num_samples=4, **changes), EQUAL))


def test_a_set_is_run_and_its_curve_grows_question_by_question(service, monkeypatch):
    monkeypatch.setattr(dataset, "_CURVE_INTERVAL", -10)
    updates = run_set(service, SetChoice("starter", 3, None, 1))
    results = [update.result for update in updates if update.result]
    assert [result.num_answered for result in results] == [1, 2, 3, 3]
    assert [result.is_complete for result in results] == [False, False, False, True]
    assert results[-1].manifest.num_questions == 3 and results[-1].shown == ShownSet(results[-1].manifest.id)
    assert updates[-1].status.key == "set_done"


def test_the_selection_reaches_the_run(service):
    def asked(*choice):
        return SetChoice.from_controls("starter", *choice).request(by(service), form())

    plain, shuffled, several = asked(5, 0, 1), asked(5, 7, 1), asked(5, 0, 20)
    assert len({plain.questions, shuffled.questions, several.questions}) == 3
    assert several.question_set == "starter, at least 20 answers" and plain.questions != shuffled.questions


def test_too_many_questions_are_refused_with_the_limit(service):
    with pytest.raises(SettingsError, match="questions must be from 1 to 174"):
        run_set(service, SetChoice.from_controls("starter", 175, 0, 1))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((0, 0, 1), "Questions must be a number from 1 on; got 0"),
        ((None, 0, 1), "Questions is empty"),
        ((5, -1, 1), "Shuffle by .* must be a number from 0 on; got -1"),
        ((5, None, 1), "Shuffle by .* is empty"),
        ((5, 0, 1.5), "Right ideas, least must be a whole number; got 1.5"),
    ],
)
def test_a_number_of_the_selection_out_of_range_is_named(numbers, message):
    with pytest.raises(SettingsError, match=message):
        SetChoice.from_controls("starter", *numbers)


@pytest.mark.parametrize("changes", [{"last_layer": 99}, {"first_layer": 31, "last_layer": 31}, {"every": 31}])
def test_layers_that_the_model_lacks_are_refused_before_it_is_loaded(reader, changes):
    asked = form(**{"model": "smollm2-135m", "first_layer": 16, "last_layer": 30} | changes)
    for work in (
        lambda: list(explore.run(reader, asked, EQUAL)),
        lambda: explore.estimate(reader, asked),
        lambda: list(dataset.run(reader, SetChoice("starter", 3, None, 1), asked, EQUAL)),
    ):
        with pytest.raises(SettingsError, match="must be a number from 1 to 30; got"):
            work()


@pytest.mark.parametrize("number", [0, 41, None, 2.5])
def test_a_look_of_no_such_length_is_refused(reader, number):
    with pytest.raises(SettingsError, match="Tokens at most (must be a|is empty)"):
        list(lens.read_prompt(reader, "smollm2-135m", "auto", "One", False, number, "entropy"))


def test_what_is_wrong_with_a_number_is_said_in_the_visitors_language():
    with pytest.raises(SettingsError) as error:
        form(top_k=-1)
    assert Translator("de").error(str(error.value)) == "Top-k (0: aus) muss eine Zahl ab 0 sein, war aber -1"


def test_a_stored_set_is_weighed_and_a_row_opens_its_question(reader):
    result = dataset.show(reader, ShownSet(SHIPPED), Balance(20))
    assert len(result.questions) == len(result.table.outcomes) == result.num_answered == 174 and result.is_complete
    other = dataset.show(reader, result.shown, Balance(100)).scored
    assert [score.hcb_score for score in other.scores] != [score.hcb_score for score in result.scored.scores]
    opened = dataset.open_row(reader, result.shown, "baltic-sea-country", EQUAL)
    assert "Baltic" in opened.result.view.stored.question.text
    assert [run_id for _, run_id in opened.runs][0] == SHIPPED


def test_a_rows_question_that_is_none_is_an_error(reader):
    with pytest.raises(RunFolderError, match="does not have this question"):
        dataset.open_row(reader, ShownSet(SHIPPED), "<b>", EQUAL)


# Token lens.


def test_a_shipped_lens_is_shown_without_a_model(reader):
    result = lens.show(reader, ShownLens("name-a-planet", "linear"), "entropy")
    assert "Mars" in "".join(result.table.token_texts) and result.table.prompt.endswith("Answer:")
    cell = lens.choose_cell(reader, result.shown, 26, 0)
    assert (cell.layer, cell.position) == (26, 0) and len(cell.of.table.top_token_texts[25][0]) == 10


def test_any_prompt_is_read_and_recoloured(service):
    updates = list(lens.read_prompt(by(service), "tiny", "shared", "Once <b>", True, 3, "probability"))
    result = updates[-1].result
    assert updates[-1].status == Message("lens_done") and result.shown.is_live and result.table.num_hidden_layers == 4
    assert lens.show(by(service), result.shown, "kl_to_last").table is result.table
    with pytest.raises(RunFolderError, match="no longer in memory"):
        lens.show(by(service, "somebody else"), result.shown, "kl_to_last")


def test_a_reading_that_is_stopped_while_it_waits_says_so(service):
    service.jobs.press(VISITOR, "lens")
    service.jobs.stop(VISITOR, "lens")
    with service.jobs.work("somebody else", "lens") as other, service.jobs.queued(other):
        updates = list(lens.read_prompt(by(service), "tiny", "shared", "Once", False, 2, "entropy"))
    assert updates[-1].status == Message("stopped_look")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": " "}, "needs a prompt"),
        ({"prompt": "a" * 5_000}, "takes 4,000"),
        ({"prompt": "a" * 1_100, "whole_text": True}, "takes 1,000"),
        ({"num_tokens": 0}, "from 1 to 40"),
        ({"num_tokens": None}, "Tokens at most is empty"),
        ({"exit_head": "linear"}, "no exit head was fitted for this model"),
        ({"shade": "red"}, "shade must be one of"),
    ],
)
def test_a_reading_that_cannot_be_is_an_error(service, changes, message):
    asked = {
        "model": "tiny", "exit_head": "shared", "prompt": "Once", "whole_text": False, "num_tokens": 2,
        "shade": "entropy",
    }  # fmt: skip
    with pytest.raises(HclError, match=message):
        list(lens.read_prompt(by(service), **(asked | changes)))


@pytest.mark.parametrize("cell", [(0, 0), (31, 0), (26, 99), ("26", 0), (26, None), (True, 0.5)])
def test_a_cell_that_is_none_is_an_error(reader, cell):
    with pytest.raises(SettingsError, match="no such cell"):
        lens.choose_cell(reader, ShownLens("name-a-planet", "linear"), *cell)


# Runs.


@pytest.fixture
def own(service):
    """Id of a run of the visitor's own."""
    list(run(service))
    return own_run().manifest.id


def listed(visit):
    return [each.manifest.id for each in run_list.list_runs(visit).runs]


def test_runs_are_listed_and_one_is_shown(service, own):
    assert listed(by(service))[0] == own and SHIPPED in listed(by(service))
    result = runs.show(by(service), SHIPPED)
    assert result.scored.best == 30 and result.problem == "" and not result.may_delete
    assert runs.show(by(service), own).may_delete


@pytest.mark.parametrize("kind", runs.FORMATS)
def test_a_run_is_exported(service, own, kind):
    file = runs.export_run(by(service), own, kind)
    assert file.name.startswith(own) and file.stat().st_size > 500
    if kind == "html":
        page = file.read_text(encoding="utf-8")
        assert (
            "data-every" not in page and "hcl-followed" not in page.split("</style>")[1]
        )  # nothing that needs a script
        assert "<script" not in page and "<svg role=" in page and "Name a planet" in page
        assert "http://" not in page.split("</head>")[0] and 'src="' not in page


def test_a_deleted_run_comes_back(service, own):
    assert runs.delete(by(service), own).manifest.id == own
    assert own not in listed(by(service))
    runs.undo(by(service), own)
    assert own in listed(by(service))


@pytest.mark.parametrize("run_id", [SHIPPED, "../etc", None, ""])
def test_what_is_not_ones_own_is_not_deleted(service, run_id):
    with pytest.raises(HclError):
        runs.delete(by(service), run_id)
    assert (ROOT / "precomputed" / SHIPPED).is_dir()


def test_an_exported_run_is_opened_again(service, own, tmp_path, monkeypatch):
    file = runs.export_run(by(service), own, "zip")
    monkeypatch.setenv("HCL_RUNS", str(tmp_path / "elsewhere"))
    opened = runs.open_file(by(service), str(file))
    assert (opened.result.run.manifest.id, opened.outcome) == (own, "stored")
    assert listed(by(service))[0] == own


def test_an_export_goes_on_where_another_thread_removes_an_old_one(service, own):
    # As a folder that is listed and gone before its age is read.
    (runs._exports_folder() / "gone").symlink_to("nowhere")
    assert runs.export_run(by(service), own, "zip").is_file()


def test_exports_of_all_threads_are_in_one_folder(service):
    with ThreadPoolExecutor() as threads:
        assert len(set(threads.map(lambda _: runs._exports_folder(), range(8)))) == 1


def test_a_run_that_is_there_already_is_kept_and_said_to_be(service, own):
    file = runs.export_run(by(service), own, "zip")
    assert runs.open_file(by(service), str(file)).outcome == "there"


def test_a_file_that_is_no_run_is_an_error_without_its_path(service, tmp_path):
    file = tmp_path / "upload" / "junk.zip"
    file.parent.mkdir()
    file.write_bytes(b"PK no zip")
    with pytest.raises(RunFolderError, match="junk.zip") as error:
        runs.open_file(by(service), str(file))
    assert str(tmp_path) not in str(error.value)


# Learn.


@pytest.mark.parametrize("step", range(1, learn.NUM_GUESSES + 1))
def test_each_step_has_its_chart_and_knows_the_right_guess(reader, step):
    right = learn.RIGHT_ANSWERS[step - 1]
    revealed = [learn.reveal(reader, step, guess) for guess in (right, right % 3 + 1, None)]
    assert [each.is_right for each in revealed] == [True, False, None]
    assert revealed[0].chart.figure["data"]


def test_the_right_guesses_are_what_the_runs_show(reader):
    """The options in words, as numbers of the shipped runs."""
    found = {step: learn.reveal(reader, step, None).chart.values for step in range(1, 8)}
    assert learn.RIGHT_ANSWERS == (2, 3, 1, 2, 3, 1, 2)
    assert found[1]["settles"] > 20 and found[1]["settles"] < 30
    assert found[2]["shared"] > 0.95
    assert found[3]["last"] < found[3]["first"] / 3
    assert found[4]["late"] > 0.8 * found[4]["right"]
    assert 3 <= found[5]["ideas"] <= 10 < found[5]["right"] / 2
    assert found[6]["best"] == 30
    assert found[7]["high"] - found[7]["low"] <= 0.02


def test_the_sixth_step_is_weighed(reader):
    assert learn.weigh(reader, Balance(0)).figure["data"] != learn.weigh(reader, Balance(100)).figure["data"]


# Addresses.


def opened(visit, query, answers=()):
    return opening.open_page(visit, read_link(query, list(answers)), controls())


def test_a_first_visit_shows_the_first_shipped_run(reader):
    page = opened(reader, {})
    assert isinstance(page.explore, StoredStart) and page.explore.opened.result.shown == PLANET
    assert page.link.tab == "explore" and SHIPPED in [run_id for _, run_id in page.explore.opened.runs]


def test_an_address_opens_the_same_view(reader):
    query = {"run": WARMER, "question": "baltic-sea-country", "layer": "27", "balance": "20", "scaling": "absolute"}
    result = opened(reader, query).explore.opened.result
    assert result.shown == ShownQuestion(WARMER, "baltic-sea-country", 27)
    assert result.balance == Balance(20, "absolute")


def test_an_address_fills_in_the_form_and_runs_nothing(reader):
    query = {"q": "Name a <b>star</b>", "temperature": "0.3", "last": "20", "head": "shared"}
    page = opened(reader, query, ["Sun", "Vega"])
    assert page.link.form == {
        "question": "Name a <b>star</b>", "accepted": "Sun\nVega", "temperature": 0.3, "last_layer": 20,
        "exit_head": "shared",
    }  # fmt: skip
    assert isinstance(page.explore, PrefilledStart) and "Name a <b>star</b>" in page.explore.prompt


def test_an_address_opens_a_comparison(reader):
    page = opened(reader, {"tab": "compare", "runs": f"{SHIPPED},{WARMER}", "measure": "creativity_raw"})
    assert page.compare.ids == [SHIPPED, WARMER] and page.compare.comparison.measure == "creativity_raw"
    assert (page.dataset, page.runs) == (None, None)


def test_an_address_opens_a_set(reader):
    page = opened(reader, {"tab": "dataset", "run": WARMER, "balance": "20"})
    assert page.dataset.result.shown == ShownSet(WARMER) and page.dataset.result.balance == Balance(20)


def test_an_address_opens_a_run(reader):
    assert opened(reader, {"tab": "runs", "run": WARMER}).runs.result.run.manifest.id == WARMER


@pytest.mark.parametrize(
    "query",
    [
        {"tab": "<b>", "balance": "nan"}, {"layer": "1e9", "run": SHIPPED},
        {"balance": "-5", "scaling": "x", "measure": "x"},
        {"template": "file", "head": "/etc/passwd", "judge": "llm:x"},
    ],
    ids=str,
)  # fmt: skip
def test_a_part_of_an_address_that_makes_no_sense_is_left_out(reader, query):
    page = opened(reader, query)
    assert dict(page.link.ignored) == {name: text for name, text in query.items() if name != "run"}
    assert replace(page.link, ignored=()) == replace(read_link({}, []), run_id=query.get("run"))
    assert page.explore.opened.result.shown == PLANET


@pytest.mark.parametrize(
    "query", [{"samples": "9" * 400}, {"seed": "-1"}, {"q": "a" * 100_000}], ids=["samples", "seed", "q"]
)
def test_an_address_with_absurd_values_opens(reader, query):
    assert page_parts(opened(reader, query), WORDS)["headline"]


def test_manifests_are_read_again_only_after_they_have_changed(service, monkeypatch):
    from hcl_core.runs.folder import RunFolder

    list(run(service))
    own = own_run()
    read, manifest = [], RunFolder.manifest
    monkeypatch.setattr(RunFolder, "manifest", lambda self: read.append(self.path) or manifest(self))
    assert own_run().manifest == own.manifest and own.folder.path not in read
    own.folder.write_manifest(replace(own.manifest, question_set="another"))
    assert own_run().manifest.question_set == "another" and read.count(own.folder.path) == 1
