"""Attributes a score to features, by the method and within the evaluations that are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reference_server.errors import Unprocessable
from reference_server.explain.exact import all_coalitions, shapley_values
from reference_server.explain.game import Attributed, ends
from reference_server.explain.kernel import estimate
from reference_server.explain.sampling import sample_pairs

if TYPE_CHECKING:
    from maas_client.types import ExplainMethod
    from reference_server.explain.game import Counted, Floats

# 65,536 coalitions: what is beyond takes longer to add up than anyone waits for.
MOST_EXACT_FEATURES = 16


def least_budget(features: int, method: ExplainMethod) -> int:
    """Return the fewest evaluations with which a method works, that of the cheapest one for `auto`."""
    fast = min(features + 2, 1 << features)
    if method in ("auto", "fast"):
        return fast
    if method == "exact":
        return 1 << features
    # As many pairs as features would determine a linear model and leave nothing to tell its error from. The
    # last two are all features and none.
    return min(3 * features + 2, 1 << features)


def attribute(
    game: Counted, features: int, *, method: ExplainMethod, budget: int, rng: np.random.Generator
) -> Attributed:
    """Return what each feature adds to the target's score.

    `auto` is exact where all coalitions fit into the budget, else KernelSHAP, and leave-one-out, with a note,
    where the budget is too small for that. KernelSHAP too is exact where all coalitions fit.

    Args:
        game: What is explained.
        features: How many features it has, from 1.
        method: `auto`, `exact`, `kernel` or `fast`.
        budget: The most evaluations to spend on it.
        rng: Chooses coalitions; the same state gives the same answer.

    Raises:
        Unprocessable: The budget is too small for the method, or a score is no finite number.
    """
    chosen = choose(features, method=method, budget=min(budget, game.left))
    before = game.spent
    errors = None
    if chosen == "exact":
        coalitions = all_coalitions(features)
        values = shapley_values(coalitions, game(coalitions))
    elif chosen == "fast":
        values = _leave_one_out(game, features)
    else:
        pairs = sample_pairs(features, (min(budget, game.left) - 2) // 2, rng=rng)
        values, errors = estimate(game, pairs)
    baseline, prediction = game(ends(features)).tolist()
    notes = _notes(chosen, asked=method, features=features, budget=budget)
    return Attributed(values, errors, baseline, prediction, game.spent - before, chosen, notes)


def choose(features: int, *, method: ExplainMethod, budget: int) -> ExplainMethod:
    """Return which method is used: `exact`, `kernel` or `fast`.

    Raises:
        Unprocessable: The budget is too small for the method that is asked for.
    """
    least = least_budget(features, method)
    if method == "exact" and features > MOST_EXACT_FEATURES:
        raise Unprocessable(
            f"exact values take at most {MOST_EXACT_FEATURES} features, and this instance has {features}; "
            "ask for the method `kernel`, or for larger features",
            code="too_many_features",
            param="method",
        )
    if budget < least:
        raise Unprocessable(
            f"the method `{method}` takes at least {least:,} evaluations for {features} features, and "
            f"{budget:,} may be spent on it; raise the budget{_or_cheaper(features, method, budget)}",
            code="budget_too_small",
            param="budget",
        )
    if method in ("exact", "fast"):
        return method
    if features <= MOST_EXACT_FEATURES and 2**features <= budget:
        return "exact"
    return "kernel" if budget >= least_budget(features, "kernel") else "fast"


def _or_cheaper(features: int, method: ExplainMethod, budget: int) -> str:
    cheaper = [other for other in ("kernel", "fast") if least_budget(features, other) <= budget]
    return f", or ask for the method `{cheaper[0]}`" if cheaper and method != "auto" else ""


def _notes(chosen: ExplainMethod, *, asked: ExplainMethod, features: int, budget: int) -> tuple[str, ...]:
    if chosen == "exact" and asked == "kernel":
        return (f"All {2**features:,} coalitions fit into the budget, so the values are exact.",)
    if chosen == "fast":
        gap = "Leave-one-out sees no interactions: the attributions need not add up to the prediction."
        if asked == "auto":
            least = least_budget(features, "kernel")
            return (f"A budget of {budget:,} is too small for KernelSHAP, which takes {least:,} here.", gap)
        return (gap,)
    return ()


def _leave_one_out(game: Counted, features: int) -> Floats:
    without_each = ~np.eye(features, dtype=np.bool_)
    scores = game(np.vstack([np.ones((1, features), np.bool_), without_each]))
    return np.asarray(scores[0] - scores[1:])
