"""Which layers may be the best, from draws of what they are ranked by; and the same in a sentence."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hcl_core.scores.metrics import FloatArray
from hcl_core.settings.layers import format_layers

LEVEL = 0.95

# Scores this close are equal: less than rounding does to scores that were summed differently.
TIE = 1e-9


@dataclass(frozen=True, slots=True)
class BestLayers:
    """Which layers may be the best.

    Attributes:
        kind: ``"clear"``: one layer is the best with at least 95%. ``"tied"``: at most half of the layers hold the
            best with 95%. ``"none"``: it takes more of them, or no layer has a right answer.
        optimal_layer: The layer that has, together with its equals, the highest ``p_optimal``; of equal ones the
            earliest, which is the cheapest. ``None`` where no layer has a right answer. Equal layers share what they
            win, so that one which is worse than all of them can have more than each.
        best_set: The smallest set of layers that holds the best with 95%, ascending; empty without a right answer.
        probability: That the best layer is in ``best_set``; the sum of its layers' ``p_optimal``.
        p_optimal: Of ``optimal_layer``.
        p_best: That it, or a layer equal to it, is the best: the sum of their ``p_optimal``.
        equal_layers: ``optimal_layer`` and those equal to it in every draw, ascending; empty where it has no equal.
        num_layers: That have answers.
        has_creativity: Whether creativity counted; else layers were ranked by accuracy alone.
        expected_hcb: Posterior mean of the HCB score of ``optimal_layer``. The score itself is somewhat too high
            there, since the layer was chosen for it. NaN where there is none.
    """

    kind: Literal["clear", "tied", "none"]
    optimal_layer: int | None
    best_set: tuple[int, ...]
    probability: float
    p_optimal: float
    p_best: float
    equal_layers: tuple[int, ...]
    num_layers: int
    has_creativity: bool
    expected_hcb: float

    def __str__(self) -> str:
        return describe_best(self)


def share_of_best(ranking: FloatArray) -> FloatArray:
    """``[R, E]``: 1 for the best layer of each draw of ``ranking [R, E]``, shared equally by equal layers, else 0."""
    known = np.where(np.isnan(ranking), -np.inf, ranking)
    is_best = known >= known.max(axis=1, keepdims=True) - TIE
    shares: FloatArray = is_best / is_best.sum(axis=1, keepdims=True)
    return shares


def _are_equal(ranking: FloatArray) -> NDArray[np.bool_]:
    """``[E, E]`` which layers are equal in every draw; one without answers is equal to none."""
    # Those that differ in the first draw are not.
    are_equal: NDArray[np.bool_] = np.abs(ranking[0][:, None] - ranking[0]) <= TIE
    first, second = np.nonzero(are_equal)
    are_equal[first, second] = (np.abs(ranking[:, first] - ranking[:, second]) <= TIE).all(axis=0)
    return are_equal


def nothing_right(num_layers: int, has_creativity: bool) -> BestLayers:
    """Where no answer is right there is no best layer."""
    return BestLayers("none", None, (), 0.0, 0.0, 0.0, (), num_layers, has_creativity, float("nan"))


def find_best(ranking: FloatArray, exit_layers: tuple[int, ...], has_creativity: bool) -> BestLayers:
    """The best layers by ``ranking [R, E]``, a column for each of ``exit_layers``; NaN without answers."""
    layers, p_optimal = np.array(exit_layers), share_of_best(ranking).mean(axis=0)
    num_layers = int((~np.isnan(ranking).all(axis=0)).sum())
    are_equal = _are_equal(ranking)
    together = are_equal @ p_optimal  # of each layer and its equals
    order = np.argsort(-together.round(9), kind="stable")  # equal layers in their order
    last = order[np.searchsorted(p_optimal[order].cumsum(), LEVEL - TIE)]
    in_set = together >= together[last] - TIE
    optimal = order[0]
    equal = are_equal[optimal]
    size = int(in_set.sum())
    return BestLayers(
        kind="clear" if size == 1 else "tied" if size <= num_layers / 2 else "none",
        optimal_layer=int(layers[optimal]),
        best_set=tuple(layers[in_set].tolist()),
        probability=min(float(p_optimal[in_set].sum()), 1.0),
        p_optimal=float(p_optimal[optimal]),
        p_best=min(float(together[optimal]), 1.0),
        equal_layers=tuple(layers[equal].tolist()) if equal.sum() > 1 else (),
        num_layers=num_layers,
        has_creativity=has_creativity,
        expected_hcb=float(ranking[:, optimal].mean()) if has_creativity else float("nan"),
    )


def describe_best(best: BestLayers) -> str:
    """The same in one sentence or two, whose shares are sums of the layers' ``p_optimal``."""
    if best.optimal_layer is None:
        return "No layer gave a right answer: nothing to balance."
    layer, share = best.optimal_layer, f"{best.p_best:.0%}"
    does = "balances best" if best.has_creativity else "is most often right"
    leads = f"layer {layer} {does} with a probability of {share}"
    if best.equal_layers:
        do = "balance best" if best.has_creativity else "are most often right"
        leads = (
            f"layers {format_layers(best.equal_layers)}, which are equal, {do} with a probability of {share} together"
        )
    note = "" if best.has_creativity else " No question has more than one accepted idea: accuracy alone decides."
    together = f"layers {format_layers(best.best_set)} hold the best one with a probability of {best.probability:.0%}"
    if best.num_layers == 1:
        return f"Layer {layer} is the only one with answers.{note}"
    if best.equal_layers and set(best.best_set) <= set(best.equal_layers):
        return (
            f"Layers {format_layers(best.equal_layers)} are equal and hold the best one with "
            f"a probability of {best.probability:.0%}; layer {layer} is the cheapest.{note}"
        )
    if best.kind == "clear":
        return f"Layer {layer} {does}, with a probability of {share}.{note}"
    if best.kind == "tied":
        return f"{leads[0].upper()}{leads[1:]}, but others may too: {together}.{note}"
    return (
        f"No layer is clearly best: {leads} only, and it takes "
        f"{len(best.best_set)} of {best.num_layers} layers to hold the best one with {best.probability:.0%}.{note}"
    )
