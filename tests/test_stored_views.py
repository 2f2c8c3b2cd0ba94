"""Every question of every shipped run: what the page says of it must follow from the table that stands under it."""

import re

import numpy as np
import pytest

from app.language import Translator
from app.library import StoredRun, questions_of, stored_runs, table_of
from app.outcomes import Scored, ScoredOutcomes
from app.views.headline import headline, layers_as_text
from app.views.scores import score_table
from hcl_core.records import DEFAULT_SCALING, Weights
from hcl_core.scores.best_layers import LEVEL
from hcl_core.scores.metrics import num_ideas

WORDS = Translator("en")
FIELDS = ("hallucination_rate", "creativity_raw", "creativity", "hcb_score")
INTERVALS = ("hallucination_ci", "creativity_raw_ci", "creativity_ci", "hcb_ci")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=stored_runs(with_own=False), ids=lambda run: run.manifest.run_id)
def run(request):
    return request.param


@pytest.fixture(scope="module")
def views(run: StoredRun) -> dict[str, Scored]:
    """Scores of each question, as the Explore tab has them."""
    table = table_of(run)
    ids = [stored.question.id for stored in questions_of(run)]
    parts = (ScoredOutcomes.of(table.part(slice(row, row + 1)), run.manifest.strategy) for row in range(len(ids)))
    return {name: part.scored(Weights(), DEFAULT_SCALING) for name, part in zip(ids, parts, strict=True)}


def failing(views, holds):
    return [name for name, scored in views.items() if not holds(scored)]


def p_optimal(scored):
    return {layer.exit_layer: layer.p_optimal for layer in scored.uncertainty.layers}


def test_there_is_a_view_of_each_question(views):
    assert len(views) == 174


def test_no_layer_has_a_higher_p_optimal_than_the_named_one_and_its_equals_together(views):
    def holds(scored):
        return scored.best is None or scored.uncertainty.best.p_best >= max(p_optimal(scored).values()) - 1e-9

    assert failing(views, holds) == []


def test_the_shares_of_all_layers_sum_to_one(views):
    assert failing(views, lambda scored: abs(sum(p_optimal(scored).values()) - (scored.best is not None)) < 1e-6) == []


def test_a_clear_layer_is_one_and_surely_the_best(views):
    def holds(scored):
        best = scored.uncertainty.best
        is_clear = len(best.best_set) == 1 and not best.equal_layers and best.p_optimal >= LEVEL - 1e-9
        return (best.kind == "clear") == is_clear

    assert failing(views, holds) == []


def test_the_best_set_holds_the_best_and_no_layer_that_never_is(views):
    def holds(scored):
        best, shares = scored.uncertainty.best, p_optimal(scored)
        return best.optimal_layer is None or (
            best.optimal_layer in best.best_set
            and sum(shares[layer] for layer in best.best_set) >= LEVEL - 1e-9
            and all(shares[layer] > 0 for layer in best.best_set)
        )

    assert failing(views, holds) == []


def test_equal_layers_share_equally_and_the_cheapest_is_named(views):
    def holds(scored):
        equal, shares = scored.uncertainty.best.equal_layers, p_optimal(scored)
        return not equal or (scored.best == min(equal) and np.ptp([shares[layer] for layer in equal]) < 1e-9)

    assert failing(views, holds) == []


def test_no_score_lies_outside_its_own_interval(views):
    def holds(scored):
        for score, layer in zip(scored.scores, scored.uncertainty.layers, strict=True):
            for field, interval in zip(FIELDS, INTERVALS, strict=True):
                value, (low, high) = getattr(score, field), getattr(layer, interval)
                if not (np.isnan(value) and np.isnan(low)) and not low <= value <= high:
                    return False
        return True

    assert failing(views, holds) == []


def test_no_share_that_is_drawn_is_called_certain(views, run):
    # At a temperature above 0, fifty equal answers are no certainty.
    assert run.manifest.settings.sampling.temperature > 0
    for scored in views.values():
        for layer in scored.uncertainty.layers:
            assert layer.hallucination_ci[1] > layer.hallucination_ci[0]


def test_the_sentence_says_the_tables_own_numbers(views):
    def holds(scored):
        best, text = scored.uncertainty.best, headline(scored, True, WORDS)
        if best.optimal_layer is None:
            return "No layer gave a right answer" in text
        row = re.search(
            rf'<tr class="best"><th scope="row">{best.optimal_layer}</th>.*?</tr>', score_table(scored, WORDS)
        )
        score = next(score for score in scored.scores if score.exit_layer == best.optimal_layer)
        are_equal = bool(best.equal_layers) and set(best.best_set) <= set(best.equal_layers)
        named = best.equal_layers if are_equal or best.kind == "none" else best.best_set
        says_layers = layers_as_text(named, WORDS) in text
        share = WORDS.percent(best.p_optimal)
        says_share = WORDS.percent(best.p_best) in text or are_equal
        right = WORDS.percent(1 - score.hallucination_rate)
        return row is not None and f"<td>{share}</td>" in row.group() and says_layers and says_share and right in text

    assert failing(views, holds) == []


def test_ideas_are_no_more_than_the_accepted_ones(run):
    table = table_of(run)
    most = num_ideas(table.outcomes).max(axis=1)
    beyond = [
        (stored.question.id, int(count))
        for stored, count in zip(questions_of(run), most, strict=True)
        if count > len(stored.question.ideas)
    ]
    assert beyond == []


def test_one_right_idea_has_no_creativity_nor_has_nothing_right(views, run):
    for stored in questions_of(run):
        scored = views[stored.question.id]
        is_defined = len(stored.question.ideas) > 1 and any(score.num_correct for score in scored.scores)
        for field in ("creativity", "hcb_score"):
            assert (np.isnan([getattr(score, field) for score in scored.scores]) != is_defined).all(), (
                stored.question.id
            )
