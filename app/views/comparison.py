"""What two or more runs have in common, and what they were asked for differently."""

import math
from collections.abc import Sequence

from app.language import Translator
from app.terms import mark
from app.views.base import setting, setting_name, shown
from hcl_core.scores.best_layers import LEVEL
from hcl_core.scores.comparison import RunComparison


def comparison(
    compared: Sequence[tuple[int, RunComparison]],
    measure: str,
    names: Sequence[str],
    differing: dict[str, list[object]],
    notes: Sequence[str],
    words: Translator,
) -> str:
    """Whether the best layer repeats, how many layers differ, and the settings that do.

    Args:
        compared: Index among ``names`` and the first run against that one.
        measure: A name of ``figures.compared.MEASURES``.
        names: Of all runs.
        differing: Settings by name, one value a run.
        notes: Sentences of the page, below the others.
        words: The page's.
    """
    if len(compared) == 1:
        top, below = _sentence(compared[0][1], words), f"<p>{_detail(compared[0][1], measure, words)}</p>"
    elif compared:
        top, below = _repeats(compared, words), ""
        items = "".join(
            f"<li><b>{index + 1}</b> {_sentence(each, words)} {_detail(each, measure, words)}</li>"
            for index, each in compared
        )
        below = f'<ol class="hcl-pairs">{items}</ol>'
    else:
        top, below = words("one_curve" if len(names) == 1 else "nothing_to_compare"), ""
    below_all = "".join(f'<p class="hcl-note">{shown(note, 400)}</p>' for note in filter(None, notes))
    return f'<div class="hcl-headline"><h2>{top}</h2>{below}{below_all}{_settings(names, differing, words)}</div>'


def _repeats(compared: Sequence[tuple[int, RunComparison]], words: Translator) -> str:
    best = {layer for _, each in compared for layer in each.optimal_layers}
    if None in best:
        return words("some_nothing_right")
    return words("all_same_best", layer=best.pop()) if len(best) == 1 else words("not_all_same_best")


def _sentence(compared: RunComparison, words: Translator) -> str:
    first, second = compared.optimal_layers
    if first is None or second is None:
        return words("some_nothing_right")
    if first == second:
        return words("both_best", layer=first)
    return words("different_best", first=first, second=second)


def _detail(compared: RunComparison, measure: str, words: Translator) -> str:
    parts = []
    if compared.p_same_optimal is not None:
        parts.append(words("same_best_in", share=words.percent(compared.p_same_optimal)) + mark("p_optimal", words))
    differences = compared.differences[measure]
    apart = sum(each.interval[0] > 0 or each.interval[1] < 0 for each in differences)
    by_chance = words.shortest(round((1 - LEVEL) * len(differences), 1))
    parts.append(words("layers_apart", measure=words(measure), apart=apart, all=len(differences), chance=by_chance))
    correlation = compared.rank_correlation[measure].estimate
    if math.isfinite(correlation):
        correlated = words("rank_correlation", correlation=words.number(correlation))
        parts.append(correlated + mark("rank_correlation", words))
    parts.append(words.plural("questions", compared.num_questions))
    return words.sentences(parts)


def _settings(names: Sequence[str], differing: dict[str, list[object]], words: Translator) -> str:
    if not differing:
        return ""
    heads = "".join(
        f'<th scope="col"><i class="hcl-run-{number}" aria-hidden="true"></i>{shown(name, 80)}</th>'
        for number, name in enumerate(names, 1)
    )
    rows = "".join(
        f'<tr><th scope="row">{setting_name(name, words)}</th>'
        + "".join(f"<td>{setting(name, value, words)}</td>" for value in values)
        + "</tr>"
        for name, values in differing.items()
    )
    first = f'<th scope="col">{words("asked_differently")}</th>'
    table = f'<table class="hcl-settings"><thead><tr>{first}{heads}</tr></thead><tbody>{rows}</tbody></table>'
    return f'<div class="hcl-scroll">{table}</div>'
