"""The answer river: how the answers' meanings share each layer, stacked over depth."""

from collections.abc import Sequence

from app.figures.base import Figure, Trace, layout, plain, rounded
from app.language import SIGNS, Translator
from app.terms import chart_terms
from hcl_core.records import Outcome
from hcl_core.runs.answers import LayerAnswers
from hcl_core.runs.meanings import Meaning

# Shades of right, of wrong and of open questions' ideas; the pattern says wrong without colour.
_RIGHT = ("var(--hcl-right-1)", "var(--hcl-right-2)", "var(--hcl-right-3)", "var(--hcl-right-4)")
_WRONG = ("var(--hcl-wrong-1)", "var(--hcl-wrong-2)", "var(--hcl-wrong-3)")
_IDEAS = ("var(--hcl-idea-1)", "var(--hcl-idea-2)", "var(--hcl-idea-3)", "var(--hcl-idea-4)")
_PATTERNS = {"correct": "", "unjudged": "", "incorrect": "/", "not_attempted": "."}


def answer_river(meanings: Sequence[Meaning], answers: Sequence[LayerAnswers], words: Translator) -> Figure:
    """Stacked shares of the most frequent meanings, right ones below, wrong ones above, the rest together.

    The answers to open questions are neither: their ideas have colours of their own.

    Args:
        meanings: Most samples first.
        answers: The same layers' answers, counted.
        words: The page's.
    """
    num_samples = {layer.exit_layer: layer.num_samples for layer in answers}
    layers = sorted(num_samples)
    data = []
    for outcome, colours in (("correct", _RIGHT), ("unjudged", _IDEAS), ("not_attempted", ()), ("incorrect", _WRONG)):
        of_outcome = [each for each in meanings if each.outcome == outcome]
        for meaning, colour in zip(of_outcome, colours, strict=False):
            data.append(_area([meaning], plain(meaning.text, 24), colour, layers, num_samples))
        if rest := of_outcome[len(colours) :]:
            name = words.plural("rest_" + outcome, len(rest))
            data.append(_area(rest, name, f"var(--hcl-rest-{outcome.replace('_', '-')})", layers, num_samples))
    made = layout(words, layers, height=380)
    made["yaxis"] |= {"range": [0, 1], "tickformat": ".0%"}
    made["hovermode"] = "closest" if len(layers) == 1 else "x unified"
    terms = chart_terms(["exit_layer", "answer", "idea", "verdict"], words)
    return {"data": data, "layout": made, "best": None, "terms": terms}


def _area(
    meanings: Sequence[Meaning],
    name: str,
    colour: str,
    layers: list[int],
    num_samples: dict[int, int],
) -> Trace:
    outcome: Outcome = meanings[0].outcome
    counts = [sum(each.groups[layer].count for each in meanings if layer in each.groups) for layer in layers]
    shares = [count / max(num_samples[layer], 1) for count, layer in zip(counts, layers, strict=True)]
    label = f"{SIGNS[outcome]} {name}"
    return {
        "type": "scatter",
        "mode": "lines" if len(layers) > 1 else "markers",
        "name": label,
        "x": layers,
        "y": rounded(shares),
        "customdata": counts,
        "stackgroup": "answers",
        "line": {"color": colour, "width": 1},
        "fillcolor": colour,
        "fillpattern": {
            "shape": _PATTERNS[outcome],
            "fillmode": "replace",
            "bgcolor": colour,
            "fgcolor": "var(--hcl-panel)",
            "size": 7,
            "solidity": 0.15,
        },
        "hovertemplate": f"{label} <b>%{{y:.0%}}</b> (%{{customdata}})<extra></extra>",
    }
