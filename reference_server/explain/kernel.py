"""KernelSHAP over pairs of coalitions: first version, weighted regression with the efficiency constraint."""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING

import numpy as np

from reference_server.explain.game import ends

if TYPE_CHECKING:
    from reference_server.explain.game import Booleans, Counted, Floats


def estimate(game: Counted, pairs: Booleans) -> tuple[Floats, Floats]:
    """Return Shapley values and their standard errors, each `[features]`."""
    features = pairs.shape[1]
    empty, full = game(ends(features))
    scores = game(np.vstack([pairs, ~pairs])).reshape(2, -1)
    odd = (scores[0] - scores[1]) / 2
    sizes = pairs.sum(axis=1)
    counts = np.bincount(sizes, minlength=features + 1)
    weights = np.array(
        [
            comb(features, int(s))
            / counts[s]
            * (features - 1)
            / (comb(features, int(s)) * s * (features - s))
            for s in sizes
        ]
    )
    signs = np.where(pairs, 1.0, -1.0)
    groups = np.arange(len(odd)) % 20
    whole = _fit(signs, odd, weights, full - empty)
    parts = np.stack(
        [_fit(signs[groups != g], odd[groups != g], weights[groups != g], full - empty) for g in range(20)]
    )
    return whole, np.sqrt(19 / 20 * ((parts - parts.mean(axis=0)) ** 2).sum(axis=0))


def _fit(signs: Floats, odd: Floats, weights: Floats, total: float) -> Floats:
    features = signs.shape[1]
    left = (signs * weights[:, None]).T @ signs / 4 + 1e-9 * np.eye(features)
    right = (signs * weights[:, None]).T @ odd / 2
    free, ones = np.linalg.solve(left, right), np.linalg.solve(left, np.ones(features))
    result: Floats = free - ones * (free.sum() - total) / ones.sum()
    return result
