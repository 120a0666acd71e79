"""How far attributions can be trusted: what the score does when the features are really changed.

Deletion and insertion curves are those of Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for
Explanation of Black-box Models" (BMVC 2018), section 4.1; comprehensiveness and sufficiency those of DeYoung
et al., "ERASER: A Benchmark to Evaluate Rationalized NLP Models" (ACL 2020), section 4, over `SHARES`. Each
stands beside what rankings drawn by chance reach. The ranking is by the signed value: first what speaks
most for the target, last what speaks most against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reference_server.explain.attribution import least_budget

if TYPE_CHECKING:
    from reference_server.explain.game import Booleans, Counted, Floats, Integers

SHARES = (0.1, 0.2, 0.5)
"""Of the features: how many are the most important ones, for comprehensiveness and sufficiency."""
STEPS = 10
"""At most so many steps has a curve; `SHARES` are among them."""
MOST_ORDERS = 50
"""So many rankings are drawn by chance where the budget allows it."""
LEAST_ORDERS = 3
"""Fewer rankings by chance have no spread that is worth telling."""
_USUAL_ORDERS = 10
_SHARE_OF_BUDGET = 0.25


@dataclass(frozen=True, slots=True)
class CurveOf:
    """Scores while features change, with what rankings by chance reach.

    Args:
        fractions: Of the features that were changed, `[points]`, from 0 to 1.
        scores: `[points]`.
        area: Under it, by trapezoids: a mean score.
        random_scores: The mean over rankings by chance, `[points]`.
        random_area: The mean area of theirs.
        random_spread: The standard deviation of theirs.
    """

    fractions: Floats
    scores: Floats
    area: float
    random_scores: Floats
    random_area: float
    random_spread: float


@dataclass(frozen=True, slots=True)
class Drop:
    """How far the score falls, with what rankings by chance reach.

    Args:
        value: The mean over `SHARES`.
        random: The mean of the same over rankings by chance.
        random_spread: The standard deviation over them.
    """

    value: float
    random: float
    random_spread: float


@dataclass(frozen=True, slots=True)
class Trust:
    """What the score did.

    Args:
        deletion: While features were taken away.
        insertion: While features were put back.
        comprehensiveness: How far it falls without the most important features.
        sufficiency: How far it falls with the most important features alone.
        random_orders: How many rankings by chance stand for comparison.
        evaluations: How many coalitions were scored for all that.
    """

    deletion: CurveOf
    insertion: CurveOf
    comprehensiveness: Drop
    sufficiency: Drop
    random_orders: int
    evaluations: int


def cost(features: int, orders: int) -> int:
    """Return the most evaluations that `faithfulness` takes with so many rankings by chance.

    All features and none are known from the attribution, so the ends of curves cost nothing.
    """
    inner = len(_sizes(features)) - 2
    return max(0, (2 + orders) * inner)


def reserve(features: int, budget: int) -> int:
    """Return how many evaluations to keep back for `faithfulness`; 0 where the budget is too small for it.

    A quarter of the budget, but no more than 10 rankings by chance need, no less than 3 do, and never what
    the attribution itself cannot do without. Where all coalitions fit into the budget nothing is kept back,
    because exact values score them all.
    """
    if 2**features <= budget:
        return 0
    least, most = cost(features, LEAST_ORDERS), cost(features, _USUAL_ORDERS)
    kernel = least_budget(features, "kernel")
    spare = budget - (kernel if budget >= kernel else least_budget(features, "fast"))
    wanted = min(max(least, int(budget * _SHARE_OF_BUDGET)), most, spare)
    return wanted if wanted >= least else 0


def faithfulness(
    game: Counted, values: Floats, *, rng: np.random.Generator, orders: int = MOST_ORDERS
) -> Trust | None:
    """Return what the score does when features are taken away and put back in the order of their values.

    Args:
        game: What was explained; what is left of its budget is the most that is spent here.
        values: The attributions, `[features]`.
        rng: Draws the rankings by chance.
        orders: The most of them, from 3.

    Returns:
        None where less is left than the curves and 3 rankings by chance take, at most 45 evaluations.
    """
    before = game.spent
    order = np.argsort(-values, kind="stable")
    sizes = _sizes(len(values))
    own = np.vstack([_without(order, sizes), _without(order[::-1], sizes)])
    if game.cost(own) > game.left:
        return None
    deleted, inserted = game(own).reshape(2, -1)
    drawn = _by_chance(game, len(values), sizes, rng=rng, orders=orders)
    if len(drawn) < LEAST_ORDERS:
        return None
    # What is left while a ranking is taken away from its end grows, read backwards, as one is put back. So
    # insertion needs no rankings of its own, and where the sizes round halves, it has one feature less.
    put_back = len(values) - sizes[::-1]
    return Trust(
        _curve(sizes, deleted, drawn),
        _curve(put_back, inserted[::-1], drawn[:, ::-1]),
        _drop(deleted, drawn, full=deleted[0]),
        _drop(inserted[::-1], drawn[:, ::-1], full=deleted[0]),
        len(drawn),
        game.spent - before,
    )


def _sizes(features: int) -> Integers:
    """Return how many features are changed at each point of a curve, from 0 to all; halves are rounded up."""
    steps = min(features, STEPS)
    return (2 * features * np.arange(steps + 1) + steps) // (2 * steps)


def _without(order: Integers, sizes: Integers) -> Booleans:
    """Return the coalitions without the first so many of the order, `[sizes, features]`."""
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return np.asarray(ranks >= sizes[:, None])


def _by_chance(
    game: Counted, features: int, sizes: Integers, *, rng: np.random.Generator, orders: int
) -> Floats:
    """Return what rankings by chance leave of the score, `[orders, points]`: as many as the budget allows."""
    scores: list[Floats] = []
    while len(scores) < orders:
        coalitions = _without(rng.permutation(features), sizes)
        if game.cost(coalitions) > game.left:
            break
        scores.append(game(coalitions))
    return np.array(scores).reshape(-1, len(sizes))


def _drop(scores: Floats, drawn: Floats, *, full: float) -> Drop:
    steps = len(scores) - 1
    points = [max(1, int(share * steps + 0.5)) for share in SHARES]
    by_chance = full - drawn[:, points].mean(axis=1)
    return Drop(float(full - scores[points].mean()), float(by_chance.mean()), float(by_chance.std(ddof=1)))


def _curve(sizes: Integers, scores: Floats, drawn: Floats) -> CurveOf:
    fractions = sizes / sizes[-1]
    areas = np.trapezoid(drawn, fractions, axis=1)
    return CurveOf(
        fractions,
        scores,
        float(np.trapezoid(scores, fractions)),
        drawn.mean(axis=0),
        float(areas.mean()),
        float(areas.std(ddof=1)),
    )
