"""Shapley values from the scores of all coalitions (Shapley, "A Value for n-Person Games", 1953).

φ_i = Σ over S without i of |S|! (n − |S| − 1)! / n! · (v(S ∪ {i}) − v(S)).
"""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from reference_server.explain.game import Booleans, Floats


def all_coalitions(features: int) -> Booleans:
    """Return every coalition, `[2^features, features]`; row r has feature i where bit i of r is set."""
    numbers = np.arange(2**features)[:, None]
    return (numbers >> np.arange(features) & 1).astype(np.bool_)


def shapley_values(coalitions: Booleans, scores: Floats) -> Floats:
    """Return the Shapley value of each feature.

    Args:
        coalitions: All of them, `[2^features, features]`.
        scores: `[2^features]`.
    """
    features = coalitions.shape[1]
    # |S|! (n − |S| − 1)! / n! is 1 / (n · C(n − 1, |S|)), by the size of S.
    weights = np.array([1 / (features * comb(features - 1, size)) for size in range(features)])
    sizes = coalitions.sum(axis=1)
    with_it = weights[np.maximum(sizes - 1, 0)]
    without = -weights[np.minimum(sizes, features - 1)]
    signed = np.where(coalitions, with_it[:, None], without[:, None])
    # Scores are taken from one of them, so that large scores of which little changes lose no digits.
    result: Floats = (scores - scores[0]) @ signed
    return result
