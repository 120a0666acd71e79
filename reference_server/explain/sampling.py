"""Which coalitions to score when there are too many: pairs of a coalition and its complement, none twice.

Pairs cancel every interaction of an even number of features (Covert and Lee, "Improving KernelSHAP: Practical
Shapley Value Estimation Using Linear Regression", AISTATS 2021, section 4). Every size gets an equal number of
pairs, which is sampling by leverage scores (Musco and Witter, "Provably Accurate Shapley Value Estimation via
Leverage Score Sampling", ICLR 2025), and a size of which fewer exist than that is taken whole, as `shap` does.
"""

from __future__ import annotations

from itertools import combinations, islice
from math import comb
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reference_server.explain.game import Booleans

# Up to how many coalitions of one size are listed in order to choose from them.
_MOST_LISTED = 20_000


def pairs_in_all(features: int) -> int:
    """Return how many pairs there are, without the one of all features and none."""
    return int(2 ** (features - 1)) - 1


def sample_pairs(features: int, count: int, *, rng: np.random.Generator) -> Booleans:
    """Return one coalition of each of `count` different pairs, `[count, features]`, the smaller ones.

    Args:
        features: How many there are, at least 2.
        count: At most `pairs_in_all`.
        rng: Chooses them.
    """
    sizes = range(1, features // 2 + 1)
    existing = [_pairs_of(features, size) for size in sizes]
    counts = shares(existing, count, rng=rng)
    parts = [_of_size(features, size, some, rng) for size, some in zip(sizes, counts, strict=True) if some]
    return np.concatenate(parts)


def shares(existing: Sequence[int], count: int, *, rng: np.random.Generator) -> list[int]:
    """Return how many pairs of each size to take: as evenly as those that exist allow, ties by chance."""
    taken = [0] * len(existing)
    left = count
    while left:
        able = [index for index, most in enumerate(existing) if taken[index] < most]
        even = left // len(able)
        if even == 0:
            for index in rng.permutation(able)[:left]:
                taken[index] += 1
            break
        for index in able:
            more = min(even, existing[index] - taken[index])
            taken[index] += more
            left -= more
    return taken


def _pairs_of(features: int, size: int) -> int:
    existing = comb(features, size)
    return existing // 2 if 2 * size == features else existing


def _of_size(features: int, size: int, count: int, rng: np.random.Generator) -> Booleans:
    existing = _pairs_of(features, size)
    if existing <= _MOST_LISTED:
        # In lexical order the first half of those of half the features are the complements of the second.
        listed = np.array(list(islice(combinations(range(features), size), existing)))
        members = listed[rng.permutation(existing)[:count]]
    else:
        members = np.array(list(islice(_different(features, size, rng), count)))
    coalitions = np.zeros((count, features), np.bool_)
    np.put_along_axis(coalitions, members, values=True, axis=1)
    return coalitions


def _different(features: int, size: int, rng: np.random.Generator) -> Iterator[list[int]]:
    seen: set[tuple[int, ...]] = set()
    while True:
        members = tuple(sorted(rng.permutation(features)[:size].tolist()))
        other = tuple(sorted(set(range(features)).difference(members))) if 2 * size == features else members
        if members not in seen and other not in seen:
            seen.add(members)
            yield list(members)
