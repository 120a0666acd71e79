"""Buckets and the versions that hold them: shares come out, and nobody moves without need."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from reference_server.registry.splits import BUCKETS, assigned, bucket, widths

WEIGHTS = st.dictionaries(st.integers(1, 30), st.floats(1e-3, 1e3), min_size=1, max_size=10)
WHOLE = [(BUCKETS, 1)]


def version_of(segments, number):
    return segments[bisect_right([end for end, _ in segments], number)][1]


def held(segments):
    counts, start = {}, 0
    for end, version in segments:
        counts[version] = counts.get(version, 0) + end - start
        start = end
    return counts


def moved(before, after):
    """Return how many buckets have another version."""
    ends = sorted({0, *(end for end, _ in before), *(end for end, _ in after)})
    return sum(
        end - start for start, end in pairwise(ends) if version_of(before, start) != version_of(after, start)
    )


@given(WEIGHTS)
def test_weights_become_buckets(weights):
    """All buckets are given out, and each version has its share to within one of them."""
    found = widths(weights)
    assert sum(found.values()) == BUCKETS
    total = sum(weights.values())
    for version, weight in weights.items():
        assert abs(found[version] - weight / total * BUCKETS) <= 1


@given(st.lists(WEIGHTS, min_size=2, max_size=6))
def test_as_few_callers_move_as_possible(changes):
    """Whatever came before: only what a version gains in buckets changes hands."""
    segments = WHOLE
    for weights in changes:
        wanted = widths(weights)
        after = assigned(segments, wanted)
        assert held(after) == {version: width for version, width in wanted.items() if width}
        assert [end for end, _ in after] == sorted({end for end, _ in after})
        assert after[-1][0] == BUCKETS
        had = held(segments)
        gains = sum(max(0, width - had.get(version, 0)) for version, width in wanted.items())
        assert moved(segments, after) == gains
        segments = after


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 0.98), st.floats(0.001, 0.5))
def test_a_growing_version_keeps_its_callers(share, more):
    """Whoever is with the candidate stays there while its weight grows, and nobody else is swapped."""
    grown = min(0.99, share + more)
    small = assigned(WHOLE, widths({1: 1 - share, 2: share}))
    large = assigned(small, widths({1: 1 - grown, 2: grown}))
    for caller in range(500):
        place = bucket(b"mdl_1", f"user-{caller}")
        if version_of(small, place) == 2:
            assert version_of(large, place) == 2


def test_callers_are_shared_out_by_weight():
    """Ten thousand ids, within four standard deviations of the binomial distribution."""
    segments = assigned(WHOLE, widths({1: 90, 2: 9, 3: 1}))
    callers = 10_000
    for salt in (b"mdl_a", b"mdl_b"):
        found = [version_of(segments, bucket(salt, f"user-{caller}")) for caller in range(callers)]
        for version, share in ((1, 0.9), (2, 0.09), (3, 0.01)):
            spread = math.sqrt(callers * share * (1 - share))
            assert abs(found.count(version) - callers * share) < 4 * spread


def test_models_do_not_share_their_first_callers():
    """With another salt it is others who meet the new version first."""
    segments = assigned(WHOLE, widths({1: 95, 2: 5}))
    first, second = (
        {caller for caller in range(2000) if version_of(segments, bucket(salt, str(caller))) == 2}
        for salt in (b"mdl_a", b"mdl_b")
    )
    assert len(first & second) < len(first) / 3
