"""KernelSHAP over pairs of coalitions, with interactions of three features taken off.

The regression is that of Lundberg and Lee, "A Unified Approach to Interpreting Model Predictions" (NeurIPS
2017), theorem 2, over pairs of a coalition and its complement (Covert and Lee, "Improving KernelSHAP",
AISTATS 2021). `odd_process.py` tells what is fitted beside it, and why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reference_server.explain.game import ends
from reference_server.explain.odd_process import Observed, OddProcess, likeliest, regular
from reference_server.explain.sampling import pairs_in_all, pairs_of

if TYPE_CHECKING:
    from reference_server.explain.game import Booleans, Counted, Floats

# Rows from which the prior is chosen, and which the process is fitted to: time grows with their third power.
_ROWS_FOR_PRIOR = 300
_ROWS_FOR_PROCESS = 600


def estimate(game: Counted, pairs: Booleans) -> tuple[Floats, Floats]:
    """Return Shapley values and their standard errors, each `[features]`.

    The errors are those of a jackknife (Efron and Stein, "The Jackknife Estimate of Variance", 1981): by what
    the values change as each pair is left out. It errs on the wide side.

    Args:
        game: What is explained; two evaluations for each pair and two more are spent.
        pairs: One coalition of each pair, `[pairs, features]`, in random order, none twice; at least half as
            many again as there are features.
    """
    features = pairs.shape[1]
    empty, full = game(ends(features))
    scores = game(np.vstack([pairs, ~pairs])).reshape(2, -1)
    signs = np.vstack([np.ones((1, features)), np.where(pairs, 1.0, -1.0)])
    odd = np.concatenate([[full - empty], scores[0] - scores[1]]) / 2
    weights = _weights(pairs)
    singles = regress(signs[1:], odd[1:], weights, total=full - empty)
    seen = Observed.of(signs, odd, np.concatenate([[np.inf], weights]))
    process = OddProcess(seen.some(_ROWS_FOR_PROCESS), likeliest(seen.some(_ROWS_FOR_PRIOR), singles))
    apart = process.left_out()[1:]
    values, moved = process.values(), process.influences()[1:] * apart[:, None]
    if len(seen.odd) > _ROWS_FOR_PROCESS:
        whole, rest = _of_whole_sizes(pairs), odd[1:] - process.predicted(signs[1:])
        # A pair that the process was fitted to stands for others of its size by what it is apart without it.
        # One of a size that was taken whole stands for itself alone, and such small sizes weigh most.
        rest[: len(apart)] = np.where(whole[: len(apart)], rest[: len(apart)], apart)
        values = values + regress(signs[1:], rest, weights, total=0)
        moved = _moved(signs[1:], rest, weights)
        moved[whole] = 0
    # What is drawn without repeats from a finite number of pairs errs the less, the fewer are left.
    unseen = 1 - len(pairs) / pairs_in_all(features)
    errors = np.sqrt(unseen * (moved**2).sum(axis=0))
    return values + (full - empty - values.sum()) / features, errors


def regress(signs: Floats, odd: Floats, weights: Floats, *, total: float) -> Floats:
    """Return KernelSHAP's values, `[features]`, whose sum is `total`.

    Args:
        signs: `[pairs, features]`.
        odd: Half the difference between a coalition's score and its complement's, `[pairs]`.
        weights: `[pairs]`.
        total: What all features add.
    """
    weighted = signs * weights[:, None]
    columns = np.column_stack([2 * weighted.T @ odd, np.ones(signs.shape[1])])
    free, even = np.linalg.solve(regular(weighted.T @ signs), columns).T
    return np.asarray(free + even * (total - free.sum()) / even.sum())


def _moved(signs: Floats, odd: Floats, weights: Floats) -> Floats:
    """Return how far each pair moves `regress` from what the others say, `[pairs, features]`."""
    weighted = signs * weights[:, None]
    inverse = np.linalg.inv(regular(weighted.T @ signs))
    rest = odd - signs @ (inverse @ (weighted.T @ odd))
    leverage = np.einsum("ij,jk,ik->i", signs, inverse, weighted)
    centred = inverse - np.outer(inverse.sum(axis=1), inverse.sum(axis=0)) / inverse.sum()
    return np.asarray(2 * weighted @ centred * (rest / (1 - leverage))[:, None])


def _of_whole_sizes(pairs: Booleans) -> Booleans:
    """Return which pairs are of a size of which all were drawn, so that none of it is left to chance."""
    features, sizes = pairs.shape[1], pairs.sum(axis=1)
    drawn = np.bincount(sizes)
    existing = np.array([0, *(pairs_of(features, size) for size in range(1, len(drawn)))])
    return np.asarray((drawn == existing)[sizes])


def _weights(pairs: Booleans) -> Floats:
    """Return KernelSHAP's weight of each pair, by what those of its size weigh and how many were drawn."""
    features, sizes = pairs.shape[1], pairs.sum(axis=1)
    drawn = np.bincount(sizes)[sizes]
    return np.asarray(1 / (sizes * (features - sizes) * drawn))
