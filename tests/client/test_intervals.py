"""Intervals that hold what they promise, and agree with what others computed."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_client import _intervals


def test_a_rate_has_wilsons_interval():
    """As in the literature: 81 of 263 (Newcombe, Statistics in Medicine 17, 1998)."""
    found = _intervals.rate(81, 263)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)
    assert (found.value, found.count) == (81 / 263, 263)


@pytest.mark.parametrize(("hits", "count", "low", "high"), [(0, 20, 0.0, 0.1611), (15, 148, 0.0624, 0.1605)])
def test_a_rate_of_few(hits, count, low, high):
    """Never or rarely, from the same paper."""
    found = _intervals.rate(hits, count)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@given(st.integers(0, 1000), st.integers(1, 1000))
def test_an_interval_holds_its_figure(hits, count):
    """Rounding never puts it outside, and nothing leaves 0 to 1."""
    found = _intervals.rate(min(hits, count), count)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_nothing_seen_is_no_figure():
    """None, rather than a division by nothing."""
    assert _intervals.rate(0, 0) is None
    assert _intervals.mean(0, 0, 0) is None
    assert _intervals.geometric_mean(0, 0, 0) is None
    assert _intervals.bootstrapped_mean([]) is None
    assert _intervals.ratio_of_means((0, 0, 0), (1, 1, 1)) is None


def test_one_value_has_no_interval():
    """Nothing is known of its spread."""
    for found in (_intervals.mean(2, 4, 1), _intervals.bootstrapped_mean([2.0])):
        assert (found.value, found.low, found.high) == (2, None, None)
    ratio = _intervals.ratio_of_means((0.0, 0.0, 1), (math.log(2), math.log(2) ** 2, 1))
    assert (ratio.value, ratio.low) == (pytest.approx(2), None)


def test_the_intervals_hold_the_truth_in_95_of_100_cases():
    """Of means, ratios and the bootstrap, on samples whose truth is known."""
    draws = random.Random(1)  # noqa: S311 - statistics
    hits = {"mean": 0, "ratio": 0, "bootstrap": 0}
    for _ in range(100):
        first = [draws.gauss(1, 2) for _ in range(60)]
        second = [draws.gauss(1.5, 1) for _ in range(40)]
        sums = [(sum(each), sum(value * value for value in each), len(each)) for each in (first, second)]
        found = {
            "mean": (_intervals.mean(*sums[0]), 1),
            "ratio": (_intervals.ratio_of_means(*sums), math.exp(0.5)),
            "bootstrap": (_intervals.bootstrapped_mean(first[:40], seed=draws.randrange(10**6)), 1),
        }
        for name, (estimate, truth) in found.items():
            hits[name] += estimate.low <= truth <= estimate.high
    assert all(88 <= count <= 99 for count in hits.values()), hits


def test_the_bootstrap_is_repeatable():
    """The same seed, the same interval."""
    draws = random.Random(2)  # noqa: S311 - statistics
    values = [draws.random() for _ in range(50)]
    assert _intervals.bootstrapped_mean(values, seed=3) == _intervals.bootstrapped_mean(values, seed=3)
    assert _intervals.bootstrapped_mean(values, seed=3) != _intervals.bootstrapped_mean(values, seed=4)
