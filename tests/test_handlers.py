"""The page's handlers: a tiny model live, the shipped runs without one, and every mistake as a message."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import make_lm

from app import library
from app.handlers import compare, dataset, explore, learn, lens, opening, questions, runs
from app.handlers.form import make_request
from app.handlers.links import read_link
from app.handlers.measures import MEASURES, further_measures
from app.language import Translator
from hcl_core.decode.model.checkpoints import Checkpoint

ROOT = Path(__file__).parent.parent
WORDS = Translator("en")
VISITOR = "visitor"
# Weights, scaling and further curves, before the controls.
BALANCE = (50, "min_max", [])
SHIPPED, WARMER = "0be6b1cadd189061", "a9a4b3a8654fe9da"


class LetterEmbedder:
    """Texts that start alike mean the same."""

    name = "letters"

    def embed(self, texts):
        vectors = np.zeros((len(texts), 256), np.float32)
        vectors[np.arange(len(texts)), [ord((text or " ")[0].lower()) % 256 for text in texts]] = 1
        return vectors


@pytest.fixture
def service(monkeypatch, tmp_path):
    """With a tiny model; shows each wave, however fast."""
    from app.service import Service
    from hcl_core import registry

    monkeypatch.setenv("HCL_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(explore, "INTERVAL", 0)
    loads = []

    def load(name, dtype="auto", device="auto"):
        loads.append(name)
        made.dtypes.append(dtype)
        return make_lm(), Checkpoint(name, "tiny", tmp_path)

    monkeypatch.setattr(registry, "load_model", load)
    monkeypatch.setattr(registry, "load_embedder", LetterEmbedder)
    made = Service(dtype="fastest")
    made.loads, made.dtypes = loads, []
    return made


@pytest.fixture
def reader(monkeypatch, tmp_path):
    """A service whose model and embedder must not be asked for."""
    from app.service import Service
    from hcl_core import registry

    monkeypatch.setenv("HCL_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(registry, "load_model", lambda *_: pytest.fail("loaded a model"))
    monkeypatch.setattr(registry, "load_embedder", lambda *_: pytest.fail("loaded the embedder"))
    return Service()


def controls(**changes):
    """Values of the controls in the page's order."""
    values = {
        "model": "tiny", "question": "Name a planet", "accepted": "Mars\nVenus", "first_layer": 1, "last_layer": 4,
        "every": 1, "num_samples": 24, "temperature": 1.0, "top_p": 0.9, "top_k": 0, "max_new_tokens": 6, "seed": 0,
        "template": "few_shot", "exit_head": "auto", "judge": "alias", "strategy": "early_exit",
    }  # fmt: skip
    return list((values | changes).values())


def run(service, visitor=VISITOR, **changes):
    return explore.explore(WORDS, service, visitor, *BALANCE, *controls(**changes))


def last(updates, name):
    """What a part shows in the end."""
    return [update[name] for update in updates if name in update][-1]


# A run of one question.


def test_a_run_shows_every_wave_and_ends_with_its_id(service):
    updates = list(run(service))
    assert "Loading tiny" in updates[0]["status"]
    shown = [update for update in updates if "headline" in update]
    assert len(shown) == 3  # waves of 8 and 16, then the end
    assert "so far" in shown[0]["headline"].lower() and "so far" not in shown[-1]["headline"].lower()
    assert shown[0]["shown"]["live"] and "live" not in shown[-1]["shown"]
    assert "saved as run" in updates[-1]["status"]
    assert shown[-1]["answers"].count('class="hcl-column') == 5  # their frame, and four layers


def test_updates_come_no_faster_than_a_page_can_follow_and_no_wave_is_lost(service, monkeypatch):
    monkeypatch.setattr(explore, "INTERVAL", 0.25)
    clock = iter(np.arange(0, 1000, 0.06))
    monkeypatch.setattr(explore.time, "monotonic", lambda: float(next(clock)))
    updates = list(run(service, num_samples=56, max_new_tokens=12))
    # The clock goes on by 0.06 a look, of which there are two at an update: at most one update in four looks.
    looks = int(next(clock) / 0.06)
    assert len(updates) - 2 <= looks / 4
    assert any("of 224 answers" in update["status"] and "headline" in update for update in updates[:-1])


def test_an_update_of_thirty_layers_and_fifty_answers_is_small(reader):
    parts = explore.show_stored(WORDS, reader, WARMER, "name-a-planet", 50, "min_max", ["confidence", "creativity_raw"])
    assert len(json.dumps(parts, default=str)) < 200_000


def test_the_same_request_again_is_found_not_computed(service, tmp_path):
    list(run(service))
    parts = {part: part.stat().st_mtime_ns for part in tmp_path.rglob("part-*.parquet")}
    again = list(run(service))
    assert not any("Sampling" in update["status"] for update in again)
    assert {part: part.stat().st_mtime_ns for part in tmp_path.rglob("part-*.parquet")} == parts
    assert service.loads == ["tiny"] and service.dtypes == ["fastest"]


def test_a_stopped_run_goes_on_where_it_was(service):
    running = run(service)
    for update in running:
        if "headline" in update:
            break
    running.close()
    resumed = [update["status"] for update in run(service)]
    assert any("Going on · 32 of 96" in status for status in resumed)
    assert "saved as run" in resumed[-1]


def test_a_visitor_stops_their_own_run_alone(service):
    def finish(stopped_by):
        statuses = []
        for update in run(service, seed=1):
            statuses.append(update["status"])
            if "headline" in update:
                explore.stop(WORDS, service, stopped_by)
        return statuses[-1]

    assert "Stopped. What came so far stays" in finish(VISITOR)
    assert "saved as run" in finish("somebody else")


def test_stop_while_waiting_is_kept_until_the_run_would_begin(service):
    service.begin(VISITOR)
    explore.stop(WORDS, service, VISITOR)
    assert "Stopped" in list(run(service))[-1]["status"]
    assert "saved as run" in list(run(service))[-1]["status"]  # the next Run is another


def test_a_visitor_who_leaves_stops_their_run(service):
    updates = run(service)
    next(update for update in updates if "headline" in update)
    service.forget(VISITOR)
    assert "Stopped" in list(updates)[-1]["status"]


def test_what_can_be_looked_at_has_a_verdict_of_every_answer_meanwhile(service, monkeypatch):
    """Whoever looks while a wave is judged finds the waves before it."""
    from hcl_core.judges.alias import AliasJudge

    looks, judged = [], AliasJudge.judge

    def slow(self, question, answers):
        if VISITOR in service._live and service._live[VISITOR].scorer.samples[question.id]:
            looks.append(service.live_run(VISITOR).look(question.id))
        return judged(self, question, answers)

    monkeypatch.setattr(AliasJudge, "judge", slow)
    list(run(service))
    assert looks and all(set(look.verdicts) == {sample.key for sample in look.samples} for look in looks)


def test_another_judge_that_fails_leaves_a_run_as_it_was_judged(service, monkeypatch):
    from hcl_core.errors import JudgeError
    from hcl_core.judges.paper import PaperJudge

    list(run(service))
    (before,) = [each for each in library.stored_runs(with_own=True) if not each.is_shipped]
    monkeypatch.setattr(PaperJudge, "judge", lambda *_: (_ for _ in ()).throw(JudgeError("no verdict today")))
    assert "no verdict today" in list(run(service, judge="paper", accepted="Pwned"))[-1]["status"]
    after = library.find_run(before.manifest.run_id)
    assert after.manifest == before.manifest and after.folder.questions() == before.folder.questions()
    assert (
        "Stored answers"
        in explore.show_stored(
            WORDS, service, before.manifest.run_id, before.folder.questions()[0].question.id, *BALANCE
        )["status"]
    )


def test_further_measures_follow_the_verdicts(service):
    def vendi(accepted):
        list(run(service, accepted=accepted))
        (own,) = [each for each in library.stored_runs(with_own=True) if not each.is_shipped]
        look = library.look_at(own, library.questions_of(own)[0].question.id)
        return further_measures(look, ["vendi_score"], service)["vendi_score"]

    assert vendi("zzzqqq") == [0, 0, 0, 0] != vendi("\n".join("abcdefghijklmnopqrstuvwxyz0123456789<>|=+-"))


@pytest.mark.parametrize(
    "changes",
    [
        {"model": ["smollm2-135m"]}, {"judge": None}, {"exit_head": None}, {"seed": 10**400}, {"temperature": "x"},
        {"top_k": float("nan")},
    ],
    ids=str,
)  # fmt: skip
def test_a_value_that_no_control_sends_is_a_message(service, changes):
    assert 'role="alert"' in list(run(service, **changes))[-1]["status"]
    assert "estimate" in explore.estimate(WORDS, service, *controls(**changes))


def test_messages_do_not_say_where_the_runs_are(service, tmp_path):
    list(run(service))
    (mine,) = [each for each in library.stored_runs(with_own=True) if not each.is_shipped]
    (mine.folder.path / "questions.jsonl").write_text("broken", encoding="utf-8")
    library._questions.cache_clear()
    status = explore.show_stored(WORDS, service, mine.manifest.run_id, "x", *BALANCE)["status"]
    assert "questions.jsonl cannot be read" in status and str(tmp_path) not in status


def test_events_that_wait_are_reached_through_the_queue_alone():
    from app import page
    from app.service import Service

    assert page.build(Service()).api_open is False


def test_what_came_before_stop_can_be_weighed_and_looked_into(service):
    for update in run(service):
        if "headline" in update:
            shown = update["shown"]
            explore.stop(WORDS, service, VISITOR)
    assert "so far" in explore.rebalance(WORDS, service, VISITOR, shown, 0, "min_max", [])["headline"].lower()
    detail = explore.choose_layer(WORDS, service, VISITOR, shown, 4, 50, "min_max")["detail"]
    assert "Layer 4" in detail and "hcl-token" in detail
    # Another visitor's run under way is nobody else's.
    assert "no longer" in explore.rebalance(WORDS, service, "somebody else", shown, 0, "min_max", [])["status"]


MISTAKES = [
    ({"question": "  "}, "needs a text"),
    ({"accepted": "\n \n"}, "at least one accepted answer"),
    ({"last_layer": 9}, "layer 9 does not exist: this model has layers 1 to 4"),
    ({"num_samples": 0}, "samples must be between"),
    ({"temperature": -1.0}, "temperature must be between"),
    ({"top_p": 0}, "top_p must be above 0"),
    ({"every": 0}, "step must be 1 or more"),
    ({"question": "long " * 600}, "exceed this model"),
    ({"temperature": None}, "Temperature is empty"),
    ({"first_layer": None}, "First layer is empty"),
]


@pytest.mark.parametrize(("changes", "words"), MISTAKES, ids=[str(changes)[:30] for changes, _ in MISTAKES])
def test_a_mistake_is_one_message_and_leaves_the_results(service, changes, words):
    updates = list(run(service, **changes))
    assert not any("headline" in update or "answers" in update for update in updates)
    assert 'role="alert"' in updates[-1]["status"] and words in updates[-1]["status"]


@pytest.mark.parametrize(("strategy", "said"), [("self_speculative", "only drafted"), ("dynamic", "could leave")])
def test_a_run_of_another_strategy_says_what_its_layers_mean(service, strategy, said):
    assert said in last(list(run(service, strategy=strategy)), "headline")
    assert said not in last(list(run(service)), "headline")


def test_a_deleted_run_stays_in_the_trash_for_thirty_days(service):
    import os

    list(run(service))
    gone = [each.manifest.run_id for each in library.stored_runs(with_own=True) if not each.is_shipped][0]
    runs.delete(WORDS, service, gone)
    service.warm_up()
    trashed = next(path for path in (library.runs_folder() / ".trash").iterdir() if path.name == gone)
    os.utime(trashed, (0, 0))
    service.warm_up()
    assert "no" in runs.undo(WORDS, service, gone)["status"] and not trashed.exists()


def test_a_fault_of_ours_is_a_message_and_not_its_text(service, monkeypatch):
    monkeypatch.setattr(service, "run", lambda *_: (_ for _ in ()).throw(ZeroDivisionError("secret /path")))
    status = list(run(service))[-1]["status"]
    assert "Something went wrong in the program" in status and "secret" not in status


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "/etc"}, "only the models of its list"),
        ({"model": "layerskip-llama2-70b"}, "only the models of its list"),
        ({"model": "smollm2-135m", "num_samples": 6000}, "this public page allows 120,000"),
    ],
    ids=["a folder", "a download", "too much"],
)
def test_a_public_page_refuses_what_could_harm(monkeypatch, changes, words):
    from app.service import Service
    from hcl_core import registry

    monkeypatch.setattr(registry, "load_model", lambda *_: pytest.fail("loaded"))
    monkeypatch.setattr(registry, "is_available", lambda model: model.name == "smollm2-135m")
    public = Service(is_public=True)
    assert words in list(run(public, **changes))[-1]["status"]
    assert [name for _, name in public.model_choices()] == ["smollm2-135m"]


def test_a_public_page_counts_the_questions_of_a_set_too(monkeypatch):
    from app.service import Service
    from hcl_core import registry

    monkeypatch.setattr(registry, "load_model", lambda *_: pytest.fail("loaded"))
    monkeypatch.setattr(registry, "is_available", lambda model: True)
    asked = controls(model="smollm2-135m", num_samples=56, max_new_tokens=20)
    updates = dataset.run_set(WORDS, Service(is_public=True), VISITOR, 50, "min_max", "starter", 100, 0, 1, *asked)
    assert "this public page allows" in list(updates)[-1]["status"]


def test_a_public_page_lists_no_visitors_runs(service):
    from app.service import Service

    list(run(service))
    public = Service(is_public=True)
    assert [each.is_shipped for each in public.stored_runs()] == [True] * 4
    assert len(runs.list_runs(WORDS, public)["rows"]) == 4
    assert [each.is_shipped for each in service.stored_runs()] == [True] * 4 + [False]


def test_a_public_page_asks_no_grader_at_its_owners_cost(monkeypatch):
    from dataclasses import replace

    from app.service import Service
    from hcl_core import registry
    from hcl_core.errors import SettingsError

    monkeypatch.setenv("OPENAI_API_KEY", "key")
    monkeypatch.setattr(registry, "load_model", lambda *_: pytest.fail("loaded"))
    monkeypatch.setattr(registry, "is_available", lambda model: True)
    request = replace(make_request(*controls(model="smollm2-135m")), judge="llm:grader")
    with pytest.raises(SettingsError, match="this public page has no llm judge"):
        next(Service(is_public=True).run(request, VISITOR))


def test_every_control_reaches_the_request():
    plain = make_request(*controls())
    changed = {
        "model": "other", "question": "Name a star", "accepted": "Sun", "first_layer": 2, "last_layer": 3, "every": 2,
        "num_samples": 5, "temperature": 0.3, "top_p": 0.5, "top_k": 7, "max_new_tokens": 9, "seed": 3,
        "template": "chat", "exit_head": "shared", "judge": "paper", "strategy": "self_speculative",
    }  # fmt: skip
    assert len(changed) == len(controls())
    requests = [make_request(*controls(**{name: value})) for name, value in changed.items()]
    assert plain not in requests
    assert len(set(requests)) == len(changed)


def test_the_page_and_the_handler_agree_on_the_controls():
    from app import page
    from app.service import Service
    from app.tabs.form import NAMES

    assert tuple(inspect.signature(make_request).parameters) == NAMES
    built = page.build(Service())
    (event,) = [fn for fn in built.fns.values() if fn.api_name == "explore"]
    labels = [str(block.label) for block in event.inputs]
    wanted = ["label_balance", "label_scaling", "label_more", *(f"label_{name}" for name in NAMES)]
    assert len(labels) == len(wanted)
    assert all(f'hcl_word_{name}"' in label for name, label in zip(wanted, labels, strict=True))


def test_only_three_events_are_an_api():
    from app import page
    from app.service import Service

    built = page.build(Service())
    public = {fn.api_name for fn in built.fns.values() if fn.api_visibility == "public"}
    assert public == {"explore", "run_set", "lens"}
    assert all((fn.fn.__doc__ or "").strip() for fn in built.fns.values() if fn.api_visibility == "public")


def test_the_page_is_built_without_a_model_library():
    code = (
        "import sys; from app.page import build; from app.service import Service; build(Service());"
        "print([name for name in ('torch', 'transformers', 'sentence_transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


# What is stored.


def test_stored_answers_are_shown_without_a_model(reader):
    parts = explore.show_stored(WORDS, reader, SHIPPED, "name-a-planet", *BALANCE)
    assert (
        "Name a planet" in parts["headline"]
        and "<h2>Layer" in parts["headline"]
        and "Stored answers" in parts["status"]
    )
    assert parts["answers"].count('class="hcl-column') == 31 and parts["numbers"].count("<tr") == 31
    assert parts["shown"] == {"run_id": SHIPPED, "question_id": "name-a-planet", "layer": None}
    assert f"?run={SHIPPED}&amp;question=name-a-planet" in parts["link"]


@pytest.mark.parametrize("question_id", ["name-a-planet", "capital-of-burkina-faso"])
def test_one_question_is_read_as_it_stands_in_the_whole_run(reader, question_id):
    stored = library.find_run(WARMER)
    whole = library.table_of(stored)
    place = [each.question.id for each in library.questions_of(stored)].index(question_id)
    alone = library.look_at(stored, question_id).outcome.table
    assert (alone.outcomes[0] == whole.outcomes[place]).all()
    assert alone.confidences[0] == pytest.approx(whole.confidences[place], rel=1e-6)


def test_a_run_that_has_not_been_judged_is_a_message(service):
    list(run(service))
    (mine,) = [each for each in library.stored_runs(with_own=True) if not each.is_shipped]
    (mine.folder.path / "verdicts.parquet").unlink()
    parts = explore.show_stored(
        WORDS, service, mine.manifest.run_id, library.questions_of(mine)[0].question.id, *BALANCE
    )
    assert "has not been judged yet" in parts["status"]


@pytest.mark.parametrize("run_id", ["../../etc", "0" * 16, "", "nothing", ".lock", "0BE6B1CADD189061"])
def test_a_run_id_that_is_none_is_a_message_and_no_path(reader, run_id):
    parts = explore.show_stored(WORDS, reader, run_id, "name-a-planet", *BALANCE)
    assert set(parts) == {"status"} and "no longer on this machine" in parts["status"]


def test_the_balance_moves_the_optimum_without_new_answers(reader):
    shown = explore.show_stored(WORDS, reader, SHIPPED, "name-a-planet", *BALANCE)["shown"]
    by_weight = {}
    for creativity in (0, 50, 100):
        parts = explore.rebalance(WORDS, reader, VISITOR, shown, creativity, "min_max", [])
        curves = {
            trace["name"]: trace["y"]
            for trace in parts["chart"]["data"]
            if trace["type"] == "scatter" and trace["mode"] != "lines"
        }
        by_weight[creativity] = parts["chart"]["best"]
        if creativity == 0:
            expected = [1 - wrong for wrong in curves["Hallucination"]]
            assert curves["HCB"] == pytest.approx(expected, abs=1e-3)
        if creativity == 100:
            assert curves["HCB"] == pytest.approx(curves["Creativity"], abs=1e-3)
    assert len(set(by_weight.values())) > 1
    absolute = explore.rebalance(WORDS, reader, VISITOR, shown, 50, "absolute", [])["chart"]
    assert max(absolute["data"][4]["y"]) < 0.2  # few of fifty answers mean something of their own


def test_the_balance_of_nothing_shown_changes_nothing(reader):
    assert explore.rebalance(WORDS, reader, VISITOR, None, *BALANCE) == {}


@pytest.mark.parametrize("layer", [0, 31, "26", None, 2.5, "<b>"])
def test_a_layer_that_is_none_is_a_message(reader, layer):
    shown = {"run_id": SHIPPED, "question_id": "name-a-planet", "layer": None}
    assert "no such exit layer" in explore.choose_layer(WORDS, reader, VISITOR, shown, layer, 50, "min_max")["status"]


def test_a_chosen_layer_shows_every_sample_and_is_in_the_link(reader):
    shown = {"run_id": SHIPPED, "question_id": "name-a-planet", "layer": None}
    parts = explore.choose_layer(WORDS, reader, VISITOR, shown, 26, 50, "min_max")
    assert "layer=26" in parts["link"] and parts["shown"]["layer"] == 26
    look = library.look_at(library.find_run(SHIPPED), "name-a-planet")
    said = [int(count) for count in re.findall(r"<b>×(\d+)</b>", parts["detail"])]
    assert sum(said) == sum(sample.exit_layer == 26 for sample in look.samples) == 50
    assert "Question: Name a planet in our solar system." in parts["detail"]


def test_every_measure_has_a_value_a_layer(service):
    list(run(service))
    (own,) = [each for each in library.stored_runs(with_own=True) if not each.is_shipped]
    look = library.look_at(own, library.questions_of(own)[0].question.id)
    columns = further_measures(look, MEASURES, service)
    assert list(columns) == list(MEASURES) and {len(values) for values in columns.values()} == {4}
    assert columns["distinct_1"] != columns["semantic_entropy"]


def test_a_measure_that_is_none_is_a_message(reader):
    parts = explore.show_stored(WORDS, reader, SHIPPED, "name-a-planet", 50, "min_max", ["<b>"])
    assert "measure must be one of" in parts["status"]


def test_the_exact_prompt_is_shown_and_a_chat_only_with_its_model(service):
    assert "Question: Name &lt;b&gt;" in explore.preview(WORDS, service, "tiny", "Name <b>", "few_shot")["prompt"]
    assert "chat format" in explore.preview(WORDS, service, "tiny", "Name", "chat")["prompt"]
    list(run(service))
    # This tokenizer has no chat template, which only the loaded model can say.
    assert "chat format" in explore.preview(WORDS, service, "tiny", "Name", "chat")["prompt"]


def test_the_time_is_estimated_before_a_run_or_said_to_be_unknown(reader):
    known = explore.estimate(WORDS, reader, *controls(model="smollm2-135m", first_layer=16, last_layer=30))
    assert "15 layers × 24 answers: about" in known["estimate"] and "Loading the model" in known["estimate"]
    assert "not known" in explore.estimate(WORDS, reader, *controls(model="own"))["estimate"]
    assert "Temperature is empty" in explore.estimate(WORDS, reader, *controls(temperature=None))["estimate"]


# Questions.


def test_a_question_is_found_and_taken_over(reader):
    found = questions.search(WORDS, reader, VISITOR, "starter", "baltic")
    (label, key), *_ = found["hits"]["choices"]
    assert "Baltic" in label and "found" in found["found"]
    taken = questions.take(WORDS, reader, VISITOR, "starter", key)
    assert "Baltic" in taken["question"] and "Sweden" in taken["accepted"].splitlines()


def test_words_that_no_question_has_are_said_to_have_none(reader):
    assert "Type your own" in questions.search(WORDS, reader, VISITOR, "starter", "xyzzy")["found"]


def test_a_question_that_is_none_changes_nothing(reader):
    assert questions.take(WORDS, reader, VISITOR, "starter", "nothing") == {}


# Compare.


@pytest.mark.parametrize("measure", ["hcb_score", "hallucination_rate", "creativity_raw"])
def test_two_stored_runs_are_compared(reader, measure):
    parts = compare.compare(WORDS, [SHIPPED, WARMER], measure, False)
    assert "Both put layer 30 first." in parts["said"] and "174 questions" in parts["said"]
    assert "<td>0.6</td><td>1.0</td>" in parts["said"]
    first, second, difference = (trace["y"] for trace in parts["chart"]["data"] if trace["mode"] == "lines+markers")
    expected = [mine - theirs for mine, theirs in zip(first, second, strict=True)]
    assert difference == pytest.approx(expected, abs=2e-4)
    assert "NaN" not in json.dumps(parts["chart"])


def test_all_shipped_runs_and_a_published_curve_stand_over_each_other(reader):
    ids = [run_id for _, run_id in compare.choices(WORDS, reader)]
    published = next(each for label, each in compare.choices(WORDS, reader) if "Llama 2 7B · T 0.6" in label)
    parts = compare.compare(WORDS, [*ids[:4], published], "hallucination_rate", True)
    lines = [trace for trace in parts["chart"]["data"] if trace["mode"] == "lines+markers"]
    assert len(lines) == 5 + 3  # five curves, and three differences to the first
    assert "read off the paper’s figures" in parts["said"] and parts["said"].count("<li>") == 3
    assert max(lines[0]["x"]) == max(lines[4]["x"]) == 1


def test_a_published_curve_that_lacks_the_measure_is_named(reader):
    ids = [each for label, each in compare.choices(WORDS, reader) if "Llama 3.2 1B · T 0.6" in label]
    parts = compare.compare(WORDS, [SHIPPED, *ids], "hallucination_rate", False)
    assert "the paper’s figures do not give Hallucination" in parts["said"]


@pytest.mark.parametrize(
    ("ids", "measure", "words"),
    [
        ([SHIPPED, "../etc"], "hcb_score", "no longer on this machine"),
        ([SHIPPED, "published-99"], "hcb_score", "no such published curve"),
        ([SHIPPED, "published-x"], "hcb_score", "no such published curve"),
        ([SHIPPED, WARMER], "best", "measure must be one of"),
        ([SHIPPED] * 7, "hcb_score", "at most 6"),
    ],
)
def test_runs_that_cannot_be_compared_are_a_message(reader, ids, measure, words):
    parts = compare.compare(WORDS, ids, measure, False)
    assert set(parts) == {"said"} and 'role="alert"' in parts["said"] and words in parts["said"]


def test_runs_of_other_questions_are_drawn_and_said_to_have_nothing_in_common(service):
    list(run(service))
    own = next(each.manifest.run_id for each in library.stored_runs(with_own=True) if not each.is_shipped)
    parts = compare.compare(WORDS, [SHIPPED, own], "hcb_score", False)
    assert "no question or no layer in common" in parts["said"] and parts["chart"]["data"]


# Data set.


def run_set(service, *choice, visitor=VISITOR, **changes):
    return list(dataset.run_set(WORDS, service, visitor, 50, "min_max", *choice, *controls(num_samples=4, **changes)))


def test_a_set_is_run_and_its_curve_grows_question_by_question(service, monkeypatch):
    monkeypatch.setattr(dataset, "_CURVE_INTERVAL", -10)
    updates = run_set(service, "starter", 3, 0, 1)
    grown = [sum(row[-2] != "" for row in update["rows"]) for update in updates if "rows" in update]
    assert grown == [1, 2, 3, 3] and "All questions are answered" in updates[-1]["status"]
    assert "3 of 3 questions of starter" in last(updates, "headline")


def test_the_selection_reaches_the_run(service):
    plain = dataset.make_set_request(service, VISITOR, "starter", 5, 0, 1, *controls())
    shuffled = dataset.make_set_request(service, VISITOR, "starter", 5, 7, 1, *controls())
    several = dataset.make_set_request(service, VISITOR, "starter", 5, 0, 20, *controls())
    assert len({plain.questions, shuffled.questions, several.questions}) == 3
    assert several.question_set == "starter, at least 20 answers" and plain.questions != shuffled.questions


@pytest.mark.parametrize("number", [0, None, 175, -1])
def test_too_many_questions_are_refused_with_the_limit(service, number):
    assert "questions must be from 1 to 174" in run_set(service, "starter", number, 0, 1)[-1]["status"]


def test_a_row_opens_its_question_in_explore(reader):
    shown = dataset.show_run(WORDS, SHIPPED, 50, "min_max")
    assert len(shown["rows"]) == 174 and shown["rows"][0][-1] == "name-a-planet"
    parts = dataset.open_question(WORDS, reader, VISITOR, shown["shown"], "baltic-sea-country", *BALANCE)
    assert "Baltic" in parts["headline"] and parts["tabs"].selected == "explore" and "Sweden" in parts["accepted"]


def test_a_rows_question_that_is_none_is_a_message(reader):
    parts = dataset.open_question(WORDS, reader, VISITOR, {"run_id": SHIPPED}, "<b>", *BALANCE)
    assert "does not have this question" in parts["status"]


# Token lens.


def test_a_shipped_lens_is_shown_without_a_model(reader):
    parts = lens.show_shipped(WORDS, "name-a-planet", "linear", "entropy")
    assert "Mars" in parts["headline"] and parts["prompt"].endswith("Answer:")
    cell = lens.choose_cell(WORDS, reader, VISITOR, parts["seen"], 26, 0)["cell"]
    assert "Layer 26" in cell and cell.count("<tr>") == 11


def test_any_prompt_is_looked_at_and_recoloured(service):
    updates = list(lens.look(WORDS, service, VISITOR, "tiny", "shared", "Once <b>", True, 3, "probability"))
    seen = last(updates, "seen")
    assert seen == {"live": True} and last(updates, "chart")["data"][0]["y"] == [1, 2, 3, 4]
    assert "chart" in lens.recolour(WORDS, service, VISITOR, seen, "kl_to_last")
    assert "no longer in memory" in lens.recolour(WORDS, service, "somebody else", seen, "kl_to_last")["status"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompt": " "}, "needs a prompt"),
        ({"prompt": "a" * 5_000}, "takes 4,000"),
        ({"prompt": "a" * 1_100, "whole": True}, "takes 1,000"),
        ({"num_tokens": 0}, "from 1 to 40"),
        ({"num_tokens": None}, "from 1 to 40"),
        ({"exit_head": "linear"}, "no exit head was fitted for this model"),
        ({"shade": "red"}, "shade must be one of"),
    ],
)
def test_a_look_that_cannot_be_is_a_message(service, changes, words):
    asked = {
        "model": "tiny",
        "exit_head": "shared",
        "prompt": "Once",
        "whole": False,
        "num_tokens": 2,
        "shade": "entropy",
    }
    assert words in list(lens.look(WORDS, service, VISITOR, *(asked | changes).values()))[-1]["status"]


@pytest.mark.parametrize("cell", [(0, 0), (31, 0), (26, 99), ("26", 0), (26, None), (True, 0.5)])
def test_a_cell_that_is_none_is_a_message(reader, cell):
    seen = {"question_id": "name-a-planet", "exit_head": "linear"}
    assert "no such cell" in lens.choose_cell(WORDS, reader, VISITOR, seen, *cell)["status"]


# Runs.


@pytest.fixture
def own(service):
    """Id of a run of the visitor's own."""
    list(run(service))
    return next(each.manifest.run_id for each in library.stored_runs(with_own=True) if not each.is_shipped)


def test_runs_are_listed_and_the_first_is_shown(service, own):
    parts = runs.open_list(WORDS, service, None)
    assert [row[0] for row in parts["rows"]][0] == SHIPPED and own in [row[0] for row in parts["rows"]]
    assert "decode seconds" in parts["manifest"] and parts["chart"]["best"] == 30


@pytest.mark.parametrize("kind", runs.FORMATS)
def test_a_run_is_exported(service, own, kind):
    parts = runs.export_run(WORDS, service, own, kind)
    file = Path(parts["file"]["value"])
    assert file.name.startswith(own) and file.stat().st_size > 500
    if kind == "html":
        page = file.read_text(encoding="utf-8")
        assert (
            "data-every" not in page and "hcl-followed" not in page.split("</style>")[1]
        )  # nothing that needs a script
        assert "<script" in page and "Name a planet" in page and "http://" not in page.split("</head>")[0]
        assert 'src="http' not in page and "var(--hcl-hcb)" not in page.split("Plotly.newPlot")[1][:20_000]


def test_a_deleted_run_comes_back(service, own):
    gone = runs.delete(WORDS, service, own)
    assert own not in [row[0] for row in gone["rows"]] and gone["deleted"] == own
    back = runs.undo(WORDS, service, own)
    assert own in [row[0] for row in back["rows"]]
    assert library.find_run(own).manifest.run_id == own


@pytest.mark.parametrize("run_id", [SHIPPED, "../etc", None, ""])
def test_what_is_not_ones_own_is_not_deleted(service, run_id):
    assert 'role="alert"' in runs.delete(WORDS, service, run_id)["status"]
    assert (ROOT / "precomputed" / SHIPPED).is_dir()


def test_an_exported_run_is_opened_again(service, own, tmp_path, monkeypatch):
    file = runs.export_run(WORDS, service, own, "zip")["file"]["value"]
    monkeypatch.setenv("HCL_RUNS", str(tmp_path / "elsewhere"))
    parts = runs.open_file(WORDS, service, file)
    assert "was checked and is stored" in parts["status"] and parts["chosen"] == own


def test_a_file_that_is_no_run_is_a_message_without_its_path(service, tmp_path):
    file = tmp_path / "upload" / "junk.zip"
    file.parent.mkdir()
    file.write_bytes(b"PK no zip")
    status = runs.open_file(WORDS, service, str(file))["status"]
    assert 'role="alert"' in status and "junk.zip" in status and str(tmp_path) not in status


def test_a_public_page_keeps_and_deletes_nothing(tmp_path):
    from app.service import Service

    public = Service(is_public=True)
    for parts in (
        runs.delete(WORDS, public, SHIPPED), runs.undo(WORDS, public, SHIPPED), runs.open_file(WORDS, public, "x.zip"),
        runs.open_path(WORDS, public, str(ROOT / "precomputed" / SHIPPED)),
    ):  # fmt: skip
        assert "this public page keeps and deletes nothing" in parts["status"]


# Learn.


@pytest.mark.parametrize("step", range(1, learn.NUM_STEPS + 1))
def test_each_step_has_its_chart_and_its_answer(reader, step):
    right = learn.RIGHT_ANSWERS[step - 1]
    parts = learn.reveal(WORDS, step, right)
    assert "You guessed right." in parts["said"] and parts["chart"]["data"]
    assert "A good guess" in learn.reveal(WORDS, step, right % 3 + 1)["said"]
    assert "guess" not in learn.reveal(WORDS, step, None)["said"]


def test_the_right_guesses_are_what_the_runs_show():
    """The options in words, as numbers of the shipped runs."""
    found = {step: chart(WORDS)[1] for step, chart in learn._CHARTS.items()}

    def share(text):
        return float(text.rstrip("%")) / 100

    assert learn.RIGHT_ANSWERS == (2, 3, 1, 2, 3, 1, 2)
    assert found[1]["settles"] > 20 and found[1]["settles"] < 30
    assert share(found[2]["shared"]) > 0.95
    assert found[3]["last"] < found[3]["first"] / 3
    assert found[4]["late"] > 0.8 * found[4]["right"]
    assert 3 <= found[5]["ideas"] <= 10 < found[5]["right"] / 2
    assert found[6]["best"] == 30
    assert share(found[7]["high"]) - share(found[7]["low"]) <= 0.02


# Addresses.


def opened(service, query, answers=()):
    return opening.open_view(WORDS, service, read_link(query, list(answers)), controls())


def test_a_first_visit_shows_the_first_shipped_run(reader):
    parts = opened(reader, {})
    assert "Name a planet" in parts["headline"] and parts["shown"]["run_id"] == SHIPPED
    assert parts["tabs"].selected == "explore" and parts["stored_run"]["value"] == SHIPPED


def test_an_address_opens_the_same_view(reader):
    query = {"run": WARMER, "question": "baltic-sea-country", "layer": "27", "balance": "20", "scaling": "absolute"}
    parts = opened(reader, query)
    assert parts["shown"] == {"run_id": WARMER, "question_id": "baltic-sea-country", "layer": 27}
    assert (parts["balance"], parts["scaling"]) == (20, "absolute") and "Layer 27" in parts["detail"]
    assert "layer=27&amp;balance=20&amp;scaling=absolute" in parts["link"] and parts["chart"]["layer"] == 27


def test_an_address_fills_in_the_form_and_runs_nothing(reader):
    parts = opened(
        reader, {"q": "Name a <b>star</b>", "temperature": "0.3", "last": "20", "head": "shared"}, ["Sun", "Vega"]
    )
    assert (parts["question"], parts["accepted"]) == ("Name a <b>star</b>", "Sun\nVega")
    assert (parts["temperature"], parts["last_layer"], parts["exit_head"]) == (0.3, 20, "shared")
    assert "Press Run" in parts["status"] and "shown" not in parts


def test_an_address_opens_a_comparison(reader):
    parts = opened(reader, {"tab": "compare", "runs": f"{SHIPPED},{WARMER}", "measure": "creativity_raw"})
    assert parts["tabs"].selected == "compare" and parts["compare_runs"]["value"] == [SHIPPED, WARMER]
    assert "Both put layer 30 first." in parts["compare_said"]


@pytest.mark.parametrize("tab", ["dataset", "runs"])
def test_an_address_opens_a_run_in_its_tab(reader, tab):
    parts = opened(reader, {"tab": tab, "run": WARMER})
    assert parts["tabs"].selected == tab
    assert parts["set_shown"]["run_id"] == WARMER if tab == "dataset" else parts["runs_chosen"] == WARMER


@pytest.mark.parametrize(
    "query",
    [
        {"run": "../../etc/passwd"}, {"run": SHIPPED, "question": "<script>"}, {"tab": "<b>", "balance": "nan"},
        {"layer": "1e9", "run": SHIPPED}, {"balance": "-5", "scaling": "x", "measure": "x"}, {"samples": "9" * 400},
        {"tab": "compare", "runs": "a,b"}, {"tab": "dataset", "run": "x"}, {"tab": "runs", "run": "x"},
        {"template": "file", "head": "/etc/passwd", "judge": "llm:x"}, {"seed": "-1"}, {"q": "a" * 100_000},
    ],
    ids=str,
)  # fmt: skip
def test_an_address_that_makes_no_sense_breaks_nothing(reader, query):
    parts = opened(reader, query)
    assert parts["headline"] and "went wrong" not in json.dumps(parts, default=str)
