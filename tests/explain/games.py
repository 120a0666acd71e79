"""Games whose Shapley values are known in closed form, and one that a sentence makes."""

from __future__ import annotations

import numpy as np

# What each word of "I do not think this is a good film" without "a" counts, and what "not" does to "good".
WORDS = ["I", "do", "not", "think", "this", "is", "good", "film"]
_COUNTS = np.array([0.1, 0.0, 0.4, -0.2, 0.1, 0.0, 2.6, 0.3])
_NOT_GOOD, _NOT_THINK_GOOD = -4.2, 0.9


def sentence(coalitions):
    """Return the probability that a sentence of eight words is positive, of which "not" turns "good" over."""
    logits = -0.4 + coalitions @ _COUNTS
    logits += _NOT_GOOD * coalitions[:, [2, 6]].all(axis=1)
    logits += _NOT_THINK_GOOD * coalitions[:, [2, 3, 6]].all(axis=1)
    return 1 / (1 + np.exp(-logits))


def polynomial(features, *, seed, terms=10, order=4):
    """Return a game that is a sum of products of features, and its Shapley values."""
    draw = np.random.default_rng(seed)
    singles = draw.normal(size=features)
    products = [
        (draw.choice(features, draw.integers(2, order + 1), replace=False), draw.normal() / 2)
        for _ in range(terms)
    ]
    values = singles.copy()
    for members, count in products:
        values[members] += count / len(members)

    def game(coalitions):
        return coalitions @ singles + sum(count * coalitions[:, own].all(axis=1) for own, count in products)

    return game, values
